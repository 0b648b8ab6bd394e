/**
 * Deliberate bugs that the checkers must find. They are parts that a bus is given; the code in src does not know them.
 */
import type { Clock } from '../../src/base/clock';
import { BusError, isBusError } from '../../src/base/errors';
import type { Notices } from '../../src/base/notices';
import type { WorldOptions } from '../../src/memory';
import type { Log, OwnedPartition, Owner } from '../../src/ports/log';
import type { ClusterMetadata } from '../../src/kafka/cluster/metadata';
import type { BrokerClient } from '../../src/kafka/client/broker-client';
import type { Batch } from '../../src/kafka/protocol/types';
import { openWatermark, type MakeWatermark, type Watermark } from '../../src/work/progress/watermark';
import { openIdWindow, type MakeIdWindow } from '../../src/delivery/id-window';
import { openFilter, type MakeFilter } from '../../src/work/progress/duplicate-filter';
import { Retained } from '../../src/work/progress/retained';
import { openUnkept, type MakeUnkept } from '../../src/work/progress/unkept';
import type { Dice } from './dice';
import { spoolPlants, type SpoolPlant } from './spool-plants';

export interface Plant {
  readonly makeFilter?: MakeFilter;
  readonly makeWatermark?: MakeWatermark;
  readonly makeIdWindow?: MakeIdWindow;
  readonly makeRetained?: () => Retained;
  readonly makeUnkept?: MakeUnkept;
  /** Changes the log of the instance. */
  readonly log?: (log: Log, dice: Dice, clock: Clock) => Log;
  readonly world?: Partial<WorldOptions>;
  /** Changes the notices of the store. */
  readonly storeNotices?: (notices: Notices) => Notices;
  /** Changes the requests of each process to Kafka brokers. */
  readonly client?: (client: BrokerClient) => BrokerClient;
  /** Changes the cluster metadata of a process before any part of it uses them. */
  readonly metadata?: (metadata: ClusterMetadata) => void;
  /** Changes the ports of a process that sends through a spool. */
  readonly spool?: SpoolPlant;
}

/** A message counts as settled as soon as it is read. */
const commitFirst: MakeWatermark = (...begin) =>
  changed(openWatermark(...begin), (inner) => ({
    see(offset, stamp) {
      const open = inner.see(offset, stamp);
      if (open) inner.settle(offset);
      return open;
    },
  }));

/** Commits the highest settled offset, whatever is unsettled below it. */
const commitMax: MakeWatermark = (at, ...begin) => {
  let highest = at;
  return changed(openWatermark(at, ...begin), (inner) => ({
    get at() {
      return Math.max(highest, inner.at);
    },
    settle(offset) {
      highest = Math.max(highest, offset + 1);
      return inner.settle(offset);
    },
    ranges: () => [],
  }));
};

/** Handles duplicates in a partition twice. */
const noFilter: MakeFilter = () => ({
  fresh: () => true,
  knows: () => false,
  recall: () => undefined,
  forget: () => undefined,
  senders: () => [],
});

/** The senders for which a commit has no room are not read back. */
const committedSenders: MakeFilter = (senders) => {
  const inner = openFilter(senders);
  return {
    fresh: (incarnation, position, timeMs) => inner.fresh(incarnation, position, timeMs),
    knows: (incarnation) => inner.knows(incarnation),
    recall: () => undefined,
    forget: (incarnation, position) => inner.forget(incarnation, position),
    senders: () => inner.senders(),
  };
};

/** The ids of messages that earlier owners have handled are not read back. */
const memoryIds: MakeIdWindow = () => {
  const inner = openIdWindow();
  return {
    get size() {
      return inner.size;
    },
    note: (record, chosen) => inner.note(record, chosen),
    recall: () => undefined,
  };
};

/** A partition is assigned to the next member while the previous owner still works on it. */
const twoOwners = (log: Log): Log =>
  withOwner(log, (owner) => ({
    ...owner,
    async onRevoked(partition) {
      void owner.onRevoked(partition);
    },
  }));

/** A waiting reader sometimes misses the notification of new records. */
const lostWakeup = (log: Log, dice: Dice, clock: Clock): Log =>
  withOwner(log, (owner) => ({ ...owner, onAssigned: (owned) => owner.onAssigned(sleepy(owned, dice, clock)) }));

