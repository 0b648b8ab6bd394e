/** Tells plain data from other objects, of whatever realm: a vm context and a test runner have classes of their own. */
import { types } from 'node:util';
import { isRoot } from './body-format';
import { Refused } from './byte-sink';

/** The prototype of a built-in class, and of no class derived from it. */
export function isDirect(prototype: unknown): boolean {
  return isRoot(Object.getPrototypeOf(prototype));
}
/** The prototype of the Uint8Array of another realm, below the one that all typed arrays share. */
export function isBytes(prototype: unknown): boolean {
  return isDirect(Object.getPrototypeOf(prototype));
}
export function mustBePlain(value: object): void {
  const tag = Object.prototype.toString.call(value);
  if (tag !== '[object Object]') throw new Refused(`${tag} cannot be sent; ${sendable}`);
  // Its content is not in its properties, or it is bytes that would arrive as an object with numbers as keys.
  if (ArrayBuffer.isView(value) || types.isAnyArrayBuffer(value) || types.isMap(value) || types.isSet(value))
    throw new Refused(`a built-in object whose prototype was replaced cannot be sent; ${sendable}`);
}
/** What only has the class of a Map, Set or Date arrives without them. */
export function mustHaveNoFields(value: object): void {
  const [field] = Object.keys(value);
  if (field !== undefined)
    throw new Refused(`${className(value)} with a property of its own, ${field}, cannot be sent`);
}

const sendable = 'send plain objects, arrays, Date, Map, Set or Uint8Array';
export function notSendable(value: object): Refused {
  return new Refused(`${className(value)} cannot be sent; ${sendable}`);
}
function className(value: object): string {
  // Only for the message: whatever `constructor` is, its name is asked for.
  const { name } = (value.constructor ?? {}) as { name?: unknown };
  return typeof name === 'string' && name !== '' ? `an instance of ${name}` : 'an object with a prototype of its own';
}

/** By the getters of the class: an object may have others of the same name. Throws where the memory was moved away. */
export function bytesOf(value: Uint8Array): Uint8Array {
  // All typed arrays have these three, as getters of the class that they share.
  const buffer = Reflect.get(typedArray, 'buffer', value) as ArrayBuffer;
  const offset = Reflect.get(typedArray, 'byteOffset', value) as number;
  return new Uint8Array(buffer, offset, Reflect.get(typedArray, 'length', value) as number);
}
const typedArray: object = Object.getPrototypeOf(Uint8Array.prototype);
