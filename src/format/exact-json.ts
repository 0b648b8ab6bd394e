/**
 * Parses JSON without changing any value. `JSON.parse` rounds numbers, keeps the last of two equal keys, and creates
 * strings with half a surrogate pair. This parser refuses such texts.
 */
import { limits } from '../base/limits';
import { boundedPath, isForbiddenKey, isRoot, describePath } from './body-format';

export interface JsonRules {
  readonly depthMax: number;
  /**
   * Returns whole numbers beyond 2^53 as bigints. Otherwise they are faults.
   * @default false
   */
  readonly bigints?: boolean;
}
export type JsonRead =
  | { readonly ok: true; readonly value: unknown }
  | {
      readonly ok: false;
      /** The description of the fault, which begins with its path. */
      readonly reason: string;
      readonly path: readonly PropertyKey[];
      /** True when the text is JSON, but has a value that cannot be represented exactly. */
      readonly isJson: boolean;
    };

/**
 * Parses JSON text. Never throws.
 * - A whole number (without a point or exponent) must be a safe integer, below 2^53.
 * - Any other number can have at most 17 digits, without leading zeros and zeros at the end of the fraction. Printed
 * with the same number of digits, it must be equal.
 * - Keys of an object must be unique, and cannot be `__proto__`, `constructor` or `prototype`.
 */
export function readJson(text: string, rules: JsonRules): JsonRead {
  try {
    JSON.parse(text); // the parser below relies on valid grammar
  } catch (error) {
    return { ok: false, reason: error instanceof Error ? error.message : String(error), path: [], isJson: false };
  }
  const parser = new Parser(text, rules);
  try {
    return { ok: true, value: parser.run() };
  } catch (error) {
    if (!(error instanceof Inexact)) throw error;
    const path = boundedPath(parser.path());
    const place = path.length > 0 ? `${describePath(path)}: ` : '';
    return { ok: false, reason: `${place}${error.message}`, path, isJson: true };
  }
}

class Inexact extends Error {}

/**
 * Returns the first part of `value` that `JSON.stringify` would change or leave out, as `path: fault`; undefined when
 * there is none. Properties that are undefined count as absent.
 */
export function inexactJson(value: unknown, depthMax: number, path: readonly PropertyKey[] = []): string | undefined {
  const fault = scalarFault(value);
  if (fault !== undefined) return `${path.length > 0 ? `${describePath(path)}: ` : ''}${fault}`;
  if (typeof value !== 'object' || value === null) return undefined;
  if (path.length >= depthMax) return `${describePath(path)}: more than ${depthMax} levels`;
  for (const [key, item] of Array.isArray(value) ? value.entries() : Object.entries(value)) {
    if (item === undefined && !Array.isArray(value)) continue;
    const inside = [...path, key];
    if (typeof key === 'string' && isForbiddenKey(key)) return `${describePath(inside)}: the key is not allowed`;
    if (typeof key === 'string' && !key.isWellFormed()) return `${describePath(inside)}: half a surrogate pair`;
    const found = inexactJson(item, depthMax, inside);
    if (found !== undefined) return found;
  }
  return undefined;
}

function scalarFault(value: unknown): string | undefined {
  switch (typeof value) {
    case 'boolean':
      return undefined;
    case 'string':
      return value.isWellFormed() ? undefined : 'half a surrogate pair';
    case 'number':
      if (!Number.isFinite(value) || Object.is(value, -0))
        return `${Object.is(value, -0) ? '-0' : value} is not in JSON`;
      // JSON.stringify writes such a number as digits only, so the reader could not detect that it was rounded.
      return Number.isInteger(value) && !Number.isSafeInteger(value) && Math.abs(value) < 1e21
        ? `the whole number ${value} is beyond 2^53`
        : undefined;
    case 'object':
      return value === null || Array.isArray(value) || isPlain(value)
        ? undefined
        : 'an instance of a class is not in JSON';
    default:
      return `${typeof value} is not in JSON`;
  }
}
function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || isRoot(prototype);
}

