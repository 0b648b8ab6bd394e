/**
 * Takes apart what a sender passes: a plain copy the encoder can trust, or the path of the field that cannot be sent.
 */
import { types } from 'node:util';
import { BusError, type BusDetails, type Issue } from '../base/errors';
import { limits } from '../base/limits';
import { bigintDigitsMax, isForbiddenKey, weights } from './scan';

/** What stands in the copy for a value that is written as an extension of ours. */
class Form {
  constructor(readonly payload: Uint8Array) {}
}
export class MapForm extends Form {}
export class SetForm extends Form {}
export class BigintForm extends Form {}
/** The encoder would write -0 as 0. */
export class MinusZero {}

/** Writes a copy as bytes; what it gives is its own. */
export type Pack = (copy: unknown) => Uint8Array;

export type Side = BusDetails['Invalid']['side'];

/**
 * Copies `value`, reading each property once: a getter or Proxy that answers differently the next time finds nobody
 * asking. Throws Invalid with the path of the field, or TooLarge as soon as more than `bytesMax` bytes are certain.
 * `what` it is, for both: `input of photos.add`.
 */
export function snapshot(value: unknown, bytesMax: number, side: Side, what: string, pack: Pack): unknown {
  const copier = new Copier(bytesMax, pack);
  try {
    return copier.copy(value, 0);
  } catch (error) {
    if (error instanceof TooMuch) throw tooLarge(what, copier.bytes, bytesMax);
    throw invalid(side, what, error instanceof Refused ? error.message : reading(error), copier.path);
  }
}

export function tooLarge(what: string, bytes: number, limitBytes: number): BusError<'TooLarge'> {
  const most = limits.messageBytesMax;
  const option = limitBytes < most ? `messageBytesMax, which may be raised to ${most}` : 'the most that there is';
  const message = `${what} has ${bytes} bytes or more, allowed are ${limitBytes} (${option})`;
  return new BusError('TooLarge', message, { bytes, limitBytes });
}

function invalid(side: Side, what: string, message: string, path: readonly PropertyKey[]): BusError<'Invalid'> {
  const issue: Issue = path.length > 0 ? { message, path } : { message };
  const place = path.length > 0 ? `${path.map(String).join('.')}: ` : '';
  return new BusError('Invalid', `${what} cannot be sent: ${place}${message}`, { side, issues: [issue] });
}

function reading(error: unknown): string {
  // What a hostile Proxy throws may itself throw when it is looked at.
  try {
    return `reading it threw: ${error instanceof Error ? error.message : String(error)}`;
  } catch {
    return 'reading it threw';
  }
}

class Refused extends Error {}
class TooMuch extends Error {}

class Copier {
  /** Certain bytes so far: a lower bound of what will be written. */
  bytes = 0;
  /** Of the field being copied; after a throw, of the culprit. */
  readonly path: PropertyKey[] = [];
  private readonly above: object[] = [];
  private items = 0;

  constructor(
    private readonly bytesMax: number,
    private readonly pack: Pack,
  ) {}

  copy(value: unknown, depth: number): unknown {
    switch (typeof value) {
      case 'string':
        this.text(value);
        return value;
      case 'number':
        return value === 0 && Object.is(value, -0) ? new MinusZero() : value;
      case 'boolean':
        return value;
      case 'bigint':
        return this.bigint(value);
      case 'object':
        return value === null ? null : this.object(value, depth);
      default: // undefined, function, symbol
        throw new Refused(`${typeof value} cannot be sent`);
    }
  }

  private text(value: string): void {
    if (!value.isWellFormed()) throw new Refused('a string with half a surrogate pair cannot be sent');
    this.count(value.length);
  }

  private bigint(value: bigint): BigintForm {
    // Compared first: writing out the digits of a huge one takes seconds.
    if (value >= bigintEnd || value <= -bigintEnd) throw new Refused(`a bigint has at most ${bigintDigitsMax} digits`);
    return new BigintForm(Buffer.from(String(value), 'latin1'));
  }

  private count(bytes: number): void {
    this.bytes += bytes;
    if (this.bytes > this.bytesMax) throw new TooMuch();
  }

