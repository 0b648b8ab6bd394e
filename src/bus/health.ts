/** Whether this instance should go on and whether it takes work, from what its parts tell. */
import type { Clock } from '../base/clock';
import type { Notices } from '../base/notices';
import type { StatePart } from '../base/parts';
import type { BusLive } from './live';
import type { QueueStats, Unserved } from '../work/types';
import type { Health } from './types';

export interface HealthBook {
  read(): Health;
  /** From now on it is not ready, for this reason. */
  leave(): void;
  close(): void;
}

interface Broken {
  readonly reason: string;
  readonly atMs: number;
  readonly final: boolean;
  readonly ready: boolean;
}

/** `queues` are those that this instance works on. */
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
      // The last good value holds, so the instance is as ready as before.
      const refused = live.refused.map(({ key, ...one }) => [`setting ${key}`, one] as const);
      // It holds up its key alone, and another version may know it: all else is taken as before.
      const unserved = queues().flatMap(({ queue, ...stats }) => stats.unserved.map((one) => sayUnserved(queue, one)));
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

function sayUnserved(queue: string, { entry, waiting, sinceMs }: Unserved) {
  const many = waiting === 1 ? '1 message waits' : `${waiting} messages wait`;
  return [
    `queue ${queue}`,
    { reason: `${entry} is not served here: ${many} for who knows it`, atMs: sinceMs },
  ] as const;
}
