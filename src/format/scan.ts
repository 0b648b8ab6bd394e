/** One pass over the bytes of a body before the decoder runs: refuses, with reasons, what no sender of ours writes. */
import { isUtf8 } from 'node:buffer';
import { limits } from '../base/limits';

/** Our own extension types; each payload has one form only. Letters, so that they show in a hex dump. */
export const extensions = {
  /** 'M': an array of keys and values by turns. */
  map: 0x4d,
  /** 'N': decimal digits, as `String(value)` writes them. */
  bigint: 0x4e,
  /** 'S': an array of the members. */
  set: 0x53,
  /** The timestamp of MessagePack, -1. */
  date: 0xff,
} as const;

/** Digits of a bigint, so that reading one takes microseconds: room for 2^256 and more. */
export const bigintDigitsMax = 100;

/** What these count for among the items of a body: as much as they cost to read. Everything else counts for one. */
export const weights = { collection: 8, date: 2 } as const;

/** Keys that change what an object is when somebody assigns them. */
const forbiddenKeys: readonly string[] = ['__proto__', 'constructor', 'prototype'];
export function isForbiddenKey(key: string): boolean {
  return key === '__proto__' || key === 'constructor' || key === 'prototype'; // faster than asking the list
}

export class BadBytes extends Error {
  override readonly name = 'BadBytes';
}

/**
 * Throws BadBytes unless bytes[0, end) are exactly one value within the limits: known types, lengths inside the buffer,
 * valid UTF-8, keys that are strings, allowed and different. Returns whether a Map or Set is in it.
 */
export function scan(bytes: Uint8Array, end: number): boolean {
  scanner.start(bytes, end);
  try {
    return scanner.run();
  } finally {
    scanner.start(none, 0); // holds on to no body
  }
}

class Scanner {
  private bytes: Uint8Array = none;
  private at = 0;
  private end = 0;
  private items = 0;
  private collections = false;
  /** The bytes again, as something that makes strings of its parts. */
  private view: Buffer | undefined;

  start(bytes: Uint8Array, end: number): void {
    this.bytes = bytes;
    this.at = 0;
    this.end = end;
    this.items = 0;
    this.collections = false;
    this.view = undefined;
  }

  run(): boolean {
    this.value(0);
    if (this.at < this.end) this.refuse(`${this.end - this.at} more bytes after the value`);
    return this.collections;
  }

  private value(depth: number): void {
    const code = this.byte();
    if (code < 0x80 || code >= 0xe0) return;
    if (code < 0x90) return this.map(code & 0x0f, depth);
    if (code < 0xa0) return this.array(code & 0x0f, depth);
    if (code < 0xc0) return this.text(code & 0x1f);
    return this.long(code, depth);
  }

  private long(code: number, depth: number): void {
    switch (code) {
      case 0xc0:
      case 0xc2:
      case 0xc3:
        return;
      case 0xcc:
      case 0xd0:
        return this.skip(1);
      case 0xcd:
      case 0xd1:
        return this.skip(2);
      case 0xca:
      case 0xce:
      case 0xd2:
        return this.skip(4);
      case 0xcb:
        return this.skip(8);
      case 0xcf:
      case 0xd3:
        return this.integer(code === 0xd3);
      case 0xc4:
      case 0xc5:
      case 0xc6:
        return this.skip(this.length(1 << (code - 0xc4)));
      case 0xd9:
      case 0xda:
      case 0xdb:
        return this.text(this.length(1 << (code - 0xd9)));
      case 0xdc:
      case 0xdd:
        return this.array(this.length(code === 0xdc ? 2 : 4), depth);
      case 0xde:
      case 0xdf:
        return this.map(this.length(code === 0xde ? 2 : 4), depth);
      case 0xc7:
      case 0xc8:
      case 0xc9:
        return this.extension(this.length(1 << (code - 0xc7)), depth);
      case 0xc1:
        return this.refuse('0xc1 is no type of MessagePack');
      default: // 0xd4 to 0xd8: 1, 2, 4, 8, 16
        return this.extension(1 << (code - 0xd4), depth);
    }
  }