/** A list or an object that is being parsed. */
interface Open {
  readonly list: unknown[] | undefined;
  readonly fields: Record<string, unknown>;
  key: string;
}

class Parser {
  readonly #open: Open[] = [];
  #at = 0;
  #items = 0;

  constructor(
    private readonly text: string,
    private readonly rules: JsonRules,
  ) {}

  path(): readonly PropertyKey[] {
    return this.#open.map(({ list, key }) => list?.length ?? key);
  }

  run(): unknown {
    for (;;) {
      let value: unknown;
      const letter = this.#next();
      if (letter === '[' || letter === '{') {
        if (this.#begin(letter)) continue;
        value = letter === '[' ? [] : {};
      } else if (letter === '"') value = this.#string();
      else if (letter === 't' || letter === 'n') value = this.#word(4, letter === 't' ? true : null);
      else if (letter === 'f') value = this.#word(5, false);
      else value = this.#number();
      for (;;) {
        const inner = this.#open.at(-1);
        if (!inner) return value;
        if (inner.list) inner.list.push(value);
        else inner.fields[inner.key] = value;
        const isLast = this.#next() !== ',';
        this.#at++; // skips the comma or the closing bracket
        if (!isLast) {
          this.#item(inner);
          break;
        }
        value = inner.list ?? inner.fields;
        this.#open.pop();
      }
    }
  }

  /** Skips white space, and returns the next character without consuming it. */
  #next(): string {
    let letter = this.text[this.#at] ?? '';
    while (letter === ' ' || letter === '\n' || letter === '\r' || letter === '\t')
      letter = this.text[++this.#at] ?? '';
    return letter;
  }

  /** Opens a list or an object. Returns false when it is empty. */
  #begin(letter: '[' | '{'): boolean {
    if (this.#open.length >= this.rules.depthMax)
      this.#refuse(`more than ${this.rules.depthMax} levels (bodyDepthMax)`);
    this.#at++;
    const next = this.#next();
    if (next === ']' || next === '}') {
      this.#at++;
      return false;
    }
    const inner: Open = { list: letter === '[' ? [] : undefined, fields: {}, key: '' };
    this.#open.push(inner);
    this.#item(inner);
    return true;
  }

  /** Starts the next element of a list, or parses the next key of an object. */
  #item(inner: Open): void {
    this.#items += inner.list ? 1 : 2;
    if (this.#items > limits.bodyItemsMax) this.#refuse(`more than ${limits.bodyItemsMax} items`);
    if (inner.list) return;
    this.#next();
    inner.key = this.#string('the key has');
    const shown = JSON.stringify(inner.key.slice(0, 40));
    if (isForbiddenKey(inner.key)) this.#refuse(`the key ${shown}`);
    if (Object.hasOwn(inner.fields, inner.key)) this.#refuse(`the key ${shown} twice`);
    this.#next();
    this.#at++; // skips the colon
  }

  #word(length: number, value: boolean | null): boolean | null {
    this.#at += length;
    return value;
  }

  #string(what = 'a string with'): string {
    const from = this.#at;
    let to = this.text.indexOf('"', from + 1);
    while (this.#isEscaped(to)) to = this.text.indexOf('"', to + 1);
    this.#at = to + 1;
    const inside = this.text.slice(from + 1, to);
    // The cast is safe: the text between two quotes of valid JSON is a string.
    const value = inside.includes('\\') ? (JSON.parse(`"${inside}"`) as string) : inside;
    if (!value.isWellFormed()) this.#refuse(`${what} half a surrogate pair`);
    return value;
  }
  /** Returns true when an odd number of backslashes precedes the position. */
  #isEscaped(at: number): boolean {
    let from = at;
    while (this.text[from - 1] === '\\') from--;
    return (at - from) % 2 === 1;
  }

