/**
 * Health of this instance: whether it can continue and whether it accepts work, derived from the state of its parts.
 */
import type { Clock } from '../base/clock';
import type { Notices } from '../base/notices';
import type { StatePart } from '../base/parts';
import type { BusLive } from './live';
import type { QueueStats, Unserved } from '../work/types';
import type { Health } from './types';

/** Collects the states of the parts. */
export interface HealthBook {
  read(): Health;
  /** Makes the instance permanently not ready, because it is closing. */
  leave(): void;
  close(): void;
}

interface Broken {
  readonly reason: string;
  readonly atMs: number;
  readonly final: boolean;
  readonly ready: boolean;
}

/** Starts collecting. `queues` returns the queues that this instance consumes. */
export function openHealth(
  clock: Clock,
  notices: Notices,
  live: Pick<BusLive, 'refused'>,
  queues: () => readonly (Pick<QueueStats, 'unserved'> & { readonly queue: string })[],
): HealthBook {
  const broken = new Map<StatePart, Broken>();
  let left = false;
  const stop = notices.watchStates((notice) => {
    if (notice.ok) broken.delete(notice.part);
    else {
      const { part, reason, final = false, ready = false } = notice;
      broken.set(part, { reason, final, ready, atMs: broken.get(part)?.atMs ?? clock.now() });
    }
  });
  return {
    read() {
      // The last valid value stays in effect, so the instance is as ready as before.
      const refused = live.refused.map(({ key, ...one }) => [`setting ${key}`, one] as const);
      // A message of an unknown entry delays its own key only, and an instance of another version can handle it. All
      // other messages are accepted as before.
      const unserved = queues().flatMap(({ queue, ...stats }) =>
        stats.unserved.map((one) => describeUnserved(queue, one)),
      );
      const known = [...broken, ...refused, ...unserved];
      const reasons = known.map(([part, { reason, atMs }]) => ({ part, reason, sinceMs: clock.now() - atMs }));
      const states = [...broken.values()];
      const isReady = !left && states.every(({ ready }) => ready);
      return { live: !states.some(({ final }) => final), ready: isReady, reasons };
    },
    leave() {
      left = true;
    },
    close: stop,
  };
}

function describeUnserved(queue: string, { entry, waiting, sinceMs }: Unserved) {
  const many = waiting === 1 ? '1 message waits' : `${waiting} messages wait`;
  return [
    `queue ${queue}`,
    { reason: `this instance does not serve ${entry}: ${many} for an instance that does`, atMs: sinceMs },
  ] as const;
}
