/**
 * Decodes bodies in one pass that builds the value and refuses bytes that are not exactly one value. It uses its own
 * stack, so that a deeply nested body cannot overflow the call stack.
 */
import { limits } from '../base/limits';
import { boundedPath, extensions, framesKeptMax, kinds, describePath, weights, type Kind } from './body-format';
import { BadBytes, ByteSource, keyBytesCached, noBytes } from './byte-source';

/** Decodes bytes[0, end) into a value that shares no memory with them. Throws BadBytes. */
export function readBody(bytes: Uint8Array, end: number, depthMax: number): unknown {
  return reader.read(bytes, end, depthMax);
}

/** A container that is being read. */
class Frame {
  kind: Kind = kinds.array;
  count = 0;
  /** Number of items not read yet: entries of an object, elements of any other container. */
  left = 0;
  list: unknown[] = none;
  fields: Record<string, unknown> = noFields;
  /** The key of the next value. */
  key = '';
  /** The end of the container around a Map or Set. */
  outerEnd = 0;
}
const none: unknown[] = [];
const noFields: Record<string, unknown> = {};

class Reader extends ByteSource {
  readonly #frames: Frame[] = [];
  /** Index of the innermost open container; -1 when none is open. */
  #top = -1;
  #items = 0;
  #depthMax = 0;

