/** Opens the bus when its servers respond, and reports the servers that do not. */
import { every, sleep, type Clock } from './base/clock';
import { BusError, errorMessage, isBusError } from './base/errors';
import { allEnded, deferred, onAbort } from './base/lifecycle';
import type { Notices } from './base/notices';
import type { ServerProbe } from './ports/server-probe';

/** Time without a response after which the wait is reported, in ms. Running servers respond earlier. */
const firstReportMs = 500;
/** Interval of the reports that follow, in ms. */
const reportEveryMs = 5_000;
/** Pause before the bus is opened again, after servers responded but could not be used yet. */
const reopenMs = 1_000;

export interface WaitParts {
  readonly clock: Clock;
  readonly notices: Notices;
  /** Limit of the wait, in ms. */
  readonly waitMs: number;
  /** Ends the wait when it aborts. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Waits until each server responds, and then opens. An opening that rejects with Unreachable is repeated while time is
 * left, because a cluster that is starting responds before it can be used.
 *
 * Rejects with Unreachable when a server has not responded within `waitMs`, with Cancelled when `signal` aborts, and
 * with the error of the last opening. An opening that ends after the abort is passed to `discard`.
 */
export async function openWhenServersRespond<T>(
  parts: WaitParts,
  probe: () => readonly ServerProbe[],
  open: () => Promise<T>,
  discard: (opened: T) => Promise<void>,
): Promise<T> {
  const { clock, notices, waitMs, signal } = parts;
  const startedMs = clock.mono();
  const cancelled = deferred<never>();
  cancelled.promise.catch(() => undefined); // raced below
  const cancel = (): void => cancelled.reject(cancelledBy(signal?.reason));
  const ignore = signal && onAbort(signal, cancel);
  if (signal?.aborted) cancel();
  try {
    for (;;) {
      await allRespond(parts, startedMs, probe(), cancelled.promise);
      const opening = open();
      try {
        return await Promise.race([opening, cancelled.promise]);
      } catch (error) {
        if (isBusError(error, 'Cancelled')) opening.then(discard).catch(() => undefined); // the caller has its error
        const leftMs = startedMs + waitMs - clock.mono();
        if (!isBusError(error, 'Unreachable') || leftMs <= reopenMs) throw error;
        const message = `the bus cannot be opened yet, and tries again for ${seconds(leftMs)}: ${errorMessage(error)}`;
        notices.emit({ type: 'log', level: 'warn', message, fields: {} });
      }
      await Promise.race([sleep(clock, reopenMs, signal), cancelled.promise]);
    }
  } finally {
    ignore?.();
  }
}

/** Resolves when all servers have responded. Rejects with Unreachable at the limit, and when `cancelled` does. */
async function allRespond(
  { clock, notices, waitMs }: WaitParts,
  startedMs: number,
  probes: readonly ServerProbe[],
  cancelled: Promise<never>,
): Promise<void> {
  const silent = new Set(probes);
  const waitedMs = (): number => clock.mono() - startedMs;
  const report = (): void => {
    const message =
      `waits for ${describe(silent)}; ` +
      `${seconds(waitedMs())} of at most ${seconds(waitMs)} have passed (waitForServersMs)`;
    notices.emit({ type: 'log', level: 'warn', message, fields: { waitedMs: Math.round(waitedMs()) } });
  };
  let reporting: { cancel(): void } = clock.after(firstReportMs, () => {
    report();
    reporting = every(clock, reportEveryMs, report);
  });
  const late = deferred<void>();
  const limit = clock.after(Math.max(0, waitMs - waitedMs()), () => {
    const missing = [...silent].filter(({ suffices }) => !suffices);
    if (missing.length === 0) late.resolve();
    else late.reject(unreachable(missing, waitedMs(), waitMs));
  });
  const answers = probes.map((one) => one.responds().then(() => silent.delete(one)));
  try {
    await Promise.race([Promise.all(answers), late.promise, cancelled]);
  } finally {
    reporting.cancel();
    limit.cancel();
    await allEnded(
      'probing the servers',
      probes.map((one) => one.close()),
    ).catch(() => undefined); // a connection that cannot be closed must not hide the result
  }
}

function describe(silent: Iterable<ServerProbe>): string {
  return [...silent].map(({ name, reason }) => `${name} (${reason})`).join(' and ');
}
function unreachable(silent: Iterable<ServerProbe>, waitedMs: number, waitMs: number): BusError<'Unreachable'> {
  const cause = describe(silent);
  const limit = `within ${waitMs} ms (waitForServersMs)`;
  const message = `${cause} did not respond ${limit}. Start the servers, or correct their addresses`;
  return new BusError('Unreachable', message, { outcome: 'not-sent', waitedMs: Math.round(waitedMs), cause });
}
function cancelledBy(reason: unknown): BusError<'Cancelled'> {
  const message = `the start was aborted while it waited for the servers: ${errorMessage(reason)}`;
  return new BusError('Cancelled', message, { reason });
}
const seconds = (ms: number): string => `${Math.round(ms / 1_000)} s`;
