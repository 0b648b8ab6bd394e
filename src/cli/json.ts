/** Prints bodies as JSON, including values that JSON does not have, and parses JSON without rounding whole numbers. */

import { limits } from '../base/limits';
import { readJson } from '../format/exact-json';

/** The form in which bytes are printed: their number, or all of them in hex. */
export type Bytes = 'counted' | 'hex';

/**
 * Prints a value as JSON:
 * - dates in ISO 8601, bigints as digits;
 * - Maps as lists of pairs, Sets as lists;
 * - bytes as `<12 bytes>` or in hex;
 * - `NaN` and infinities as strings.
 *
 * `indent` is the number of spaces per level; 0 prints one line.
 */
export function toJson(value: unknown, bytes: Bytes = 'counted', indent = 0): string {
  return new Printer(bytes, indent).print(value);
}

/** An open list or object, with the items that are not printed yet. */
interface Open {
  readonly items: readonly (readonly [name: string | undefined, value: unknown])[];
  readonly close: string;
  next: number;
}

/** Prints without recursion, so that a deeply nested body cannot overflow the call stack. */
class Printer {
  readonly #parts: string[] = [];
  readonly #open: Open[] = [];

  constructor(
    private readonly bytes: Bytes,
    private readonly indent: number,
  ) {}

  print(value: unknown): string {
    this.#value(value);
    for (let inner = this.#open.at(-1); inner; inner = this.#open.at(-1)) {
      const item = inner.items[inner.next++];
      if (!item) {
        this.#open.pop();
        this.#line();
        this.#parts.push(inner.close);
        continue;
      }
      if (inner.next > 1) this.#parts.push(',');
      this.#line();
      const [name, one] = item;
      if (name !== undefined) this.#parts.push(JSON.stringify(name), this.indent > 0 ? ': ' : ':');
      this.#value(one);
    }
    return this.#parts.join('');
  }

  #line(): void {
    if (this.indent > 0) this.#parts.push('\n', ' '.repeat(this.#open.length * this.indent));
  }

  #value(value: unknown): void {
    if (typeof value === 'object' && value !== null) this.#object(value);
    else this.#parts.push(scalar(value));
  }
  #object(value: object): void {
    if (value instanceof Date) this.#parts.push(`"${value.toISOString()}"`);
    else if (value instanceof Uint8Array) this.#parts.push(JSON.stringify(printBytes(value, this.bytes)));
    else if (value instanceof Map || value instanceof Set || Array.isArray(value)) {
      const items: readonly unknown[] = [...value];
      this.#begin(
        '[',
        items.map((one) => [undefined, one]),
        ']',
      );
    } else {
      const fields = Object.entries(value).filter(([, field]) => field !== undefined);
      this.#begin('{', fields, '}');
    }
  }
  #begin(open: string, items: Open['items'], close: string): void {
    this.#parts.push(open);
    if (items.length === 0) this.#parts.push(close);
    else this.#open.push({ items, close, next: 0 });
  }
}

function scalar(value: unknown): string {
  if (typeof value === 'bigint') return String(value);
  if (typeof value !== 'number') return JSON.stringify(value) ?? 'null';
  if (!Number.isFinite(value)) return `"${value}"`;
  return Object.is(value, -0) ? '-0' : String(value);
}

function printBytes(bytes: Uint8Array, how: Bytes): string {
  if (how === 'hex') return Buffer.from(bytes).toString('hex');
  return `<${bytes.length} ${bytes.length === 1 ? 'byte' : 'bytes'}>`;
}

/**
 * Parses JSON. Whole numbers beyond 2^53 become bigints. Throws SyntaxError for invalid JSON and for numbers that would
 * be rounded.
 */
export function fromJson(text: string): unknown {
  const read = readJson(text, { depthMax: limits.bodyDepthMost, bigints: true });
  if (read.ok) return read.value;
  throw new SyntaxError(read.reason);
}
