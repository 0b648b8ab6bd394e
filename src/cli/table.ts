/** Tables that fit a terminal: columns side by side where there is room, else one line for each value. */
import stringWidth from 'string-width';
import { lines, oneLine } from './words';

export interface Heading {
  readonly name: string;
  /** Numbers stand at the right. */
  readonly right?: boolean;
  /** May be cut where the terminal is too narrow. */
  readonly cut?: boolean;
  /** May be left out where the terminal is too narrow; the highest goes first. */
  readonly spare?: number;
}

const gap = '  ';
/** A cut column that shows less says nothing. */
const cutCharsMin = 16;

export interface Drawn {
  readonly lines: readonly string[];
  /** Names of the columns that there was no room for. */
  readonly left: readonly string[];
}

/** Lines of at most `width` columns; a paragraph for each row when the columns do not fit beside each other. */
export function table(headings: readonly Heading[], rows: readonly (readonly string[])[], width: number): Drawn {
  const spares = headings.filter(({ spare }) => spare !== undefined);
  const byRank = spares.toSorted((one, other) => (other.spare ?? 0) - (one.spare ?? 0));
  for (let count = 0; count <= byRank.length; count++) {
    const left = byRank.slice(0, count);
    const kept = headings.map((heading) => !left.includes(heading));
    const of = <T>(all: readonly T[]): readonly T[] => all.filter((_one, column) => kept[column]);
    const lines = beside(of(headings), rows.map(of), width);
    if (lines) return { lines, left: left.map(({ name }) => name) };
  }
  return { lines: stacked(headings, rows, width), left: [] };
}

/** Undefined when the terminal is too narrow even after cutting. Headings without names are not shown. */
export function beside(
  headings: readonly Heading[],
  rows: readonly (readonly string[])[],
  width: number,
): string[] | undefined {
  const cells = rows.map((row) => row.map(oneLine));
  const titled = headings.some(({ name }) => name !== '');
  const shown = titled ? [headings.map(({ name }) => name), ...cells] : cells;
  const widths = headings.map((_heading, column) => Math.max(0, ...shown.map((row) => stringWidth(row[column] ?? ''))));
  if (!narrow(headings, widths, width - gap.length * (headings.length - 1))) return undefined;
  return shown.map((row) => {
    const padded = row.map((cell, column) => pad(cell, widths[column] ?? 0, headings[column]?.right ?? false));
    return padded.join(gap).trimEnd();
  });
}

/** Takes from the columns that may be cut, the widest first. False when that is not enough. */
function narrow(headings: readonly Heading[], widths: number[], room: number): boolean {
  for (let over = sum(widths) - room; over > 0; over = sum(widths) - room) {
    const able = widths.map((width, column) => (headings[column]?.cut ? width : 0));
    const [second = 0, widest = 0] = able.toSorted((a, b) => a - b).slice(-2);
    if (widest <= cutCharsMin) return false;
    const least = Math.max(cutCharsMin, Math.min(second, widest - 1), widest - over);
    widths[able.indexOf(widest)] = least;
  }
  return true;
}
const sum = (numbers: readonly number[]): number => numbers.reduce((total, one) => total + one, 0);

function pad(cell: string, width: number, right: boolean): string {
  const text = cutTo(cell, width);
  const space = ' '.repeat(Math.max(0, width - stringWidth(text)));
  return right ? space + text : text + space;
}

const graphemes = new Intl.Segmenter();

/** The beginning of a text in at most `width` columns, with … where something is missing. */
export function cutTo(text: string, width: number): string {
  if (stringWidth(text) <= width) return text;
  let cut = '';
  for (const { segment } of graphemes.segment(text)) {
    if (stringWidth(cut + segment) > width - 1) break;
    cut += segment;
  }
  return `${cut}…`;
}

/** Each row as a paragraph. */
function stacked(headings: readonly Heading[], rows: readonly (readonly string[])[], width: number): string[] {
  const label = Math.max(...headings.map(({ name }) => stringWidth(name)));
  const indent = label === 0 ? '' : ' '.repeat(label + gap.length);
  return rows.flatMap((row, number) => {
    const fields = headings.flatMap(({ name }, column) => {
      const text = row[column] ?? '';
      if (text === '') return [];
      const start = label === 0 ? '' : name.padEnd(label) + gap;
      return wrap(text, width - indent.length).map((line, i) => (i === 0 ? start : indent) + line);
    });
    return number === 0 ? fields : ['', ...fields];
  });
}

/** Broken between words where possible, else within one. */
export function wrap(text: string, width: number): string[] {
  const room = Math.max(8, width);
  const done: string[] = [];
  for (const paragraph of lines(text)) {
    const [indent = ''] = /^ {0,4}/.exec(paragraph) ?? [];
    let line = '';
    for (const word of paragraph
      .slice(indent.length)
      .split(' ')
      .flatMap((long) => pieces(long, room - indent.length))) {
      if (line !== '' && stringWidth(indent) + stringWidth(line) + 1 + stringWidth(word) > room) {
        done.push(indent + line);
        line = word;
      } else line = line === '' ? word : `${line} ${word}`;
    }
    done.push(indent + line);
  }
  return done;
}

function pieces(word: string, room: number): string[] {
  if (stringWidth(word) <= room) return [word];
  const found: string[] = [];
  let piece = '';
  for (const { segment } of graphemes.segment(word)) {
    if (piece !== '' && stringWidth(piece + segment) > room) {
      found.push(piece);
      piece = '';
    }
    piece += segment;
  }
  return [...found, piece];
}