  /** 64 bits that must fit a number: beyond 2^53 it would silently be another one. */
  private integer(signed: boolean): void {
    const high = this.length(4);
    const low = this.length(4);
    const top = signed ? high | 0 : high;
    if (top >= 0x200000 || top < -0x200000 || (top === -0x200000 && low === 0))
      this.refuse('an integer beyond 2^53, which no number can hold');
  }

  private array(length: number, depth: number): void {
    this.enter(length, length, depth);
    for (let i = 0; i < length; i++) this.value(depth + 1);
  }

  private map(length: number, depth: number): void {
    this.enter(length * 2, length, depth);
    const keys = length > fewKeys ? new Set<string>() : undefined;
    const first = depth * fewKeys * 2;
    for (let i = 0; i < length; i++) {
      this.key();
      if (keys) this.addKey(keys, i);
      else this.compareKeys(first, i);
      this.value(depth + 1);
    }
  }

  /** Counts before it goes in, so that a claimed length costs nothing. */
  private enter(items: number, length: number, depth: number): void {
    if (depth >= limits.bodyDepthMax) this.refuse(`nested deeper than ${limits.bodyDepthMax}`);
    this.count(items);
    if (items > this.end - this.at) this.refuse(`${length} items announced, ${this.end - this.at} bytes left`);
  }

  private count(items: number): void {
    this.items += items;
    if (this.items > limits.bodyItemsMax) this.refuse(`more than ${limits.bodyItemsMax} items`);
  }

  private keyAt = 0;
  private keyLength = 0;

  private key(): void {
    const code = this.byte();
    let length;
    if (code >= 0xa0 && code < 0xc0) length = code & 0x1f;
    else if (code >= 0xd9 && code <= 0xdb) length = this.length(1 << (code - 0xd9));
    else return this.refuse('a key that is no string');
    this.keyAt = this.at;
    this.keyLength = length;
    this.text(length);
    for (const key of forbiddenKeys) if (this.keyIs(key)) this.refuse(`the key ${key}`);
  }

  private keyIs(word: string): boolean {
    if (word.length !== this.keyLength) return false;
    let same = 0;
    while (same < word.length && this.byteAt(this.keyAt + same) === word.charCodeAt(same)) same++;
    return same === word.length;
  }

  /** Few keys are compared byte by byte: cheaper than strings, and 16 need 120 comparisons, nearly all by length. */
  private compareKeys(first: number, count: number): void {
    const { keyAt, keyLength, bytes } = this;
    for (let i = 0; i < count; i++) {
      const at = places[first + i * 2];
      if (at === undefined || places[first + i * 2 + 1] !== keyLength) continue;
      let same = 0;
      while (same < keyLength && bytes[at + same] === bytes[keyAt + same]) same++;
      if (same === keyLength) this.refuse(`the key ${this.latin1(keyAt, keyLength)} twice`);
    }
    places[first + count * 2] = keyAt;
    places[first + count * 2 + 1] = keyLength;
  }

  private addKey(keys: Set<string>, count: number): void {
    keys.add(this.latin1(this.keyAt, this.keyLength));
    if (keys.size === count) this.refuse(`the key ${this.latin1(this.keyAt, this.keyLength)} twice`);
  }

  private text(length: number): void {
    const from = this.at;
    this.skip(length);
    let at = from;
    if (length < shortText) while (at < this.at && this.byteAt(at) < 0x80) at++;
    if (at < this.at && !isUtf8(this.bytes.subarray(at, this.at))) this.refuse('a string that is not valid UTF-8');
  }