  #number(): number | bigint {
    const from = this.#at;
    while (isOfNumber(this.text.charCodeAt(this.#at))) this.#at++;
    const token = this.text.slice(from, this.#at);
    const value = Number(token);
    const shown = token.length > 40 ? `${token.slice(0, 40)}…` : token;
    if (!/[.eE]/.test(token)) {
      if (Number.isSafeInteger(value)) return value;
      if (this.rules.bigints && token.length <= bigintCharsMax) return BigInt(token);
      return this.#refuse(`the whole number ${shown}, which is beyond 2^53 and would be rounded`);
    }
    if (token.length <= plainCharsMax && isNormal(value)) return value;
    const said = partsOf(token);
    if (!said) return value; // the number is zero
    if (said.digits > digitsMax)
      return this.#refuse(`the number ${shown}, which has more than ${digitsMax} digits and would be rounded`);
    if (!Number.isFinite(value) || !isHeld(said, value))
      return this.#refuse(`the number ${shown}, which a 64-bit floating-point number cannot hold`);
    return value;
  }

  #refuse(reason: string): never {
    throw new Inexact(reason);
  }
}

interface Parts {
  /** The significant digits. The number is 0.SIGNIFICANT × 10^point. */
  readonly significant: string;
  readonly point: number;
  /** Number of digits written, without leading zeros and zeros at the end of the fraction. */
  readonly digits: number;
}
/** Returns the parts of a number; undefined for zero. */
function partsOf(token: string): Parts | undefined {
  const from = token.startsWith('-') ? 1 : 0;
  const small = token.indexOf('e');
  const exponentAt = small < 0 ? token.indexOf('E') : small;
  const mantissa = exponentAt < 0 ? token.slice(from) : token.slice(from, exponentAt);
  const exponent = exponentAt < 0 ? 0 : Number(token.slice(exponentAt + 1));
  const pointAt = mantissa.indexOf('.');
  const whole = pointAt < 0 ? mantissa.length : pointAt;
  const all = pointAt < 0 ? mantissa : mantissa.slice(0, pointAt) + mantissa.slice(pointAt + 1);
  let first = 0;
  while (all[first] === '0') first++;
  let last = all.length;
  while (last > first && all[last - 1] === '0') last--;
  if (first === last) return undefined;
  const digits = Math.max(last, whole) - first;
  return { significant: all.slice(first, last), point: whole - first + exponent, digits };
}
/**
 * Returns true when the parsed number equals the text, printed in its shortest form or with the same number of digits.
 */
function isHeld(said: Parts, value: number): boolean {
  if (isSame(said, partsOf(value.toPrecision(said.digits)))) return true;
  // A number midway between two decimals can be rounded in the other direction in its shortest form.
  return said.digits <= said.significant.length && isSame(said, partsOf(value.toExponential()));
}
function isSame({ significant, point }: Parts, other: Parts | undefined): boolean {
  return other?.significant === significant && other.point === point;
}
/** Returns true for numbers in the range in which a 64-bit float has its full precision of 53 bits. */
function isNormal(value: number): boolean {
  return Math.abs(value) >= smallestNormal && Math.abs(value) <= Number.MAX_VALUE;
}

/** Returns true for digits, signs, the point and the letter of the exponent. */
function isOfNumber(code: number): boolean {
  return (
    (code >= 0x30 && code <= 0x39) || code === 0x2e || code === 0x2d || code === 0x65 || code === 0x45 || code === 0x2b
  );
}

/** Maximum digits of a number. 17 digits distinguish any two 64-bit floats, so more would be rounded. */
const digitsMax = 17;
const smallestNormal = 2 ** -1022;
/**
 * Maximum length of a number that needs no further check: 15 digits and a point, which a 64-bit float always preserves.
 */
const plainCharsMax = 16;
/** Maximum length of a bigint: the 100 digits that a body allows, and the sign. */
const bigintCharsMax = 101;
