/** Deliberate bugs of a spool. Each changes a port of one simulated process. */
import { sleep, type Clock } from '../../src/base/clock';
import { BusError } from '../../src/base/errors';
import { PartitionLostError, type Log, type OwnedPartition, type Place } from '../../src/ports/log';
import type { Outbox } from '../../src/ports/outbox';

/** Log of the servers, as a spool uses it. */
export type ServerLog = Pick<Log, 'ensure' | 'append'>;

export interface SpoolPlant {
  /** Changes the spool that the sender of a process uses. */
  readonly outbox?: (spool: Outbox) => Outbox;
  /** Changes the log of the machine. */
  readonly local?: (log: Log, clock: Clock) => Log;
  readonly servers?: (log: ServerLog, clock: Clock) => ServerLog;
}

/** Interval at which an owner that ignores its loss looks for records. */
const pollMs = 2_000;
/** Time after which a list counts as sent by a drain that does not wait for its outcome. */
const impatientMs = 20;
const retryMs = 200;

/** An append resolves before the log of the machine has acknowledged it. */
const ackBeforeSync = (spool: Outbox): Outbox => ({
  ...spool,
  async append(topic, records) {
    void spool.append(topic, records).catch(() => undefined);
    return records.map(({ partition }) => ({ partition, offset: 0 }));
  },
});

/** A drain goes on sending when its partition was revoked or lost. */
const parallelDrain = (log: Log, clock: Clock): Log => ({
  ...log,
  join: (group, topic, owner, options) =>
    log.join(
      group,
      topic,
      {
        onAssigned: (owned) => owner.onAssigned(unfenced(log, clock, topic, owned)),
        onRevoked: async () => undefined,
      },
      options,
    ),
});

/** A commit that was refused because the partition was lost counts as written. */
const refusedDrainCommit = (log: Log, clock: Clock): Log =>
  withOwned(log, (owned, topic) => ({
    ...unfenced(log, clock, topic, owned),
    commit: (commit) =>
      owned.commit(commit).catch((error: unknown) => {
        if (!(error instanceof PartitionLostError)) throw error;
      }),
  }));

/** The next list is sent while the outcome of the one before is unknown. */
const overtakingDrain = (log: ServerLog, clock: Clock): ServerLog => ({
  ensure: (topic) => log.ensure(topic),
  append(topic, records) {
    const untilWritten = async (): Promise<readonly Place[]> => {
      for (;;) {
        try {
          return await log.append(topic, records);
        } catch {
          await sleep(clock, retryMs);
        }
      }
    };
    const places = records.map(({ partition }) => ({ partition, offset: 0 }));
    return Promise.race([untilWritten(), sleep(clock, impatientMs).then(() => places)]);
  },
});

/** A drain starts at the end of the log of the machine, as if all of it was sent. */
const lostMarker = (log: Log): Log =>
  withOwned(log, (owned, topic) => {
    let start: number | undefined;
    return {
      ...owned,
      async read(from, max, signal) {
        start ??= (await log.bounds(topic))[owned.partition]?.end ?? 0;
        return owned.read(Math.max(from, start), max, signal);
      },
    };
  });

export const spoolPlants = {
  'ack-before-sync': { outbox: ackBeforeSync },
  'parallel-drain': { local: parallelDrain },
  'overtaking-drain': { servers: overtakingDrain },
  'refused-drain-commit': { local: refusedDrainCommit },
  'lost-marker': { local: lostMarker },
} satisfies Readonly<Record<string, SpoolPlant>>;

function withOwned(log: Log, change: (owned: OwnedPartition, topic: string) => OwnedPartition): Log {
  return {
    ...log,
    join: (group, topic, owner, options) =>
      log.join(
        group,
        topic,
        {
          onAssigned: (owned) => owner.onAssigned(change(owned, topic)),
          onRevoked: (partition) => owner.onRevoked(partition),
        },
        options,
      ),
  };
}

/** Returns a partition whose owner does not detect that it was lost. Its commits are then retried forever. */
function unfenced(log: Log, clock: Clock, topic: string, owned: OwnedPartition): OwnedPartition {
  const { partition } = owned;
  return {
    ...owned,
    lost: new AbortController().signal,
    check: () => undefined,
    read: (from, max, signal) =>
      owned.read(from, max, signal).catch(async (error: unknown) => {
        if (!(error instanceof PartitionLostError)) throw error;
        while (!signal.aborted) {
          const records = await log.peek(topic, { partition, offset: from }, max);
          if (records.length > 0) return records;
          await sleep(clock, pollMs, signal);
        }
        return [];
      }),
    commit: (commit) =>
      owned.commit(commit).catch((error: unknown) => {
        if (!(error instanceof PartitionLostError)) throw error;
        throw new BusError('Unreachable', error.message, { outcome: 'not-sent', waitedMs: 0 });
      }),
  };
}