  private extension(length: number, depth: number): void {
    const type = this.byte();
    this.need(length);
    if (type === extensions.date) return this.date(length);
    if (type === extensions.bigint) return this.bigint(length);
    if (type === extensions.map) return this.collection(length, depth, 2);
    if (type === extensions.set) return this.collection(length, depth, 1);
    return this.refuse(`extension type 0x${type.toString(16).padStart(2, '0')} is not known`);
  }

  private bigint(length: number): void {
    const minus = length > 0 && this.byteAt(this.at) === 0x2d ? 1 : 0;
    const first = this.at + minus;
    const digits = length - minus;
    this.at += length;
    let good = digits > 0 && digits <= bigintDigitsMax;
    if (this.byteAt(first) === 0x30) good &&= length === 1; // no -0 and no leading zero
    for (let at = first; good && at < this.at; at++) good = this.byteAt(at) >= 0x30 && this.byteAt(at) <= 0x39;
    if (!good) this.refuse(`a bigint that is not 1 to ${bigintDigitsMax} decimal digits`);
  }

  private date(length: number): void {
    this.count(weights.date - 1);
    let nanoseconds = 0;
    let seconds;
    if (length === 4) {
      seconds = this.length(4);
    } else if (length === 8) {
      const packed = this.length(4);
      nanoseconds = packed >>> 2;
      seconds = (packed & 3) * 2 ** 32 + this.length(4);
    } else if (length === 12) {
      nanoseconds = this.length(4);
      seconds = (this.length(4) | 0) * 2 ** 32 + this.length(4);
    } else {
      return this.refuse(`a timestamp of ${length} bytes`);
    }
    if (nanoseconds >= 1e9) this.refuse('a timestamp with a second or more of nanoseconds');
    if (Math.abs(seconds * 1000 + Math.floor(nanoseconds / 1e6)) > dateMsMax)
      this.refuse('a timestamp that no Date holds');
  }

  /** A Map or a Set: its payload is one array and nothing after it. */
  private collection(length: number, depth: number, each: number): void {
    this.count(weights.collection - 1);
    const outer = this.end;
    this.end = this.at + length;
    const code = this.byte();
    let count = 0;
    if (code >= 0x90 && code < 0xa0) count = code & 0x0f;
    else if (code === 0xdc || code === 0xdd) count = this.length(code === 0xdc ? 2 : 4);
    else this.refuse('a Map or Set that is no array');
    if (count % each !== 0) this.refuse('a Map with a key and no value');
    this.array(count, depth);
    if (this.at < this.end) this.refuse('bytes after the members of a Map or Set');
    this.end = outer;
    this.collections = true;
  }

  private byte(): number {
    this.need(1);
    return this.byteAt(this.at++);
  }

  /** A number of 1, 2 or 4 bytes, most significant first. */
  private length(bytes: number): number {
    this.need(bytes);
    let length = 0;
    for (let i = 0; i < bytes; i++) length = length * 256 + this.byteAt(this.at++);
    return length;
  }

  private skip(count: number): void {
    this.need(count);
    this.at += count;
  }

  private need(count: number): void {
    const left = this.end - this.at;
    if (count > left) this.refuse(`cut off: ${count} bytes needed, ${left} left`);
  }

  private byteAt(at: number): number {
    return this.bytes[at] ?? 0; // every caller asked `need` before
  }

  private latin1(at: number, length: number): string {
    const { buffer, byteOffset } = this.bytes;
    this.view ??= Buffer.from(buffer, byteOffset, this.bytes.length);
    return this.view.toString('latin1', at, at + length);
  }

  private refuse(reason: string): never {
    throw new BadBytes(`byte ${this.at}: ${reason}`);
  }
}

const none = new Uint8Array(0);
const fewKeys = 16;
const shortText = 64; // up to here a loop is faster than the call
const dateMsMax = 8.64e15;
/** Where the keys of the maps being read are, (place, length) by depth: scanning allocates nothing. */
const places = new Int32Array(limits.bodyDepthMax * fewKeys * 2);
const scanner = new Scanner();
