/** Implements the log of one simulated process, on the topics of its world. */
import { BusError } from '../base/errors';
import { allEnded, closable, onAbort, type Closable } from '../base/lifecycle';
import { OutOfRangeError, type Log, type ReadMax, type Stored, type Tail, type TailFrom } from '../ports/log';
import { Group } from './groups';
import { Seat } from './seat';
import { DeliveryOrder, type Life } from './life';
import { whenAvailable } from './reading';
import { copyRecord, recordBytes, type Partition, type Topics } from './topics';

/** State that the logs of all processes share. */
export interface LogWorld {
  readonly topics: Topics;
  /** Groups by topic and name. */
  readonly groups: Map<string, Group>;
  readonly stateBytesMax: number;
  readonly holdsUnread: boolean;
}

const defaultSessionMs = 10_000;

const keyOf = (name: string, topic: string): string => JSON.stringify([topic, name]);

export function groupOf({ topics, groups, ...how }: LogWorld, name: string, topic: string): Group {
  const found = groups.get(keyOf(name, topic)) ?? new Group(name, topic, topics.partitions(topic), how);
  groups.set(keyOf(name, topic), found);
  return found;
}

export function memoryLog(world: LogWorld, life: Life): Log {
  const { topics, groups, stateBytesMax, holdsUnread } = world;
  const open = new Set<Closable>();
  const appends = new Map<string, DeliveryOrder>();
  let closedMs: number | undefined;

  const call = async <T>(
    name: string,
    topic: string,
    effect: () => T | Promise<T>,
    order?: DeliveryOrder,
  ): Promise<T> => {
    if (closedMs !== undefined)
      throw new BusError('Closed', 'this log was closed', {
        outcome: 'not-sent',
        sinceMs: life.clock.now() - closedMs,
      });
    return life.call(['log', name, topic], effect, order);
  };
  const keep = <C extends Closable>(made: C): C => {
    open.add(made);
    return made;
  };
  const closing = closable(async () => {
    closedMs = life.clock.now();
    await allEnded(
      'closing the log',
      [...open].map((one) => one.close()),
    );
  });

  return {
    ...closing,
    stateBytesMax,
    holdsUnread,
    gapless: true,
    ensure: (topic) => call('ensure', topic.name, () => topics.ensure(topic)),
    append(topic, records) {
      const order = appends.get(topic) ?? new DeliveryOrder();
      appends.set(topic, order);
      const copies = records.map(copyRecord); // the caller can reuse its buffers while the call is on its way
      return call('append', topic, () => topics.append(topic, copies), order);
    },
    tail: async (topic, from) =>
      keep(memoryTail(life, topic, await call('tail', topic, () => positions(topics.partitions(topic), from)))),
    async join(name, topic, owner, options) {
      const seat = new Seat(life, owner, options?.sessionMs ?? defaultSessionMs, options?.serves);
      let group: Group | undefined;
      const enter = (): Group => {
        group = groupOf(world, name, topic);
        group.enter(seat);
        return group;
      };
      try {
        return keep((await call('join', topic, enter)).member(seat));
      } catch (error) {
        await group?.member(seat).close(); // it joined, and only the response was lost
        throw error;
      }
    },
    startGroup: (name, topic, at) => call('startGroup', topic, () => groupOf(world, name, topic).start(at)),
    dropGroup: (name, topic) =>
      call('dropGroup', topic, () => {
        groups.get(keyOf(name, topic))?.drop();
        groups.delete(keyOf(name, topic));
      }),
    trim: (topic, partition, before) =>
      call('trim', topic, () => {
        topics.partition(topic, partition).trim(before);
        topics.partition(topic, partition).wake();
      }),

    topics: () => call('topics', '', () => topics.all()),
    openTransactions: () => Promise.resolve([]),
    bounds: (topic) => call('bounds', topic, () => topics.partitions(topic).map((partition) => partition.bounds())),
    storedBytes: (topic) =>
      call('storedBytes', topic, () =>
        topics.partitions(topic).reduce((sum, partition) => sum + partition.storedBytes(), 0),
      ),
    peek: (topic, from, max) =>
      call('peek', topic, () => topics.partition(topic, from.partition).from(from.offset, max)),
    groups: (isWanted = () => true) =>
      call('groups', '', () => {
        const all = [...groups.values()].map(({ name, topic }) => ({ group: name, topic }));
        return all.filter(({ group }) => isWanted(group));
      }),
    committedOffsets: (name, topic) => call('places', topic, () => groups.get(keyOf(name, topic))?.places() ?? []),
  };
}

/** Returns the start position of a tail on each partition. Unlisted partitions are read from their start. */
function positions(partitions: readonly Partition[], from: TailFrom): readonly TailPlace[] {
  if (typeof from === 'string') return partitions.map((records) => ({ records, next: records[from] }));
  const given = new Map(from.map(({ partition, offset }) => [partition, offset]));
  return partitions.map((records) => ({ records, next: given.get(records.partition) ?? records.start }));
}

interface TailPlace {
  readonly records: Partition;
  next: number;
}

function memoryTail(life: Life, topic: string, places: readonly TailPlace[]): Tail {
  const closed = new AbortController();
  let first = 0; // each read starts at another partition, so that a busy one does not starve the rest

  const look = (max: ReadMax): readonly Stored[] | undefined => {
    if (closed.signal.aborted) return [];
    const found: Stored[] = [];
    let bytes = 0;
    for (const place of [...places.slice(first), ...places.slice(0, first)]) {
      if (found.length >= max.messages || bytes >= max.bytes) break;
      if (place.next < place.records.start || place.next > place.records.end) {
        if (found.length > 0) break;
        throw skipped(topic, place);
      }
      const some = place.records.from(place.next, { messages: max.messages - found.length, bytes: max.bytes - bytes });
      for (const record of some) bytes += recordBytes(record);
      place.next = (some.at(-1)?.offset ?? place.next - 1) + 1;
      found.push(...some);
    }
    first = (first + 1) % places.length;
    return found.length > 0 ? found : undefined;
  };
  const wakers = [
    ...places.map(
      ({ records }) =>
        (wake: () => void) =>
          records.watch(wake),
    ),
    (wake: () => void) => onAbort(closed.signal, wake),
  ];
  return {
    read: (max) => life.call(['log', 'read', topic], () => whenAvailable(() => look(max), wakers)),
    ...closable(async () => closed.abort()),
  };
}

/**
 * Moves the position to the start of the log, or to its end if that is before the position. Returns the error that
 * reports the gap.
 */
function skipped(topic: string, place: TailPlace): OutOfRangeError {
  const { partition, start, end } = place.records;
  const from = place.next;
  place.next = from < start ? start : end;
  return new OutOfRangeError(topic, partition, from, start, from < start ? undefined : end);
}
