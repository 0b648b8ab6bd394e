/**
 * Writes the results of a verb: a table for terminals, tab-separated lines for scripts, JSON for programs. Only data is
 * written to stdout.
 */
import { Usage } from './exit';
import { toJson, type Bytes } from './json';
import { table, wrap, type Heading } from './table';
import { oneLine } from './words';

export type Form = 'table' | 'wide' | 'names' | 'lines' | 'json' | 'jsonl';

export interface Column<T> extends Heading {
  /** Returns the text of a cell in a table, which can be shortened. */
  readonly show: (one: T) => string;
  /** Returns the unshortened text for tab-separated lines. By default, `show` is used. */
  readonly plain?: (one: T) => string;
}
/** The format of a list of results. */
export interface Listing<T> {
  readonly columns: readonly Column<T>[];
  /** Returns the value to print as JSON. By default, the result itself is printed. */
  readonly json?: (one: T) => unknown;
}

export interface OutputOptions {
  readonly form: Form;
  /** Names of the columns to print, in this order. Default: all. */
  readonly columns?: readonly string[] | undefined;
  /** Name of the column by which results are sorted, largest first. Default: the order of the verb. */
  readonly sort?: string | undefined;
  /** Columns of the terminal. */
  readonly width: number;
  readonly bytes: Bytes;
  /** Writes to stdout. */
  readonly write: (text: string) => void;
  /** Resolves when the buffer of stdout has drained; returns undefined when it is not full. */
  readonly caughtUp: () => Promise<void> | undefined;
  /** Writes to stderr. */
  readonly warn: (text: string) => void;
  /** True when stderr is a terminal, on which a line can be replaced. */
  readonly isLive: boolean;
}

/** Returns to the start of the line in a terminal, and clears it. */
const clearLine = '\r\u001b[K';

export class Output {
  #hasProgress = false;

  constructor(private readonly options: OutputOptions) {}

  get form(): Form {
    return this.options.form;
  }
  get width(): number {
    return this.form === 'wide' ? Infinity : this.options.width;
  }
  get bytes(): Bytes {
    return this.options.bytes;
  }
  /** True when the output is a table for a terminal. */
  get forPeople(): boolean {
    return this.form === 'table' || this.form === 'wide';
  }

  /** True when {@link Output.progress} replaces its line. Elsewhere each call adds one. */
  get isLive(): boolean {
    return this.options.isLive;
  }

  /** Writes a line of data to stdout. */
  line(text: string): void {
    this.#endProgress();
    this.options.write(`${text}\n`);
  }
  /** Writes a line about the progress to stderr. On a terminal, the next output replaces it; undefined removes it. */
  progress(text: string | undefined): void {
    if (text !== undefined && !this.options.isLive) return this.note(text);
    this.#endProgress();
    if (text === undefined) return;
    this.options.warn(oneLine(text).slice(0, this.width - 1));
    this.#hasProgress = true;
  }
  #endProgress(): void {
    if (this.#hasProgress) this.options.warn(clearLine);
    this.#hasProgress = false;
  }
  /** Writes a message about the data to stderr. */
  note(text: string): void {
    this.#endProgress();
    const lines = this.forPeople ? wrap(text, this.width) : [oneLine(text)];
    for (const line of lines) this.options.warn(`${line}\n`);
  }
  /** Writes a command to run next to stderr. It is not wrapped, so that it can be copied as one line. */
  next(command: string): void {
    this.options.warn(`  ${oneLine(command)}\n`);
  }
  /** Writes a single value as JSON to stdout. */
  value(value: unknown): void {
    this.line(toJson(value, this.bytes, this.form === 'json' ? 2 : 0));
  }

  /** Writes each result as soon as the format allows it. Resolves with the number of results. */
  async list<T>({ columns, json = (one) => one }: Listing<T>, things: Iterable<T> | AsyncIterable<T>): Promise<number> {
    const shown = this.#chosen(columns);
    const sorted = await this.#sorted(columns, things);
    switch (this.form) {
      case 'table':
      case 'wide':
        return this.#table(shown, sorted);
      case 'lines':
        return this.#lines(shown, sorted);
      case 'names': {
        const [first = shown[0]] = nameColumns.flatMap((name) => shown.filter((column) => column.name === name));
        return this.#each(sorted, (one) => this.line(oneLine(textOf(first, one))));
      }
      case 'json':
        return this.#json(json, sorted);
      case 'jsonl':
        return this.#each(sorted, (one) => this.line(toJson(json(one), this.bytes)));
    }
  }

