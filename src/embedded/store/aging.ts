/**
 * Removes records of a topic that are older than its retention time. Records that a group of the topic has not read are
 * kept, whatever their age and the setting of the clock. When these exceed `heldBytesMax`, the oldest of them are
 * removed.
 */
import type { Clock } from '../../base/clock';
import type { Store } from '../../disk/lmdb';
import { sizeText, spanText } from '../../format/amounts';
import { parseGroup, queueOf } from '../../format/names';
import type { GroupOfTopic, Topic } from '../../ports/log';
import { firstSince } from './first-since';
import { kinds, partitionKey, PlaceKeys } from './keys';
import { offsetOf } from './commit-format';
import { timeOf } from './record-format';
import type { Topics } from './topics';

/** Records examined between two transactions, so that no step blocks the event loop for long. */
const stepRecords = 500;
/** Records whose size is read to estimate the size of a partition. Reading all of them would take too long. */
const sampleRecords = 32;
/** Share of a partition's held records that is removed at a time, so that no more is lost than necessary. */
const dropShare = 1 / 8;

export interface AgingParts {
  readonly store: Store;
  readonly topics: Topics;
  readonly clock: Clock;
  /** Returns all groups of the log. */
  readonly groups: () => readonly GroupOfTopic[];
  /** Removes the records below an offset. Resolves to the number of offsets that this process removed. */
  readonly below: (topic: string, partition: number, before: number) => Promise<number>;
  readonly dropped: (what: string, reason: string) => void;
  readonly heldBytesMax: number;
  readonly closed: () => boolean;
}
/** Records of a partition that are too old and unread, from `from` (inclusive) to `to` (exclusive). */
interface Held {
  readonly partition: number;
  from: number;
  readonly to: number;
  bytes: number;
}

export class Aging {
  constructor(readonly parts: AgingParts) {}

  async sweep(topic: Topic, keepMs: number): Promise<void> {
    const { store, clock, topics } = this.parts;
    const thanMs = clock.now() - keepMs;
    const groups = this.groupsOf(topic.name);
    const held: Held[] = [];
    for (let partition = 0; partition < topic.partitions && !this.parts.closed(); partition += 1) {
      store.refresh();
      const unread = this.unreadFrom(groups, topic.name, partition);
      await this.older(topic.name, partition, thanMs, unread);
      const { start, end } = topics.bounds(topic.name, partition);
      const from = Math.max(start, unread);
      const to = from < end ? firstSince(store, topic.name, partition, thanMs, { from, end }) : from;
      if (from < to) held.push({ partition, from, to, bytes: this.sizeOf(topic.name, partition, { from, to }) });
    }
    if (bytesOf(held) > this.parts.heldBytesMax) await this.drop(topic, keepMs, held, groups);
  }

  private groupsOf(topic: string): readonly string[] {
    return this.parts.groups().flatMap((one) => (one.topic === topic ? one.group : []));
  }
  /** Returns the lowest offset that a group has not settled; Infinity without groups. */
  private unreadFrom(groups: readonly string[], topic: string, partition: number): number {
    return Math.min(Infinity, ...groups.map((group) => this.placeOf(group, topic, partition)));
  }
  /** Returns the committed offset of a group, or 0 where it has never committed and thus has read nothing. */
  private placeOf(group: string, topic: string, partition: number): number {
    const commit = this.parts.store.view(partitionKey(kinds.commit, [group, topic], partition));
    return commit === undefined ? 0 : offsetOf(commit);
  }

  private async older(topic: string, partition: number, thanMs: number, unread: number): Promise<void> {
    const keys = new PlaceKeys(kinds.record, topic, partition);
    while (!this.parts.closed()) {
      this.parts.store.refresh();
      const { start, end } = this.parts.topics.bounds(topic, partition);
      const to = Math.min(end, unread);
      let keep = start;
      let looked = 0;
      if (start >= to) return;
      this.parts.store.scan(keys.at(start), keys.at(to), (key, { value }) => {
        if (timeOf(value) >= thanMs || looked === stepRecords) return false;
        looked += 1;
        keep = keys.offsetOf(key) + 1;
        return true;
      });
      if (looked === 0) return;
      await this.parts.below(topic, partition, keep);
    }
  }

  /** Estimates the size of a range in bytes from a sample of its records. */
  private sizeOf(topic: string, partition: number, { from, to }: { from: number; to: number }): number {
    const keys = new PlaceKeys(kinds.record, topic, partition);
    const step = Math.max(1, (to - from) / sampleRecords);
    let [bytes, count] = [0, 0];
    for (let at = from; at < to; at += step) {
      bytes += this.parts.store.view(keys.at(Math.floor(at)))?.length ?? 0;
      count += 1;
    }
    return count === 0 ? 0 : (bytes / count) * (to - from);
  }

  /** Removes the oldest records of the partition that holds most, until the rest is within the limit. */
  private async drop(topic: Topic, keepMs: number, held: Held[], groups: readonly string[]): Promise<void> {
    const { heldBytesMax, closed } = this.parts;
    const before = held.map(({ from }) => from);
    const removed = held.map(() => 0);
    const late = groups.filter((group) =>
      held.some(({ partition, to }) => this.placeOf(group, topic.name, partition) < to),
    );
    while (bytesOf(held) > heldBytesMax && !closed()) {
      const [most] = held.toSorted((a, b) => b.bytes - a.bytes);
      if (!most) break;
      const cut = most.from + Math.max(1, Math.ceil((most.to - most.from) * dropShare));
      const index = held.indexOf(most);
      removed[index] = (removed[index] ?? 0) + (await this.parts.below(topic.name, most.partition, cut));
      most.from = cut;
      this.parts.store.refresh();
      most.bytes = cut < most.to ? this.sizeOf(topic.name, most.partition, { from: cut, to: most.to }) : 0;
    }
    const [size, age, names] = [sizeText(heldBytesMax), spanText(keepMs), late.map(nameOf).join(', ')];
    const reason = `${names} did not receive them, and more than ${size} of events older than ${age} waited`;
    held.forEach(({ partition, from }, index) => {
      if (removed[index] === 0) return; // nothing was removed here, or another process removed it
      this.parts.dropped(`${topic.name}/${partition}/${before[index]}-${from - 1}`, reason);
    });
  }
}

function bytesOf(held: readonly Held[]): number {
  return held.reduce((sum, { bytes }) => sum + bytes, 0);
}

/** Returns the name that operators use for a group. */
function nameOf(group: string): string {
  const name = parseGroup(group);
  return name?.kind === 'listen' ? queueOf(name.listener, name.as) : group;
}