  read(bytes: Uint8Array, end: number, depthMax: number): unknown {
    this.begin(bytes, end);
    this.#items = 0;
    this.#depthMax = depthMax;
    try {
      return this.#run();
    } catch (error) {
      throw error instanceof BadBytes ? this.#placed(error) : error;
    } finally {
      // Release the body, so that the shared reader does not keep it in memory.
      this.begin(noBytes, 0);
      for (; this.#top >= 0; this.#top--) this.#clear(this.#frameAt(this.#top));
      if (this.#frames.length > framesKeptMax) this.#frames.length = framesKeptMax;
    }
  }

  #run(): unknown {
    const bytes = this.bytes;
    for (;;) {
      let value: unknown;
      if (this.at >= this.end) this.cutOff(1);
      const code = bytes[this.at++] ?? 0;
      if (code < 0x80) value = code;
      else if (code >= 0xe0) value = code - 0x100;
      else if (code >= 0xa0 && code < 0xc0) value = this.text(code & 0x1f);
      else if (code < 0x90) {
        if (this.#open(kinds.object, code & 0x0f)) continue;
        value = {};
      } else if (code < 0xa0) {
        if (this.#open(kinds.array, code & 0x0f)) continue;
        value = [];
      } else {
        value = this.#long(code);
        if (value === opened) continue;
      }
      // Put the value into its container. A complete container is then the next value.
      for (;;) {
        if (this.#top < 0) return this.#whole(value);
        const frame = this.#frameAt(this.#top);
        if (frame.kind === kinds.object) {
          frame.fields[frame.key] = value;
          if (--frame.left > 0) {
            this.#key(frame);
            break;
          }
          value = frame.fields;
        } else {
          frame.list.push(value);
          if (--frame.left > 0) break;
          value = frame.kind === kinds.array ? frame.list : this.#collected(frame);
        }
        this.#clear(frame);
        this.#top--;
      }
    }
  }

  #whole(value: unknown): unknown {
    const more = this.end - this.at;
    if (more > 0) this.refuse(`${more} more bytes after the value`);
    return value;
  }

  /** Reads types whose length or value is not in the first byte. Returns `opened` for a container that is not empty. */
  #long(code: number): unknown {
    switch (code) {
      case 0xc0:
        return null;
      case 0xc2:
        return false;
      case 0xc3:
        return true;
      case 0xcc:
        return this.uint8();
      case 0xcd:
        return this.uint16();
      case 0xce:
        return this.uint32();
      case 0xd0:
        return (this.uint8() << 24) >> 24;
      case 0xd1:
        return (this.uint16() << 16) >> 16;
      case 0xd2:
        return this.uint32() | 0;
      case 0xca:
        return this.float32();
      case 0xcb:
        return this.float64();
      case 0xcf:
      case 0xd3:
        return this.integer(code === 0xd3);
      case 0xc4:
      case 0xc5:
      case 0xc6:
        return this.binary(this.length(code - 0xc4));
      case 0xd9:
      case 0xda:
      case 0xdb:
        return this.text(this.length(code - 0xd9));
      case 0xdc:
      case 0xdd:
        return this.#open(kinds.array, this.length(code - 0xdb)) ? opened : [];
      case 0xde:
      case 0xdf:
        return this.#open(kinds.object, this.length(code - 0xdd)) ? opened : {};
      case 0xc7:
      case 0xc8:
      case 0xc9:
        return this.#extension(this.length(code - 0xc7));
      case 0xc1:
        return this.refuse('0xc1 is not a type of MessagePack');
      default: // 0xd4 to 0xd8: 1, 2, 4, 8, 16
        return this.#extension(1 << (code - 0xd4));
    }
  }

  /** Opens a container. Returns false when it is empty. */
  #open(kind: Kind, count: number): boolean {
    const items = kind === kinds.object ? count * 2 : count;
    if (this.#top + 1 >= this.#depthMax) this.refuse(`nested deeper than ${this.#depthMax} (bodyDepthMax)`);
    this.#weigh(items);
    // Check the count against the remaining bytes, so that a false count cannot allocate memory.
    const left = this.end - this.at;
    if (items > left) this.refuse(`${count} items announced, ${left} bytes left`);
    if (count === 0) return false;
    const top = ++this.#top;
    if (top === this.#frames.length) this.#frames.push(new Frame());
    const frame = this.#frameAt(top);
    frame.kind = kind;
    frame.count = count;
    frame.left = count;
    if (kind === kinds.object) {
      frame.fields = {};
      this.#key(frame);
    } else frame.list = [];
    return true;
  }

  /** Reads the payload of a Map or Set, which must be exactly one array. */
  #collection(kind: typeof kinds.map | typeof kinds.set, length: number): unknown {
    this.#weigh(weights.collection - 1);
    const outerEnd = this.end;
    this.end = this.at + length;
    const code = this.uint8();
    let count = 0;
    if (code >= 0x90 && code < 0xa0) count = code & 0x0f;
    else if (code === 0xdc || code === 0xdd) count = this.length(code - 0xdb);
    else this.refuse('a Map or Set that is not an array');
    if (kind === kinds.map && count % 2 !== 0) this.refuse('a Map with a key and no value');
    if (this.#open(kind, count)) {
      this.#frameAt(this.#top).outerEnd = outerEnd;
      return opened;
    }
    this.#closeCollection(outerEnd);
    return kind === kinds.map ? new Map() : new Set();
  }
  #closeCollection(outerEnd: number): void {
    if (this.at < this.end) this.refuse('bytes after the members of a Map or Set');
    this.end = outerEnd;
  }
  #collected(frame: Frame): unknown {
    this.#closeCollection(frame.outerEnd);
    return frame.kind === kinds.map ? this.#mapOf(frame.list) : this.#setOf(frame.list);
  }
  #mapOf(pairs: readonly unknown[]): Map<unknown, unknown> {
    const map = new Map<unknown, unknown>();
    for (let i = 0; i < pairs.length; i += 2) map.set(this.#member(pairs[i]), pairs[i + 1]);
    if (map.size * 2 < pairs.length) this.refuse('the same key twice in a Map');
    return map;
  }
  #setOf(members: readonly unknown[]): Set<unknown> {
    const set = new Set<unknown>();
    for (const member of members) set.add(this.#member(member));
    if (set.size < members.length) this.refuse('the same member twice in a Set');
    return set;
  }
  /** Refuses -0, because Maps and Sets change it to 0. */
  #member(member: unknown): unknown {
    if (member === 0 && Object.is(member, -0)) this.refuse('-0 as a key of a Map or a member of a Set');
    return member;
  }

  #frameAt(index: number): Frame {
    // The cast is safe: a frame is created before `#top` refers to it.
    return this.#frames[index] as Frame;
  }
  #clear(frame: Frame): void {
    frame.list = none;
    frame.fields = noFields;
  }
  #weigh(items: number): void {
    this.#items += items;
    if (this.#items > limits.bodyItemsMax) this.refuse(`more than ${limits.bodyItemsMax} items`);
  }

  #key(frame: Frame): void {
    const code = this.uint8();
    let length = 0;
    if (code >= 0xa0 && code < 0xc0) length = code & 0x1f;
    else if (code >= 0xd9 && code <= 0xdb) length = this.length(code - 0xd9);
    else {
      frame.key = '';
      this.refuse('a key that is not a string');
    }
    const key = length <= keyBytesCached ? this.shortKey(length) : this.text(length);
    frame.key = key;
    // A property can be inherited from Object.prototype, so check that it is an own one.
    if (frame.fields[key] !== undefined && Object.hasOwn(frame.fields, key)) this.refuse(`the key ${quote(key)} twice`);
  }

  #extension(length: number): unknown {
    const type = this.uint8();
    this.need(length);
    if (type === extensions.date) {
      this.#weigh(weights.date - 1);
      return this.date(length);
    }
    if (type === extensions.bigint) return this.bigint(length);
    if (type === extensions.map) return this.#collection(kinds.map, length);
    if (type === extensions.set) return this.#collection(kinds.set, length);
    return this.refuse(`extension type 0x${type.toString(16).padStart(2, '0')} is not known`);
  }

  #placed({ message }: BadBytes): BadBytes {
    const path = boundedPath(this.#frames.slice(0, this.#top + 1).map(placeIn));
    const place = path.length > 0 ? `, in ${describePath(path)}` : '';
    return new BadBytes(`byte ${this.at}${place}: ${message}`, path);
  }
}

/** Returns the key or index at which the reader is in a container. */
function placeIn({ kind, key, list }: Frame): PropertyKey {
  if (kind === kinds.object) return key;
  if (kind !== kinds.map) return list.length;
  const mapKey = list.length % 2 === 1 ? list.at(-1) : undefined;
  return typeof mapKey === 'string' ? mapKey : list.length >> 1;
}
function quote(key: string): string {
  return key.slice(0, 40);
}

/** A marker returned instead of a value when a container was opened. */
const opened = Symbol('opened');
const reader = new Reader();
