/** The way out of a process that runs a module: first signal, drain, deadline, second signal. */
import { sayError } from '../base/errors';
import { runAll, type Closable, type Step } from '../base/lifecycle';
import type { Bus } from '../index';
import type { Logger } from '../telemetry/logger';
import { exitCodes } from './exit';
import type { Made } from './module';
import type { ExitSignal, Process } from './process';

/** What has been started so far. */
export interface Running {
  module: string;
  logger: Logger;
  drainMs: number;
  bus?: Bus;
  made?: Made;
  health?: Closable;
}

/** For what comes after the drain, and for closing what was drained. */
const graceMs = 1_000;
/** npm and other starters pass on a Ctrl-C that the terminal has sent to the process already. */
const forwardedMs = 100;

/** Leaves at the first signal, and exits at once at the second one. */
export function hearSignals(running: Running, starting: Promise<void>, proc: Process): void {
  let firstMs: number | undefined;
  proc.onSignal((signal) => {
    const nowMs = proc.clock.mono();
    if (firstMs === undefined) {
      firstMs = nowMs;
      void leave(signal, running, starting, proc);
    } else if (nowMs - firstMs >= forwardedMs) {
      running.logger.warn(`${signal} again: ends at once`);
      proc.exit(signal === 'SIGINT' ? exitCodes.interrupted : exitCodes.terminated);
    }
  });
}

/** Never rejects; ends the process, by the deadline at the latest. */
async function leave(signal: ExitSignal, running: Running, starting: Promise<void>, proc: Process): Promise<void> {
  const { logger, drainMs } = running;
  logger.info(`leaves: ${signal}`);
  // Timers do not hold the process: if nothing else does either, it ends before it is done here.
  proc.endWith(exitCodes.late);
  const deadline = proc.clock.after(drainMs + graceMs, () => {
    logger.error(`has not left within ${drainMs + graceMs} ms (drainMs and ${graceMs}): ends now`);
    proc.exit(exitCodes.late);
  });
  if (!(await succeeds(starting))) return; // a failed start ends the process itself
  const { ok, drainedMs } = await stopAll(running, proc);
  deadline.cancel();
  const late = drainMs > 0 && drainedMs >= drainMs;
  if (late) logger.warn(`left after ${Math.round(drainedMs)} ms: not everything was finished within drainMs`);
  else logger.info(`left after ${Math.round(drainedMs)} ms`);
  proc.exit(late ? exitCodes.late : ok ? exitCodes.left : exitCodes.failed);
}

/** Goes on after a step that fails: what comes after it must be let go of all the same. */
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
    ...things.map((thing): Step => ['putting away', () => dispose(thing)]),
    ['closing the health port', () => health?.close()],
  ];
  const failed = await runAll(steps, ({ step: [what], error }) =>
    running.logger.error({ err: error }, `${what} failed while leaving: ${sayError(error)}`),
  );
  return { ok: failed.length === 0, drainedMs };
}

function dispose(thing: unknown): unknown {
  if (typeof thing !== 'object' || thing === null) return;
  // Asking whether it has either method is how one finds out.
  const { [Symbol.asyncDispose]: later, [Symbol.dispose]: now } = thing as Partial<AsyncDisposable & Disposable>;
  return later ? later.call(thing) : now?.call(thing);
}

function succeeds(promise: Promise<unknown>): Promise<boolean> {
  return promise.then(
    () => true,
    () => false,
  );
}
