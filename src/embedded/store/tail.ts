/** Opens a tail, which reads every partition of a topic in order, without a group. */
import {
  OutOfRangeError,
  type Place,
  type ReadMax,
  type Stored,
  type Tail,
  type TailFrom,
  type Topic,
} from '../../ports/log';
import { closable } from '../../base/lifecycle';
import type { Reader } from './read';
import type { Topics } from './topics';
import type { Notifier } from './notifier';

export interface TailParts {
  readonly topics: Topics;
  readonly notifier: Notifier;
  readonly refresh: () => void;
  readonly reader: (partition: number) => Reader;
}

export function openTail(parts: TailParts, topic: Topic, from: TailFrom, onClose: () => void): Tail {
  const { topics, notifier } = parts;
  const ended = new AbortController();
  const unwatch = notifier.watch(topic.name);
  parts.refresh();
  const positions = startPlaces(topics, topic, from);
  const readers = positions.map(({ partition }) => parts.reader(partition));
  let turn = 0;

  /** Reads from one partition and moves its position past the records. */
  function take(index: number, max: ReadMax): readonly Stored[] {
    const position = positions[index];
    const reader = readers[index];
    if (position === undefined || reader === undefined) return [];
    const { start, end } = topics.bounds(topic.name, position.partition);
    const asked = position.offset;
    if (asked < start) {
      position.offset = start;
      throw new OutOfRangeError(topic.name, position.partition, asked, start);
    }
    if (asked > end) {
      position.offset = end;
      throw new OutOfRangeError(topic.name, position.partition, asked, start, end);
    }
    const { records, next } = reader.read(asked, end, max);
    position.offset = next;
    return records;
  }

  /** Reads from the next partition in turn that has records, so that a busy one does not starve the rest. */
  function takeAny(max: ReadMax): readonly Stored[] {
    parts.refresh();
    for (let tried = 0; tried < positions.length; tried += 1) {
      turn = (turn + 1) % positions.length;
      const records = take(turn, max);
      if (records.length > 0) return records;
    }
    return [];
  }

  function anyNews(): boolean {
    return positions.some(({ partition, offset }) => !topics.endsAt(topic.name, partition, offset));
  }

  async function read(max: ReadMax): Promise<readonly Stored[]> {
    while (!ended.signal.aborted) {
      const records = takeAny(max);
      if (records.length > 0) return records;
      await notifier.until(topic.name, anyNews, [ended.signal]);
    }
    return [];
  }

  const closing = closable(() => {
    ended.abort();
    unwatch();
    onClose();
    return Promise.resolve();
  });
  return { read, ...closing };
}

function startPlaces(topics: Topics, topic: Topic, from: TailFrom): { partition: number; offset: number }[] {
  const given = new Map<number, Place>(typeof from === 'string' ? [] : from.map((place) => [place.partition, place]));
  return Array.from({ length: topic.partitions }, (_, partition) => {
    const { start, end } = topics.bounds(topic.name, partition);
    const offset = given.get(partition)?.offset ?? (from === 'end' ? end : start);
    return { partition, offset };
  });
}
