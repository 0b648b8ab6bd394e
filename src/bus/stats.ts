/** Statistics of an instance for metrics: what waits and runs, by queue and entry. */
import { within, type Clock } from '../base/clock';
import type { Answerer } from '../request/answerer';
import type { Caller } from '../request/caller';
import type { Log } from '../ports/log';
import type { Outbox } from '../ports/outbox';
import { isSystem } from '../delivery/tracing';
import { ParkedCounts, type ParkedCount } from '../work/parked/counts';
import { parkedTopic } from '../work/topics';
import type { EntryLoad, QueueBacklog, QueueConsumer } from '../work/types';

export type { EntryLoad, ParkedCount, QueueBacklog };

/** Messages and requests that wait and run at one instance, without the requests of operators. */
export interface BusStats {
  /** Queues of which this instance owns partitions. */
  readonly queues: readonly ({ readonly queue: string } & QueueBacklog)[];
  /** Requests that this instance serves. */
  readonly requests: readonly RequestLoad[];
  /** Requests that this instance sent and that have no reply yet, by entry. */
  readonly pending: readonly { readonly entry: string; readonly count: number }[];
  /** Parked messages of the modules whose queues this instance handles. All instances of a module return the same. */
  readonly parked: readonly ParkedCount[];
  /** Bytes that wait in the spool of this machine for the brokers; undefined without a spool. */
  readonly spool: { readonly bytes: number; readonly limitBytes: number } | undefined;
}
/** Handlers of a request at one instance. */
export interface RequestLoad extends Omit<EntryLoad, 'inBackoff'> {
  /** Requests that wait for a handler. */
  readonly waiting: number;
}

export interface StatsParts {
  readonly clock: Clock;
  readonly ns: string;
  readonly log: Pick<Log, 'bounds' | 'peek'>;
  readonly queues: Iterable<Pick<QueueConsumer, 'backlog'> & { readonly name: string }>;
  readonly answerer: Pick<Answerer, 'limits' | 'active'>;
  readonly caller: Pick<Caller, 'open'>;
  readonly spool: Pick<Outbox, 'waiting'> | undefined;
}

/** Time for which the log is waited for, in ms. A metrics page must be answered before its reader gives up. */
const logMsMax = 2_000;

/** Returns a function that reads the statistics. */
export function openStats(parts: StatsParts): () => Promise<BusStats> {
  const { clock, ns, log, answerer, caller, spool } = parts;
  const parked = new Map<string, ParkedCounts>();
  function parkedOf(module: string): ParkedCounts {
    const { name } = parkedTopic(ns, module);
    const counts = parked.get(name) ?? new ParkedCounts(clock, log, name);
    parked.set(name, counts);
    return counts;
  }
  /** Returns undefined when the log does not respond in time. */
  async function inTime<T>(reading: Promise<T>): Promise<T | undefined> {
    let read: T | undefined;
    const done = reading.then((value) => (read = value)).catch(() => undefined);
    await within(clock, logMsMax, done);
    return read;
  }
  return async () => {
    const queues = [...parts.queues].filter(({ name }) => !isSystem(name));
    const modules = new Set(queues.map(({ name }) => name.slice(0, name.indexOf('.'))));
    const [backlogs, counts, bytes] = await Promise.all([
      Promise.all(
        queues.map(async ({ name: queue, ...one }) => {
          const backlog = await inTime(one.backlog());
          return backlog ? [{ queue, ...backlog }] : [];
        }),
      ),
      Promise.all([...modules].map((module) => inTime(parkedOf(module).read()))),
      spool?.waiting && inTime(spool.waiting()),
    ]);
    return {
      queues: backlogs.flat(),
      requests: requestsOf(answerer),
      pending: pendingOf(caller),
      parked: counts.flatMap((some) => some ?? []),
      spool: bytes,
    };
  };
}

function requestsOf({ limits, active }: StatsParts['answerer']): readonly RequestLoad[] {
  const waiting = countBy(
    [...active()].filter(({ state }) => state === 'waiting').map(({ envelope }) => envelope.entry),
  );
  return limits()
    .filter(({ entry }) => !isSystem(entry))
    .map(({ entry, running, concurrency: limit }) => ({ entry, running, limit, waiting: waiting.get(entry) ?? 0 }));
}
function pendingOf({ open }: StatsParts['caller']): BusStats['pending'] {
  const entries = [...open()].map(({ entry }) => entry.name).filter((entry) => !isSystem(entry));
  return Array.from(countBy(entries), ([entry, count]) => ({ entry, count }));
}
function countBy(names: readonly string[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  return counts;
}
