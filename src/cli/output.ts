/** Writes what a verb found: a table for people, lines for scripts, JSON for programs. Only data goes to stdout. */
import { toJson, type Bytes } from './json';
import { table, wrap, type Heading } from './table';
import { oneLine } from './words';

export type Form = 'table' | 'lines' | 'json' | 'jsonl';

export interface Column<T> extends Heading {
  /** For people. */
  readonly show: (one: T) => string;
  /** In tab-separated lines, where it differs: nothing is shortened there. */
  readonly plain?: (one: T) => string;
}
/** How a list of things is written. */
export interface Listing<T> {
  readonly columns: readonly Column<T>[];
  /** In JSON, where it differs from the thing itself. */
  readonly json?: (one: T) => unknown;
}

export interface OutputOptions {
  readonly form: Form;
  /** Columns of the terminal. */
  readonly width: number;
  readonly bytes: Bytes;
  /** Writes to stdout. */
  readonly write: (text: string) => void;
  /** Resolves when a slow reader of stdout has caught up; undefined when it is not behind. */
  readonly caughtUp: () => Promise<void> | undefined;
  /** Writes to stderr. */
  readonly warn: (text: string) => void;
}

export class Output {
  constructor(private readonly options: OutputOptions) {}

  get form(): Form {
    return this.options.form;
  }
  get width(): number {
    return this.options.width;
  }
  get bytes(): Bytes {
    return this.options.bytes;
  }
  /** Whether a person reads it. */
  get forPeople(): boolean {
    return this.form === 'table';
  }

  /** A line of data. */
  line(text: string): void {
    this.options.write(`${text}\n`);
  }
  /** A line about the data. */
  say(text: string): void {
    const lines = this.forPeople ? wrap(text, this.width) : [oneLine(text)];
    for (const line of lines) this.options.warn(`${line}\n`);
  }
  /** A command to type next, on a line of its own: it is copied, so the terminal may break it and we do not. */
  next(command: string): void {
    this.options.warn(`  ${oneLine(command)}\n`);
  }
  /** The only thing there is to write, for programs. */
  value(value: unknown): void {
    this.line(toJson(value, this.bytes, this.form === 'json' ? 2 : 0));
  }

  /** Writes each thing as soon as its form allows it. Gives how many there were. */
  async list<T>({ columns, json = (one) => one }: Listing<T>, things: Iterable<T> | AsyncIterable<T>): Promise<number> {
    switch (this.form) {
      case 'table':
        return this.#table(columns, things);
      case 'lines':
        return this.#lines(columns, things);
      case 'json':
        return this.#json(json, things);
      case 'jsonl':
        return this.#each(things, (one) => this.line(toJson(json(one), this.bytes)));
    }
  }

  async #table<T>(columns: readonly Column<T>[], things: Iterable<T> | AsyncIterable<T>): Promise<number> {
    const rows: string[][] = [];
    let failed: unknown;
    try {
      await this.#each(things, (one) => void rows.push(columns.map(({ show }) => show(one))));
    } catch (error) {
      failed = error; // what came until then is shown all the same
    }
    if (rows.length > 0) {
      const { lines, left } = table(columns, rows, this.width);
      for (const line of lines) this.line(line);
      if (left.length > 0) this.say(`no room for ${left.join(', ')}: a wider terminal or -o json shows all`);
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

  /** No faster than what is written is read. */
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
