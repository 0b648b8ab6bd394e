/** Closes the parts of a bus in the order in which other instances and running handlers need them. */
import { sleep, within, type Clock } from '../base/clock';
import { errorMessage } from '../base/errors';
import { closable, teardown, type Closable } from '../base/lifecycle';
import type { Notices } from '../base/notices';
import type { StatePart } from '../base/parts';
import type { BroadcastReceiver } from '../broadcast/receiver';
import type { Answerer } from '../request/answerer';
import type { Leaver } from '../request/goodbye';
import type { QueueConsumer } from '../work/types';
import type { Announcer } from './announcer';
import type { HealthBook } from './health';
import type { BusParts, Timings } from './parts';
import type { Phase } from './phase';

/**
 * Time for which closing waits for other instances and for a queue's last commit, in ms. Live ones respond much
 * earlier.
 */
const goodbyeMs = 500;
/**
 * Time for which closing waits for callers, in ms. A caller can be slow, and requests that it sends before it is
 * notified would be lost.
 */
const callersMs = 5_000;

type Queue = Pick<QueueConsumer, 'close' | 'abortRunning'> & { readonly name: string };
type CanClose = Pick<Closable, 'close'>;

/** Dependencies of {@link shutdownOf}. `instance` is named in errors. */
export interface ShutdownParts extends Pick<BusParts, 'closePorts'> {
  readonly clock: Clock;
  readonly notices: Notices;
  readonly instance: string;
  readonly timings: Pick<Timings, 'drainMs' | 'lingerMs'>;
  readonly phase: Phase;
  readonly health: Pick<HealthBook, 'leave' | 'close'>;
  readonly announcer: Pick<Announcer, 'leave'>;
  readonly leaver: Pick<Leaver, 'goodbye'>;
  /** Queues that this instance consumes. */
  readonly queues: Iterable<Queue>;
  readonly subscriptions: CanClose;
  readonly answerer: Pick<Answerer, 'drain'>;
  readonly receiver: Pick<BroadcastReceiver, 'drain'>;
  readonly caller: { close(): void };
  readonly sender: CanClose;
  readonly retention: { close(): void };
  readonly peers: CanClose;
}

/** Returns the handle that closes a bus; see {@link Bus.close}. A second call repeats the failed steps. */
export function shutdownOf(parts: ShutdownParts): Closable {
  return closable(
    teardown(`the bus of ${parts.instance}`, [
      ['leaving', () => leave(parts)],
      ['ports', () => parts.closePorts()],
      ['notices', () => parts.notices.flush()],
    ]),
  );
}

async function leave(parts: ShutdownParts): Promise<void> {
  const { clock, timings, phase, health, caller, retention } = parts;
  const { drainMs, lingerMs } = timings;
  /** Waits for a step of closing, and reports its error as a notice, so that closing continues. */
  async function orReport(part: StatePart, step: Promise<unknown>): Promise<void> {
    try {
      await step;
    } catch (error) {
      parts.notices.emit({ type: 'state', part, ok: false, reason: `closing: ${errorMessage(error)}` });
    }
  }
  async function leaveQueue(queue: Queue): Promise<void> {
    const closed = orReport(`queue ${queue.name}`, queue.close());
    await within(clock, drainMs, closed);
    queue.abortRunning();
    await within(clock, goodbyeMs, closed); // its last commit; closing the log waits for the rest
  }

  phase.enter('leaving');
  health.leave();
  await orReport('registry', parts.announcer.leave());
  const lingered = sleep(clock, lingerMs);
  await parts.leaver.goodbye(callersMs, goodbyeMs);
  if (phase.starting.size > 0) await within(clock, drainMs, Promise.allSettled(phase.starting));
  await Promise.all([
    ...[...parts.queues].map(leaveQueue),
    orReport('events', parts.subscriptions.close()),
    parts.answerer.drain(drainMs),
    parts.receiver.drain(drainMs),
  ]);
  await lingered;
  caller.close();
  await orReport('sender', parts.sender.close());
  retention.close();
  phase.enter('closed');
  await orReport('registry', parts.peers.close());
  health.close();
}
