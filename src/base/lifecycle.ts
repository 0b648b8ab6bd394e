/** What can be closed: once, by whoever holds it, with `await using` too. */

export interface Closable extends AsyncDisposable {
  /** Stops taking, finishes, lets go. Asking again gives the same promise. */
  close(): Promise<void>;
}

/** Makes a {@link Closable} of a function that is called at most once. */
export function closable(closeOnce: () => Promise<void>): Closable {
  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => (closing ??= closeOnce());
  return { close, [Symbol.asyncDispose]: close };
}

/** A promise with its handles outside. */
export interface Deferred<T> {
  readonly promise: Promise<T>;
  resolve(value: T): void;
  reject(error: unknown): void;
}
export function deferred<T>(): Deferred<T> {
  let resolve!: (value: T) => void; // set before the constructor below returns
  let reject!: (error: unknown) => void;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}

/** Resolves when `signal` aborts. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
