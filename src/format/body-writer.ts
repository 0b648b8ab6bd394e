/**
 * Encodes values in one pass that also checks them. It reads each property once, so that a getter or Proxy cannot
 * return another value after the check. It uses its own stack, as the reader does.
 */
import { types } from 'node:util';
import { limits } from '../base/limits';
import { invalid, readFault, tooLarge, type Side } from './body-errors';
import { extensions, framesKeptMax, isForbiddenKey, isRoot, kinds, weights, type Kind } from './body-format';
import { ByteSink, Refused, TooMuch } from './byte-sink';
import { bytesOf, isBytes, isDirect, mustBePlain, mustHaveNoFields, notSendable } from './plain-data';

export interface BodyBounds {
  readonly bytesMax: number;
  readonly depthMax: number;
}

/**
 * Encodes `value` into newly allocated memory. Throws Invalid with the path of the field, or TooLarge as soon as it
 * exceeds `bytesMax`. Both errors name it as `what`, such as `input of photos.add`.
 */
export function writeBody(value: unknown, bounds: BodyBounds, side: Side, what: string): Uint8Array {
  // A getter can itself send a message while it is read, so the shared writer can be in use.
  const writer = shared.busy ? new Writer(deskBytesNested) : shared;
  try {
    return writer.write(value, bounds);
  } catch (error) {
    if (error instanceof TooMuch) throw tooLarge(what, error.bytes, bounds.bytesMax);
    throw invalid(side, what, error instanceof Refused ? error.message : readFault(error), writer.path);
  } finally {
    writer.release();
  }
}

/** A container that is being written. */
class Frame {
  kind: Kind = kinds.array;
  /** The sender's object, by which cycles are found. */
  source: object = nothing;
  /** The items: elements, members, alternating keys and values of a Map, or the keys of an object. */
  list: readonly unknown[] = [];
  count = 0;
  next = 0;
  /** Number of properties that are undefined. */
  absent = 0;
  /** Position of its header. */
  at = 0;
}
const nothing = {};
const noItems: readonly unknown[] = [];

class Writer extends ByteSink {
  busy = false;
  /** The path of the invalid field after an error, outermost part first. */
  path: readonly PropertyKey[] = [];
  readonly #frames: Frame[] = [];
  /** Index of the innermost open container; -1 when none is open. */
  #top = -1;
  #items = 0;
  #depthMax = 0;

  write(value: unknown, { bytesMax, depthMax }: BodyBounds): Uint8Array {
    this.busy = true;
    this.begin(bytesMax);
    this.#items = 0;
    this.#depthMax = depthMax;
    this.path = [];
    try {
      this.#run(value);
    } catch (error) {
      if (this.path.length === 0) this.path = this.#frames.slice(0, this.#top + 1).map(placeIn);
      throw error;
    }
    return this.taken();
  }
  /** Releases the value and excess memory, so that the shared writer does not keep them. */
  release(): void {
    for (; this.#top >= 0; this.#top--) this.#clear(this.#frameAt(this.#top));
    if (this.#frames.length > framesKeptMax) this.#frames.length = framesKeptMax;
    this.shrink();
    this.busy = false;
  }

  #run(root: unknown): void {
    let value = root;
    for (;;) {
      this.#value(value);
      if (this.at > this.bytesMax) throw new TooMuch(this.at);
      // Find the next value of the innermost container that is not complete.
      for (;;) {
        if (this.#top < 0) return;
        const frame = this.#frameAt(this.#top);
        if (frame.next === frame.count) {
          this.#close(frame);
          continue;
        }
        const item = frame.list[frame.next++];
        if (frame.kind !== kinds.object) {
          value = item;
          break;
        }
        const key = item as string; // the list of an object is its keys
        // The cast is safe: the key is an own key of the object.
        value = (frame.source as Record<string, unknown>)[key];
        if (value === undefined) {
          frame.absent++;
          continue;
        }
        if (isForbiddenKey(key)) throw new Refused('the key is not allowed');
        this.text(key);
        break;
      }
    }
  }

  #value(value: unknown): void {
    switch (typeof value) {
      case 'string':
        return this.text(value);
      case 'number':
        return this.number(value);
      case 'boolean':
        return this.byte(value ? 0xc3 : 0xc2);
      case 'bigint':
        return this.bigint(value);
      case 'object':
        return value === null ? this.byte(0xc0) : this.#object(value);
      default: // undefined, function, symbol
        throw new Refused(`${typeof value} cannot be sent`);
    }
  }

  #object(value: object): void {
    const prototype: unknown = Object.getPrototypeOf(value);
    if (prototype === Object.prototype) return this.#fields(value);
    if (Array.isArray(value)) {
      if (prototype !== Array.prototype && !isDirect(prototype)) throw notSendable(value);
      return this.#array(value);
    }
    if (prototype === null || isRoot(prototype)) return this.#fields(value);
    if (types.isUint8Array(value)) return this.#bytes(value, prototype);
    if (isDirect(prototype)) {
      if (types.isDate(value)) return this.#time(value);
      if (types.isMap(value)) return this.#map(value);
      if (types.isSet(value)) return this.#set(value);
    }
    throw notSendable(value);
  }