  /** Returns the columns that `--columns` names. Throws Usage for a name that the list does not have. */
  #chosen<T>(columns: readonly Column<T>[]): readonly Column<T>[] {
    return this.options.columns?.map((name) => columnOf(columns, '--columns', name)) ?? columns;
  }
  /** Sorts by the column that `--sort` names: numbers by their value, largest first, and other texts by alphabet. */
  async #sorted<T>(
    columns: readonly Column<T>[],
    things: Iterable<T> | AsyncIterable<T>,
  ): Promise<Iterable<T> | AsyncIterable<T>> {
    const { sort } = this.options;
    if (sort === undefined) return things;
    const column = columnOf(columns, '--sort', sort);
    const all: T[] = [];
    for await (const one of things) all.push(one);
    return all.toSorted((one, other) => compare(textOf(column, one), textOf(column, other)));
  }

  async #table<T>(columns: readonly Column<T>[], things: Iterable<T> | AsyncIterable<T>): Promise<number> {
    const rows: string[][] = [];
    let failed: unknown;
    try {
      await this.#each(things, (one) => void rows.push(columns.map(({ show }) => show(one))));
    } catch (error) {
      failed = error; // the results until then are printed before the error is thrown
    }
    if (rows.length > 0) {
      const { lines, left } = table(columns, rows, this.width);
      for (const line of lines) this.line(line);
      if (left.length > 0) this.note(`no room for ${left.join(', ')}: a wider terminal or -o json shows all`);
    }
    if (failed !== undefined) throw failed;
    return rows.length;
  }

  async #lines<T>(columns: readonly Column<T>[], things: Iterable<T> | AsyncIterable<T>): Promise<number> {
    this.line(columns.map(({ name }) => name).join('\t'));
    return this.#each(things, (one) =>
      this.line(columns.map(({ show, plain = show }) => oneLine(plain(one))).join('\t')),
    );
  }

  async #json<T>(json: (one: T) => unknown, things: Iterable<T> | AsyncIterable<T>): Promise<number> {
    this.options.write('[');
    try {
      let first = true;
      return await this.#each(things, (one) => {
        const separator = first ? '' : ',';
        first = false;
        this.options.write(`${separator}\n${toJson(json(one), this.bytes)}`);
      });
    } finally {
      this.options.write('\n]\n');
    }
  }

  /** Waits for stdout to drain before it reads the next result, so that unwritten output does not fill memory. */
  async #each<T>(things: Iterable<T> | AsyncIterable<T>, use: (one: T) => void): Promise<number> {
    let count = 0;
    for await (const one of things) {
      use(one);
      count++;
      await this.options.caughtUp();
    }
    return count;
  }
}

/** Columns that name a result, for `-o names`: the first of them that a list has. */
const nameColumns: readonly string[] = ['ID', 'QUEUE', 'INSTANCE', 'KEY', 'ABOUT'];

function columnOf<T>(columns: readonly Column<T>[], option: string, name: string): Column<T> {
  const found = columns.find((column) => column.name.toLowerCase() === name.trim().toLowerCase());
  if (found) return found;
  const known = columns.map((column) => column.name);
  throw new Usage(`${option} ${name} is not a column of this list; it has ${known.join(', ') || 'none'}`);
}

function textOf<T>(column: Column<T> | undefined, one: T): string {
  return column ? (column.plain ?? column.show)(one) : '';
}

/** Units of ages and sizes in tables, in a common unit for each. */
const units: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1e3,
  m: 6e4,
  h: 3.6e6,
  d: 8.64e7,
  B: 1,
  kB: 1e3,
  MB: 1e6,
  GB: 1e9,
};

function compare(one: string, other: string): number {
  const [a, b] = [amountOf(one), amountOf(other)];
  if (a !== undefined || b !== undefined) return (b ?? -Infinity) - (a ?? -Infinity);
  return one < other ? -1 : one > other ? 1 : 0;
}
/** Returns the value of a number, an age such as `6m11s` or a size such as `2.1 MB`; undefined for other texts. */
function amountOf(text: string): number | undefined {
  const plain = text.replaceAll(' ', '');
  if (!/^(?:[\d.]+(?:ms|s|m|h|d|B|kB|MB|GB)?)+(?:\/\d+)?$/.test(plain)) return undefined;
  const parts = [...plain.replace(/\/.*/, '').matchAll(/([\d.]+)([a-zA-Z]*)/g)];
  return parts.reduce((sum, [, number = '', unit = '']) => sum + Number(number) * (units[unit] ?? 1), 0);
}
