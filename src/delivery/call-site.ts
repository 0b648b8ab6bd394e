/**
 * Adds the line of the caller to the stacks of errors. An error that a socket or a timer causes has only frames of the
 * bus in its stack.
 *
 * A capture of the stack takes 2 to 3 µs, a tenth of a request, so only {@link capturesPerSecondMax} calls are captured
 * in a second. The errors of the others get the line that awaits the call, which V8 knows when the call fails
 * (https://v8.dev/docs/stack-trace-api#async-stack-traces). They get none if nothing awaits the call then.
 */
import type { Clock } from '../base/clock';
import { isError } from '../base/errors';

/** Maximum captures of a bus in one second. They take half a percent of one processor. */
export const capturesPerSecondMax = 2_000;
/** The folder of the bus, whose frames are left out. */
const ownFolder = __dirname.replace(/[^\\/]*$/, '');

interface Captured {
  readonly stack?: string;
}
/** Counts the captures of the last second. */
export class Captures {
  #second = -Infinity;
  #left = 0;
  constructor(private readonly clock: Pick<Clock, 'mono'>) {}

  /** Returns the place of the call that runs now, or undefined when this second had its captures. */
  take(): Captured | undefined {
    const second = Math.floor(this.clock.mono() / 1_000);
    if (second !== this.#second) [this.#second, this.#left] = [second, capturesPerSecondMax];
    return this.#left-- > 0 ? capture() : undefined;
  }
}
/** Captures the stack. It is formatted on first read, so that a call that succeeds does not pay for the formatting. */
function capture(): Captured {
  const place = {};
  Error.captureStackTrace(place, capture);
  return place;
}
/** Returns the frames of the caller's code. Empty when there are none. */
function callersOf({ stack = '' }: Captured): readonly string[] {
  const frames = stack.split('\n').filter((line) => /^\s+at (?!.*\bnode:internal\/)/.test(line));
  return frames.filter((line) => !line.includes(ownFolder));
}

/** Returns the error with the captured place of the call, or with the line that awaits the call that fails now. */
export function fromCaller(thrown: unknown, place: Captured = {}): unknown {
  const frames = callersOf(place);
  return withFrames(thrown, frames.length > 0 ? frames : callersOf(capture()));
}

/**
 * Stacks without the frames of a caller. One error can end several calls, and each call must add only its own frames.
 */
const ownStacks = new WeakMap<Error, string>();
const header = '    --- called from ---';

/**
 * Returns the error with the frames of the caller added to its stack. Returns a copy when the error already has another
 * caller's frames.
 */
export function withFrames(thrown: unknown, frames: readonly string[]): unknown {
  try {
    if (!isError(thrown) || typeof thrown.stack !== 'string') return thrown;
    const own = ownStacks.get(thrown) ?? thrown.stack;
    const line = lineOf(frames);
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

/** Returns the first line of code in the frames, as `file:line`. A frame of `Promise.all` has none. */
function lineOf(frames: readonly string[]): string | undefined {
  return /[^\s(]+:\d+(?=:\d+\)?$)/m.exec(frames.join('\n'))?.[0];
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
  captures: Captures,
  verb: (...args: A) => Promise<R>,
  count?: CallCount,
): (...args: A) => Promise<R> {
  function begun(args: A): Promise<R> {
    try {
      return verb(...args);
    } catch (error) {
      return Promise.reject(error as Error); // thrown as it is, and located below
    }
  }
  return (...args) => {
    const counted = count?.begin();
    const place = captures.take();
    const onEnd = counted && ((value: R): R => (counted.end(), value));
    // `then` makes one promise, an async function two
    return begun(args).then(onEnd, (error: unknown) => {
      counted?.end();
      throw fromCaller(error, place);
    });
  };
}
