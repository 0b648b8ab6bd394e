/**
 * Where a call was made. An error that comes later, from a socket or a timer, has only frames of the bus in its stack.
 * With this it has the caller's own line too.
 */
import { isError } from '../base/errors';

export interface CallSite {
  /** Formatted when it is read, so a call that succeeds does not pay for that. */
  readonly stack?: string;
}

/** Any function; only its frame is looked for. */
type AnyFunction = (...args: never[]) => unknown;

/** Returns the place of the call of `verb`, whose frame and those it called are left out. */
export function callSite(verb: AnyFunction): CallSite {
  const site: CallSite = {};
  Error.captureStackTrace(site, verb);
  return site;
}

/** Stacks without the lines of a caller: one error can end several calls. */
const ownStacks = new WeakMap<Error, string>();
const header = '    --- called from ---';

/** Returns the error with the place of the call in its stack: a copy where another caller has the same error. */
export function fromCaller(thrown: unknown, { stack: place = '' }: CallSite): unknown {
  try {
    if (!isError(thrown) || typeof thrown.stack !== 'string') return thrown;
    const frames = place.split('\n').filter((line) => /^\s+at /.test(line));
    const own = ownStacks.get(thrown) ?? thrown.stack;
    if (frames[0] === undefined || own.includes(frames[0])) return thrown;
    const error = ownStacks.has(thrown) ? copyOf(thrown) : thrown;
    ownStacks.set(error, own);
    Object.defineProperty(error, 'stack', {
      value: [own, header, ...frames].join('\n'),
      writable: true,
      configurable: true,
      enumerable: false,
    });
    return error;
  } catch {
    return thrown; // frozen, or with getters that throw
  }
}

function copyOf(error: Error): Error {
  const { stack: _stack, ...fields } = Object.getOwnPropertyDescriptors(error);
  // The prototype of an error makes an object that is one by `instanceof`.
  return Object.create(Object.getPrototypeOf(error) as object, fields) as Error;
}

/** Returns the verb with the place of each call in the stacks of the errors that it rejects with. */
export function located<A extends readonly unknown[], R>(verb: (...args: A) => Promise<R>): (...args: A) => Promise<R> {
  return async function call(...args) {
    const site = callSite(call);
    try {
      return await verb(...args);
    } catch (error) {
      throw fromCaller(error, site);
    }
  };
}
