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

/** Functions that wait for each signal. Node warns of a leak above ten listeners, so a signal gets one of ours. */
const waitingFor = new WeakMap<AbortSignal, { readonly runs: Set<() => void>; readonly fire: () => void }>();

/**
 * Calls `run` once when `signal` aborts; never when it has aborted already. Returns a function that takes `run` back.
 * Any number of waits can share a signal.
 */
export function onAbort(signal: AbortSignal, run: () => void): () => void {
  if (signal.aborted) return () => undefined;
  const { runs, fire } = waitingFor.get(signal) ?? listenTo(signal);
  const own = (): void => run(); // so that the same function can wait twice
  runs.add(own);
  return () => {
    if (!runs.delete(own) || runs.size > 0 || signal.aborted) return;
    waitingFor.delete(signal);
    signal.removeEventListener('abort', fire); // a caller's signal can live longer than what waits for it
  };
}
function listenTo(signal: AbortSignal) {
  const runs = new Set<() => void>();
  const fire = (): void => {
    waitingFor.delete(signal);
    for (const run of runs) run();
  };
  const made = { runs, fire };
  waitingFor.set(signal, made);
  signal.addEventListener('abort', fire, { once: true });
  return made;
}

/** Resolves when `signal` aborts. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else onAbort(signal, resolve);
  });
}
