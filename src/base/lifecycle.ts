/** Closing: what can be closed, and how several things are closed of which some fail. */
import { sayError } from './errors';

export interface Closable extends AsyncDisposable {
  /**
   * Stops taking, finishes, lets go. A second call returns the same promise, unless the first one failed: then it tries
   * again.
   */
  close(): Promise<void>;
}

/** Makes a {@link Closable} of a function. It is called once, and again only after it failed. */
export function closable(run: () => Promise<void>): Closable {
  let closing: Promise<void> | undefined;
  const close = (): Promise<void> =>
    (closing ??= run().catch((error: unknown) => {
      closing = undefined;
      throw error;
    }));
  return { close, [Symbol.asyncDispose]: close };
}

/** One step of a teardown. The name appears in the error text when it fails. */
export type Step = readonly [name: string, run: () => unknown];

interface Failed {
  readonly step: Step;
  readonly error: unknown;
}
/**
 * Runs the steps one after the other, also after one that failed. Returns those that failed, with their errors;
 * `report` receives each of them at once, as a later step can take long.
 */
export async function runAll(
  steps: readonly Step[],
  report: (failed: Failed) => void = () => undefined,
): Promise<readonly Failed[]> {
  const failed: Failed[] = [];
  for (const step of steps) {
    try {
      await step[1]();
    } catch (error) {
      failed.push({ step, error });
      report({ step, error });
    }
  }
  return failed;
}

/**
 * Returns a function that lets go of everything: it runs all steps one after the other, and then rejects with the error
 * of the one that failed, or with an AggregateError of several. The next call runs only those that failed.
 */
export function teardown(what: string, steps: readonly Step[]): () => Promise<void> {
  let left = steps;
  return async () => {
    const failed = await runAll(left);
    left = failed.map(({ step }) => step);
    throwAll(
      `closing ${what}`,
      failed.map(({ step: [name], error }) => [name, error]),
    );
  };
}

/** Waits for all, also after one failed. Rejects with the error of the one that failed, or with those of several. */
export async function allEnded(what: string, all: readonly Promise<unknown>[]): Promise<void> {
  const ends = await Promise.allSettled(all);
  throwAll(
    what,
    ends.flatMap((end, n) => (end.status === 'rejected' ? [[`${n + 1} of ${ends.length}`, end.reason] as const] : [])),
  );
}

function throwAll(what: string, failed: readonly (readonly [name: string, error: unknown])[]): void {
  const [first] = failed;
  if (!first) return;
  if (failed.length === 1) throw first[1];
  const errors = failed.map(([, error]) => error);
  const reasons = failed.map(([name, error]) => `${name}: ${sayError(error)}`);
  throw new AggregateError(errors, `${what}: ${reasons.join('; ')}`);
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
