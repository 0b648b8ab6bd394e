/**
 * Distinguishes plain data from other objects of any realm, because a vm context and a test runner have their own
 * classes.
 */
import { types } from 'node:util';
import { isRoot } from './body-format';
import { Refused } from './byte-sink';

/** Returns true for the prototype of a built-in class, and false for that of a derived class. */
export function isDirect(prototype: unknown): boolean {
  return isRoot(Object.getPrototypeOf(prototype));
}
/**
 * Returns true for the prototype of Uint8Array in any realm. It inherits from the prototype that all typed arrays
 * share.
 */
export function isBytes(prototype: unknown): boolean {
  return isDirect(Object.getPrototypeOf(prototype));
}
export function mustBePlain(value: object): void {
  const tag = Object.prototype.toString.call(value);
  if (tag !== '[object Object]') throw new Refused(`${tag} cannot be sent. ${sendable}`);
  // Reject objects whose content is not in their properties, and bytes, which would arrive as an object with numeric
  // keys.
  if (ArrayBuffer.isView(value) || types.isAnyArrayBuffer(value) || types.isMap(value) || types.isSet(value))
    throw new Refused(`a built-in object whose prototype was replaced cannot be sent. ${sendable}`);
}
/** Throws Refused for a Map, Set or Date with own properties, because these would be lost. */
export function mustHaveNoFields(value: object): void {
  const [field] = Object.keys(value);
  if (field !== undefined) throw new Refused(`${className(value)} with an own property, ${field}, cannot be sent`);
}

const sendable = 'Send plain objects, arrays, Date, Map, Set or Uint8Array';
export function notSendable(value: object): Refused {
  return new Refused(`${className(value)} cannot be sent. ${sendable}`);
}
function className(value: object): string {
  // The cast is safe: the type of `name` is checked below, and it is used only for the message.
  const { name } = (value.constructor ?? {}) as { name?: unknown };
  return typeof name === 'string' && name !== '' ? `an instance of ${name}` : 'an object with its own prototype';
}

/**
 * Returns the bytes of a Uint8Array through the getters of its class, because an object can override them. Throws when
 * its memory was detached.
 */
export function bytesOf(value: Uint8Array): Uint8Array {
  // The casts are safe: all typed arrays inherit these three getters.
  const buffer = Reflect.get(typedArray, 'buffer', value) as ArrayBuffer;
  const offset = Reflect.get(typedArray, 'byteOffset', value) as number;
  return new Uint8Array(buffer, offset, Reflect.get(typedArray, 'length', value) as number);
}
const typedArray: object = Object.getPrototypeOf(Uint8Array.prototype);
