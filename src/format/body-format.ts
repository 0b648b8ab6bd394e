/** Defines the constants that the writer and the reader of bodies share: MessagePack extensions and limits. */

/**
 * Types of MessagePack extensions. They are ASCII letters, which are readable in a hex dump. Each payload has only one
 * valid form.
 */
export const extensions = {
  /** `M`: an array of alternating keys and values. */
  map: 0x4d,
  /** `N`: decimal digits, as `String(value)` prints them. */
  bigint: 0x4e,
  /** `S`: an array of the members. */
  set: 0x53,
  /** The timestamp type of MessagePack, -1. */
  date: 0xff,
} as const;

/** Maximum digits of a bigint. It keeps decoding within microseconds, and is enough for 2^256. */
export const bigintDigitsMax = 100;

/**
 * Number of items that a collection or a date counts for, because they take longer to decode. Every other value counts
 * for one.
 */
export const weights = { collection: 8, date: 2 } as const;

/** Maximum distance of a Date from 1970, in ms. */
export const dateMsMax = 8.64e15;

/** Returns true for keys that change the nature of an object when they are assigned, such as its prototype. */
export function isForbiddenKey(key: string): boolean {
  return key === '__proto__' || key === 'constructor' || key === 'prototype';
}

/**
 * Returns true for the Object.prototype of any realm. `structuredClone`, for example, can create objects of another
 * realm.
 */
export function isRoot(prototype: unknown): boolean {
  return (
    typeof prototype === 'object' &&
    prototype !== null &&
    Object.getPrototypeOf(prototype) === null &&
    Object.hasOwn(prototype, 'isPrototypeOf')
  );
}

/** The kinds of containers. They are numbers, because these are the fastest to compare. */
export const kinds = { array: 0, object: 1, map: 2, set: 3 } as const;
export type Kind = (typeof kinds)[keyof typeof kinds];

/**
 * Maximum number of frames kept for the next body. Frames beyond it are freed, so that one deep body does not hold
 * memory.
 */
export const framesKeptMax = 128;

const pathPartsMax = 100;
const pathPartCharsMax = 100;

/** Returns the first 100 parts of a path, each with at most 100 characters, to bound the size of errors. */
export function boundedPath(path: readonly PropertyKey[]): readonly PropertyKey[] {
  return path
    .slice(0, pathPartsMax)
    .map((part) => (typeof part === 'string' && part.length > pathPartCharsMax ? cut(part) : part));
}
/** Shortens a text without leaving half a surrogate pair at its end. */
function cut(part: string): string {
  return Buffer.from(part.slice(0, pathPartCharsMax)).toString();
}

const pathPartsShownMax = 20;
/** Formats a path for a message, with at most 20 parts. */
export function describePath(path: readonly PropertyKey[]): string {
  const shown = path.slice(0, pathPartsShownMax).map(String).join('.');
  return path.length > pathPartsShownMax ? `${shown}…` : shown;
}
