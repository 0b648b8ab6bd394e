/** The constants that the writer and the reader of bodies share: extensions of MessagePack, and bounds. */

/** Extension types; each payload has one form only. Letters, so that they show in a hex dump. */
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

/** Items that these count for, because of the time it takes to read them. Everything else counts for one. */
export const weights = { collection: 8, date: 2 } as const;

/** Largest distance of a Date from 1970, in ms. */
export const dateMsMax = 8.64e15;

/** Keys that change what an object is when they are assigned. */
export function isForbiddenKey(key: string): boolean {
  return key === '__proto__' || key === 'constructor' || key === 'prototype';
}

/** The Object.prototype of this or another realm: structuredClone makes such objects. */
export function isRoot(prototype: unknown): boolean {
  return (
    typeof prototype === 'object' &&
    prototype !== null &&
    Object.getPrototypeOf(prototype) === null &&
    Object.hasOwn(prototype, 'isPrototypeOf')
  );
}

/** The kinds of containers, as numbers, which are compared fastest. */
export const kinds = { array: 0, object: 1, map: 2, set: 3 } as const;
export type Kind = (typeof kinds)[keyof typeof kinds];

/** Frames that are kept for the next body; those of a deeper one are freed. */
export const framesKeptMax = 128;

const pathPartsMax = 100;
const pathPartCharsMax = 100;

/** A path that errors can name: its first 100 parts, each of at most 100 characters. */
export function boundedPath(path: readonly PropertyKey[]): readonly PropertyKey[] {
  return path
    .slice(0, pathPartsMax)
    .map((part) => (typeof part === 'string' && part.length > pathPartCharsMax ? cut(part) : part));
}
/** Without half of a character at its end. */
function cut(part: string): string {
  return Buffer.from(part.slice(0, pathPartCharsMax)).toString();
}

const pathPartsShownMax = 20;
/** The path as a text that a person can read. */
export function sayPath(path: readonly PropertyKey[]): string {
  const shown = path.slice(0, pathPartsShownMax).map(String).join('.');
  return path.length > pathPartsShownMax ? `${shown}…` : shown;
}