  #fields(value: object): void {
    const keys = Object.keys(value);
    // Built-in objects without a prototype of their own, such as Math or `arguments`, have no keys or begin with `0`.
    if (keys.length === 0 || keys[0] === '0') mustBePlain(value);
    this.#open(kinds.object, value, keys, keys.length * 2);
    this.header(keys.length, 0x80, 0xde);
  }
  #array(value: readonly unknown[]): void {
    this.#open(kinds.array, value, value, value.length);
    this.header(value.length, 0x90, 0xdc);
  }
  #map(value: ReadonlyMap<unknown, unknown>): void {
    const pairs: unknown[] = [];
    Map.prototype.forEach.call(value, (item: unknown, key: unknown) => pairs.push(key, item));
    this.#collection(kinds.map, extensions.map, value, pairs);
  }
  #set(value: ReadonlySet<unknown>): void {
    const members: unknown[] = [];
    Set.prototype.forEach.call(value, (member: unknown) => members.push(member));
    this.#collection(kinds.set, extensions.set, value, members);
  }
  #collection(kind: Kind, type: number, value: object, list: readonly unknown[]): void {
    mustHaveNoFields(value);
    this.#weigh(weights.collection - 1);
    this.#open(kind, value, list, list.length);
    const at = this.room(collectionHeadBytes);
    this.desk[at] = 0xc9; // the length in the next four bytes is set when it is known
    this.desk[at + 5] = type;
    this.at = at + collectionHeadBytes;
    this.header(list.length, 0x90, 0xdc);
  }

  #open(kind: Kind, source: object, list: readonly unknown[], items: number): void {
    if (this.#top + 1 >= this.#depthMax) this.#refuseDeep(source);
    this.#weigh(items);
    if (this.at + items > this.bytesMax) throw new TooMuch(this.at + items); // each item has at least one byte
    const top = ++this.#top;
    if (top === this.#frames.length) this.#frames.push(new Frame());
    const frame = this.#frameAt(top);
    frame.kind = kind;
    frame.source = source;
    frame.list = list;
    frame.count = list.length;
    frame.next = 0;
    frame.absent = 0;
    frame.at = this.at;
  }
  #close(frame: Frame): void {
    if (frame.kind === kinds.object) {
      if (frame.absent > 0) this.#recount(frame.at, frame.count, frame.count - frame.absent);
    } else if (frame.kind !== kinds.array) {
      this.view.setUint32(frame.at + 1, this.at - frame.at - collectionHeadBytes);
    }
    this.#clear(frame);
    this.#top--;
  }
  /** Corrects the count in a header. The header keeps its size, so that no bytes move. */
  #recount(at: number, before: number, count: number): void {
    if (before < 16) this.desk[at] = 0x80 | count;
    else if (before < 0x10000) this.view.setUint16(at + 1, count);
    else this.view.setUint32(at + 1, count);
  }
  #frameAt(index: number): Frame {
    // The cast is safe: a frame is created before `#top` refers to it.
    return this.#frames[index] as Frame;
  }
  #clear(frame: Frame): void {
    frame.source = nothing;
    frame.list = noItems;
  }
  #weigh(items: number): void {
    this.#items += items;
    if (this.#items > limits.bodyItemsMax) throw new Refused(`more than ${limits.bodyItemsMax} items`);
  }

  /**
   * Throws for a value that is nested too deep. Cycles are found only here, so that values without cycles need no
   * check. The path of a cycle ends where it begins.
   */
  #refuseDeep(value: object): never {
    const above = new Map<object, number>();
    const chain = [...this.#frames.slice(0, this.#top + 1).map(({ source }) => source), value];
    for (const [depth, link] of chain.entries()) {
      if (above.has(link)) {
        this.path = this.#frames.slice(0, depth).map(placeIn);
        throw new Refused('the value contains itself');
      }
      above.set(link, depth);
    }
    throw new Refused(`nested deeper than ${this.#depthMax} (bodyDepthMax)`);
  }

  #bytes(value: Uint8Array, prototype: unknown): void {
    if (prototype !== Buffer.prototype && prototype !== Uint8Array.prototype && !isBytes(prototype))
      throw notSendable(value);
    this.binary(bytesOf(value));
  }
  #time(value: Date): void {
    const ms = Date.prototype.getTime.call(value);
    if (Number.isNaN(ms)) throw new Refused('an invalid Date cannot be sent');
    mustHaveNoFields(value);
    this.#weigh(weights.date - 1);
    this.date(ms);
  }
}

/** Returns the key or index at which the writer is in a container. */
function placeIn({ kind, list, next }: Frame): PropertyKey {
  const index = Math.max(0, next - 1);
  if (kind === kinds.object) return list[index] as string; // the list of an object is its keys
  if (kind !== kinds.map) return index;
  const key = list[index - (index % 2)];
  return typeof key === 'string' ? key : index >> 1;
}

/**
 * Size of an extension header with a length of four bytes. Its size is fixed, so that no bytes move when the length is
 * set.
 */
const collectionHeadBytes = 6;
const deskBytesShared = 16_384;
const deskBytesNested = 1_024;
const shared = new Writer(deskBytesShared);