/** Reports an append whose answer is lost as never sent. */
const surelyNot = (log: Log): Log => ({
  ...log,
  append: (topic, records) =>
    log.append(topic, records).catch((error: unknown) => {
      if (!isBusError(error, 'Unreachable')) throw error;
      throw new BusError('Unreachable', error.message, { ...error.details, outcome: 'not-sent' });
    }),
});
/** Batches carry no producer id, so brokers write each copy. */
const noSequence = (client: BrokerClient): BrokerClient =>
  withBatches(client, ({ topic, partition, records }) => ({ topic, partition, records }));

/** The sequence number does not increase, so brokers take the next batch of the same size for a copy. */
const sameSequence = (client: BrokerClient): BrokerClient =>
  withBatches(client, (batch) => (batch.producer ? { ...batch, producer: { ...batch.producer, sequence: 0 } } : batch));

/** No part of a process detects that another one has refreshed the shared metadata. */
const deaf = (metadata: ClusterMetadata): void => {
  metadata.watch = () => () => undefined;
};

/** An oversized parked record is retried unchanged, although it is never accepted. */
const wholeOnly = (log: Log): Log => ({
  ...log,
  append: (topic, records) =>
    log.append(topic, records).catch((error: unknown) => {
      if (!topic.endsWith('.parked') || !isBusError(error, 'TooLarge')) throw error;
      throw new BusError('Unreachable', error.message, { outcome: 'not-sent', waitedMs: 0 });
    }),
});
/** Forgets settled messages without a commit when their partition is lost. */
class Forgetful extends Retained {
  override leave(): void {
    super.leave(undefined);
  }
}
/** A message starts although a handler of its key, or its own, still runs from before the loss. */
class Unblocked extends Retained {
  override blocks(): boolean {
    return false;
  }
}
/** Messages start although commits have failed for long. */
const neverFull: MakeUnkept = (...how) => {
  const inner = openUnkept(...how);
  return {
    get count() {
      return inner.count;
    },
    add: () => inner.add(),
    mark: () => inner.mark(),
    isFull: () => false,
  };
};

/** A store that rejects every write reports it to no part of the bus. */
const silent = (notices: Notices): Notices => ({ ...notices, emit: () => undefined });

export const plants: Readonly<Record<string, Plant>> = {
  'commit-first': { makeWatermark: commitFirst },
  'commit-max': { makeWatermark: commitMax },
  'no-filter': { makeFilter: noFilter },
  'committed-senders': { makeFilter: committedSenders, spool: {} },
  'two-owners': { log: twoOwners },
  'lost-wakeup': { log: lostWakeup },
  'surely-not': { log: surelyNot },
  'whole-only': { log: wholeOnly },
  'age-only': { world: { holdsUnread: false } },
  'no-sequence': { client: noSequence },
  'same-sequence': { client: sameSequence },
  deaf: { metadata: deaf },
  forgetful: { makeRetained: () => new Forgetful() },
  unblocked: { makeRetained: () => new Unblocked() },
  'never-full': { makeUnkept: neverFull },
  'silent-store': { storeNotices: silent },
  'memory-ids': { makeIdWindow: memoryIds },
  unlisted: { world: { keepsAnnouncements: false } },
  ...Object.fromEntries(Object.entries(spoolPlants).map(([name, spool]) => [name, { spool }])),
};

function withBatches(client: BrokerClient, change: (batch: Batch) => Batch): BrokerClient {
  return { ...client, produce: (at, batches, timeoutMs) => client.produce(at, batches.map(change), timeoutMs) };
}

function changed(inner: Watermark, change: (inner: Watermark) => Partial<Watermark>): Watermark {
  const whole: Watermark = {
    get at() {
      return inner.at;
    },
    get seen() {
      return inner.seen;
    },
    get openRanges() {
      return inner.openRanges;
    },
    get unsettled() {
      return inner.unsettled;
    },
    see: (offset, stamp) => inner.see(offset, stamp),
    pass: (next) => inner.pass(next),
    settle: (offset) => inner.settle(offset),
    ranges: () => inner.ranges(),
    unsettledFrom: (offset) => inner.unsettledFrom(offset),
  };
  return Object.defineProperties(whole, Object.getOwnPropertyDescriptors(change(inner)));
}

function withOwner(log: Log, change: (owner: Owner) => Owner): Log {
  return { ...log, join: (group, topic, owner, options) => log.join(group, topic, change(owner), options) };
}

const waitedMs = 50;

function sleepy(owned: OwnedPartition, dice: Dice, clock: Clock): OwnedPartition {
  return {
    ...owned,
    async read(from, max, signal) {
      const calledMs = clock.mono();
      const records = await owned.read(from, max, signal);
      const missed = clock.mono() - calledMs > waitedMs && dice.chance(0.1);
      if (missed && !signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve));
      return missed ? [] : records;
    },
  };
}
