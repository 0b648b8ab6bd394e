/**
 * Records the place of a call for the stacks of its errors. An error that a socket or a timer causes later has only
 * frames of the bus in its stack. The recorded place adds the caller's own line.
 */
import { isError } from '../base/errors';

export interface CallSite {
  /** Stack of the call. It is formatted on first read, so that a call that succeeds does not pay for the formatting. */
  readonly stack?: string;
}

/** Any function. Only its stack frame is used. */
type AnyFunction = (...args: never[]) => unknown;

/** Returns the place of a call of `verb`. The frames of `verb` and of the functions that it called are left out. */
export function callSite(verb: AnyFunction): CallSite {
  const site: CallSite = {};
  Error.captureStackTrace(site, verb);
  return site;
}

/**
 * Stacks without the frames of a caller. One error can end several calls, and each call must add only its own frames.
 */
const ownStacks = new WeakMap<Error, string>();
const header = '    --- called from ---';

/**
 * Returns the error with the place of the call in its stack. Returns a copy when the error already has another caller's
 * place.
 */
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
    return thrown; // the error is frozen, or has getters that throw
  }
}

function copyOf(error: Error): Error {
  const { stack: _stack, ...fields } = Object.getOwnPropertyDescriptors(error);
  // Created with the prototype of the error, so that `instanceof` works on the copy.
  return Object.create(Object.getPrototypeOf(error) as object, fields) as Error;
}

/** Counts calls that have not ended. `end` is called before the caller's promise settles. */
export interface CallCount {
  begin(): { end(): void };
}

/**
 * Returns the verb, changed so that its rejections have the place of the call in their stacks. `count` counts its
 * calls.
 */
export function located<A extends readonly unknown[], R>(
  verb: (...args: A) => Promise<R>,
  count?: CallCount,
): (...args: A) => Promise<R> {
  return async function call(...args) {
    const site = callSite(call);
    const counted = count?.begin();
    try {
      return await verb(...args);
    } catch (error) {
      throw fromCaller(error, site);
    } finally {
      counted?.end();
    }
  };
}
