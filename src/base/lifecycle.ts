/** Closing: the interface of everything that can be closed, and teardowns that continue after a failed step. */
import { errorMessage } from './errors';

/** A resource that can be closed. It also works with `await using`. */
export interface Closable extends AsyncDisposable {
  /**
   * Accepts nothing new, finishes running work, and releases its resources.
   *
   * Resolves when that is done. A second call returns the same promise. If the first call rejected, the second one
   * tries again.
   */
  close(): Promise<void>;
}

/** Creates a {@link Closable} from a function. The function runs once, and again only after it failed. */
export function closable(run: () => Promise<void>): Closable {
  let closing: Promise<void> | undefined;
  const close = (): Promise<void> =>
    (closing ??= run().catch((error: unknown) => {
      closing = undefined;
      throw error;
    }));
  return { close, [Symbol.asyncDispose]: close };
}

/** One step of a teardown. Its name appears in the error text if it fails. */
export type Step = readonly [name: string, run: () => unknown];

interface Failed {
  readonly step: Step;
  readonly error: unknown;
}
/**
 * Runs the steps in sequence, and continues after a failed one. Returns the failed steps with their errors. `report`
 * receives each of them immediately, as a later step can take long.
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
 * Returns a function that runs all steps in sequence, even after one failed. It rejects with the error of the failed
 * step, or with an AggregateError of several. The next call runs only the failed steps.
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

/**
 * Waits until all promises have settled. Rejects with the error of the one that failed, or with an AggregateError of
 * several.
 */
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
  const reasons = failed.map(([name, error]) => `${name}: ${errorMessage(error)}`);
  throw new AggregateError(errors, `${what}: ${reasons.join('; ')}`);
}

/**
 * Thrown in place of a handler that was not called, since its module is closing. The attempt of the message does not
 * count.
 */
export class NotStarted extends Error {
  override readonly name = 'NotStarted';
}

/** A promise, and the functions that settle it. */
export interface Deferred<T> {
  readonly promise: Promise<T>;
  resolve(value: T): void;
  reject(error: unknown): void;
}
export function deferred<T>(): Deferred<T> {
  let resolve!: (value: T) => void; // assigned before the constructor below returns
  let reject!: (error: unknown) => void;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}

/** Callbacks for each signal. Node.js reports a leak above ten listeners, so each signal gets a single listener. */
const waitingFor = new WeakMap<AbortSignal, { readonly runs: Set<() => void>; readonly fire: () => void }>();

/**
 * Calls `run` once when `signal` aborts, but never if it has aborted already. Returns a function that unregisters
 * `run`. Any number of callers can share a signal.
 */
export function onAbort(signal: AbortSignal, run: () => void): () => void {
  if (signal.aborted) return () => undefined;
  const { runs, fire } = waitingFor.get(signal) ?? listenTo(signal);
  const own = (): void => run(); // a new function, so that the same `run` can be registered twice
  runs.add(own);
  return () => {
    if (!runs.delete(own) || runs.size > 0 || signal.aborted) return;
    waitingFor.delete(signal);
    // a caller's signal can outlive its waiters and would keep them in memory
    signal.removeEventListener('abort', fire);
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

/** Resolves when `signal` aborts, or immediately if it has. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else onAbort(signal, resolve);
  });
}
