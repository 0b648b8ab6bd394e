/** Ends a process that runs a module: drains at the first signal, and exits at the deadline or at a second signal. */
import { errorMessage } from '../base/errors';
import { runAll, type Closable, type Step } from '../base/lifecycle';
import type { Bus } from '../index';
import type { Logger } from '../telemetry/logger';
import { exitCodes } from './exit';
import type { Made } from './module';
import type { ExitSignal, Process } from './process';

/** The resources that have been opened so far. */
export interface Running {
  module: string;
  logger: Logger;
  drainMs: number;
  /** Aborts at the first signal, which ends the wait for servers. */
  readonly leaving: AbortController;
  bus?: Bus;
  made?: Made;
  health?: Closable;
}

/** Time for the steps besides the drain, such as closing the health port and disposing the instance. */
const graceMs = 1_000;
/**
 * Signals within this time of the first one are ignored. npm and other launchers forward a Ctrl-C that the terminal has
 * already sent to the process.
 */
const forwardedMs = 100;

/** Leaves at the first signal, and exits at once at the second one. */
export function watchSignals(running: Running, starting: Promise<void>, proc: Process): void {
  let firstMs: number | undefined;
  proc.onSignal((signal) => {
    const nowMs = proc.clock.mono();
    if (firstMs === undefined) {
      firstMs = nowMs;
      void leave(signal, running, starting, proc);
    } else if (nowMs - firstMs >= forwardedMs) {
      running.logger.warn(`${signal} received again: exits immediately`);
      proc.exit(signal === 'SIGINT' ? exitCodes.interrupted : exitCodes.terminated);
    }
  });
}

/** Ends the process, at the latest when `drainMs` and the grace time have passed. Never rejects. */
async function leave(signal: ExitSignal, running: Running, starting: Promise<void>, proc: Process): Promise<void> {
  const { logger, drainMs } = running;
  logger.info(`${signal} received: leaves`);
  // Timers do not keep the process alive. Without other work it ends before this function has finished, with this code.
  proc.endWith(exitCodes.late);
  const deadline = proc.clock.after(drainMs + graceMs, () => {
    logger.error(`has not left within ${drainMs + graceMs} ms (drainMs and ${graceMs}): exits now`);
    proc.exit(exitCodes.late);
  });
  running.leaving.abort();
  if (!(await succeeds(starting))) return; // a failed start ends the process itself
  const { ok, drainedMs } = await stopAll(running, proc);
  deadline.cancel();
  const late = drainMs > 0 && drainedMs >= drainMs;
  if (late) logger.warn(`left after ${Math.round(drainedMs)} ms: some work did not end within drainMs`);
  else logger.info(`left after ${Math.round(drainedMs)} ms`);
  proc.exit(late ? exitCodes.late : ok ? exitCodes.left : exitCodes.failed);
}

/** Runs all steps even if one fails, so that the remaining resources are released. */
async function stopAll(running: Running, proc: Process): Promise<{ ok: boolean; drainedMs: number }> {
  const { made, bus, health, module } = running;
  let drainedMs = 0;
  const drain = async (): Promise<void> => {
    const startMs = proc.clock.mono();
    await bus?.close().finally(() => (drainedMs = proc.clock.mono() - startMs));
  };
  const things = made ? [made.handlers, ...made.needed.toReversed()] : [];
  const steps: readonly Step[] = [
    [`close() of ${module}`, () => made?.handlers.close?.()],
    ['closing the bus', drain],
    ...things.map((thing): Step => ['disposing of a dependency', () => dispose(thing)]),
    ['closing the health port', () => health?.close()],
  ];
  const failed = await runAll(steps, ({ step: [what], error }) =>
    running.logger.error({ err: error }, `${what} failed while leaving: ${errorMessage(error)}`),
  );
  return { ok: failed.length === 0, drainedMs };
}

function dispose(thing: unknown): unknown {
  if (typeof thing !== 'object' || thing === null) return;
  // The cast is safe: both methods are optional in its type, and the next line checks for them.
  const { [Symbol.asyncDispose]: later, [Symbol.dispose]: now } = thing as Partial<AsyncDisposable & Disposable>;
  return later ? later.call(thing) : now?.call(thing);
}

function succeeds(promise: Promise<unknown>): Promise<boolean> {
  return promise.then(
    () => true,
    () => false,
  );
}