  private object(value: object, depth: number): unknown {
    const prototype: unknown = Object.getPrototypeOf(value);
    if (prototype === Object.prototype) return this.fields(value, depth);
    if (Array.isArray(value)) return this.array(value, prototype, depth);
    if (prototype === null || isRoot(prototype)) return this.fields(value, depth);
    if (types.isDate(value) && isDirect(prototype)) return this.date(value);
    if (types.isUint8Array(value)) {
      this.count(value.length);
      return value;
    }
    if (types.isMap(value) && isDirect(prototype)) return this.map(value, depth);
    if (types.isSet(value) && isDirect(prototype)) return this.set(value, depth);
    throw new Refused(`${className(value)} cannot be sent; send plain objects, arrays, Date, Map, Set or Uint8Array`);
  }

  private fields(value: object, depth: number): object {
    const keys = Object.keys(value);
    this.enter(value, keys.length * 2, depth);
    const copy: Record<string, unknown> = {};
    for (const key of keys) {
      this.path[depth] = key;
      this.text(key);
      if (isForbiddenKey(key)) throw new Refused('the key is not allowed');
      // Own keys of an object can be read by them; the type of `value` does not say so.
      const field: unknown = (value as Record<string, unknown>)[key];
      if (field !== undefined) copy[key] = this.copy(field, depth + 1);
    }
    this.leave(depth);
    return copy;
  }

  private array(value: readonly unknown[], prototype: unknown, depth: number): unknown[] {
    if (prototype !== Array.prototype && !isDirect(prototype)) throw new Refused(`${className(value)} cannot be sent`);
    const { length } = value;
    this.enter(value, length, depth);
    const copy: unknown[] = [];
    for (let i = 0; i < length; i++) {
      this.path[depth] = i;
      copy.push(this.copy(value[i], depth + 1));
    }
    this.leave(depth);
    return copy;
  }

  private map(value: ReadonlyMap<unknown, unknown>, depth: number): MapForm {
    this.weigh(weights.collection - 1);
    this.enter(value, value.size * 2, depth);
    const pairs: unknown[] = [];
    for (const [key, item] of value) {
      this.path[depth] = typeof key === 'string' ? key : pairs.length / 2;
      pairs.push(this.copy(key, depth + 1), this.copy(item, depth + 1));
    }
    this.leave(depth);
    return new MapForm(this.pack(pairs));
  }

  private set(value: ReadonlySet<unknown>, depth: number): SetForm {
    this.weigh(weights.collection - 1);
    this.enter(value, value.size, depth);
    const members: unknown[] = [];
    for (const member of value) {
      this.path[depth] = members.length;
      members.push(this.copy(member, depth + 1));
    }
    this.leave(depth);
    return new SetForm(this.pack(members));
  }

  private date(value: Date): Date {
    const time = Date.prototype.getTime.call(value);
    if (Number.isNaN(time)) throw new Refused('a Date that is no time cannot be sent');
    this.weigh(weights.date - 1);
    return new Date(time);
  }

  private enter(value: object, items: number, depth: number): void {
    if (depth >= limits.bodyDepthMax) this.refuseDeep(value);
    this.above[depth] = value;
    this.weigh(items);
    this.count(items);
  }

  private weigh(items: number): void {
    this.items += items;
    if (this.items > limits.bodyItemsMax) throw new Refused(`more than ${limits.bodyItemsMax} items`);
  }

  private leave(depth: number): void {
    this.path.length = depth;
  }

  /** Cycles are found by their depth, which costs nothing where there is none; then the path stops where it closed. */
  private refuseDeep(value: object): never {
    const chain = [...this.above.slice(0, limits.bodyDepthMax), value];
    const closed = chain.findIndex((link, depth) => chain.indexOf(link) < depth);
    if (closed < 0) throw new Refused(`nested deeper than ${limits.bodyDepthMax}`);
    this.path.length = closed;
    throw new Refused('it contains itself');
  }
}

const bigintEnd = 10n ** BigInt(bigintDigitsMax);

/** The Object.prototype of this or another realm (a vm context, a test runner): structuredClone makes such objects. */
function isRoot(prototype: unknown): boolean {
  return (
    typeof prototype === 'object' &&
    prototype !== null &&
    Object.getPrototypeOf(prototype) === null &&
    Object.hasOwn(prototype, 'isPrototypeOf')
  );
}

/** The prototype of a built-in class, of whatever realm, and of no class derived from it. */
function isDirect(prototype: unknown): boolean {
  return isRoot(Object.getPrototypeOf(prototype));
}

function className(value: object): string {
  // Only for the message: whatever `constructor` is, its name is asked for.
  const { name } = (value.constructor ?? {}) as { name?: unknown };
  return typeof name === 'string' && name !== '' ? `an instance of ${name}` : 'an object with a prototype of its own';
}
