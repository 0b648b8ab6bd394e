/**
 * Adds the line of the caller to the stacks of errors. An error that a socket or a timer causes has only frames of the
 * bus in its stack.
 *
 * The line is read when the call fails, from the `await` that waits for it, so that a call that succeeds costs nothing.
 * A capture at each call would take 2 to 3 µs. A caller that waits with `then`, `catch` or `Promise.all` is found if it
 * is itself awaited, and one that does not wait is not found (https://v8.dev/docs/stack-trace-api#async-stack-traces).
 */
import { isError } from '../base/errors';

/** Any function. Only its stack frame is used. */
type AnyFunction = (...args: never[]) => unknown;

/**
 * Returns the error with the line of the caller of `verb` in its stack. Must be called by `verb` itself, after its
 * wait has failed. Returns a copy when the error already has another caller's line.
 */
export function fromCaller(thrown: unknown, verb: AnyFunction): unknown {
  const place: { readonly stack?: string } = {};
  Error.captureStackTrace(place, verb);
  return withPlace(thrown, place.stack);
}

/**
 * Stacks without the frames of a caller. One error can end several calls, and each call must add only its own frames.
 */
const ownStacks = new WeakMap<Error, string>();
const header = '    --- called from ---';

/** Returns the error with the frames of the stack `place` added to its own. */
export function withPlace(thrown: unknown, place = ''): unknown {
  try {
    if (!isError(thrown) || typeof thrown.stack !== 'string') return thrown;
    const frames = place.split('\n').filter((line) => /^\s+at (?!.*\bnode:internal\/)/.test(line));
    const own = ownStacks.get(thrown) ?? thrown.stack;
    // a frame of Promise.all has no line
    const [line] = /[^\s(]+:\d+(?=:\d+\)?$)/m.exec(frames.join('\n')) ?? [];
    // an error that was thrown before the first `await` of the call has the line already
    if (line === undefined || own.includes(`${line}:`)) return thrown;
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
 * Returns the verb, changed so that its rejections have the line of the caller in their stacks. `count` counts its
 * calls.
 */
export function located<A extends readonly unknown[], R>(
  verb: (...args: A) => Promise<R>,
  count?: CallCount,
): (...args: A) => Promise<R> {
  function fail(error: unknown): never {
    throw fromCaller(error, fail);
  }
  function begun(args: A): Promise<R> {
    try {
      return verb(...args);
    } catch (error) {
      return Promise.reject(error as Error); // an error with the line of the caller, since nothing was awaited
    }
  }
  // `then` makes one promise, an async function two
  if (!count) return (...args) => begun(args).then(undefined, fail);
  return (...args) => {
    const counted = count.begin();
    return begun(args).then(
      (value) => {
        counted.end();
        return value;
      },
      function failCounted(error: unknown) {
        counted.end();
        throw fromCaller(error, failCounted);
      },
    );
  };
}
