/** Lays out tables that fit the terminal: columns side by side if they fit, and otherwise one line for each value. */
import stringWidth from 'string-width';
import { lines, oneLine } from './words';

export interface Heading {
  readonly name: string;
  /** Aligns the cells to the right, for numbers. */
  readonly right?: boolean;
  /** Lets the cells be shortened when the terminal is too narrow. */
  readonly cut?: boolean;
  /** Lets the column be left out when the terminal is too narrow. Columns with the highest rank are left out first. */
  readonly spare?: number;
}

const gap = '  ';
/** Minimum width of a shortened column. A narrower one would show too little to be useful. */
const cutCharsMin = 16;

export interface Drawn {
  readonly lines: readonly string[];
  /** Names of the columns that were left out. */
  readonly left: readonly string[];
}

/** Returns lines of at most `width` columns. When the columns do not fit side by side, each row becomes a paragraph. */
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

/**
 * Returns the rows with columns side by side; undefined when they do not fit even after cells are shortened. The
 * heading line is left out when no column has a name.
 */
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

/**
 * Reduces the widths of the columns that can be cut, the widest first. Returns false when the table still does not fit.
 */
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

/** Text of which every character has one column and stands alone. */
const simple = /^[\x20-\x7e]*$/;
let segmenter: Intl.Segmenter | undefined;
/** Returns the characters as a reader sees them. The segmenter takes 50 ms to create, so it is created when needed. */
function* graphemesOf(text: string): Generator<string> {
  if (simple.test(text)) yield* text;
  else {
    segmenter ??= new Intl.Segmenter();
    for (const { segment } of segmenter.segment(text)) yield segment;
  }
}

/** Returns the beginning of a text in at most `width` columns. It ends in … when the rest was cut. */
export function cutTo(text: string, width: number): string {
  if (stringWidth(text) <= width) return text;
  let cut = '';
  for (const segment of graphemesOf(text)) {
    if (stringWidth(cut + segment) > width - 1) break;
    cut += segment;
  }
  return `${cut}…`;
}

/** Returns each row as a paragraph, with one line for each value. */
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

/** Wraps text between words if possible, and otherwise within a word. */
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
  for (const segment of graphemesOf(word)) {
    if (piece !== '' && stringWidth(piece + segment) > room) {
      found.push(piece);
      piece = '';
    }
    piece += segment;
  }
  return [...found, piece];
}
