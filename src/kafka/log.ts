/** Implements the log port on Kafka, with its own producer, fetchers and group members on top of single requests. */
import { allEnded, closable, teardown, type Closable } from '../base/lifecycle';
import { BusError } from '../base/errors';
import type {
  Append,
  AppendOptions,
  GroupOptions,
  GroupStart,
  Log,
  Member,
  Owner,
  Place,
  ReadMax,
  Stored,
  Tail,
  TailFrom,
} from '../ports/log';
import { ClusterWatch } from './cluster/cluster-watch';
import { CommitRoom } from './group/commit-room';
import { boundsOf } from './consume/fetch-results';
import { Fetcher } from './consume/fetcher';
import { Groups } from './group/admin';
import { Membership } from './group/membership';
import { Producer } from './produce/producer';
import type { ProducerOptions } from './produce/producer-options';
import { openTail } from './consume/tail';
import { openTransactions } from './cluster/transactions';
import { Topics, type TopicsOptions } from './cluster/topics';
import { ClusterMetadata, type ClusterMetadataParts } from './cluster/metadata';

export interface KafkaLogParts
  extends ClusterMetadataParts, TopicsOptions, Pick<ProducerOptions, 'appendMs' | 'unknownMs'> {
  /** Name of this instance, such as `photos#c41f`. */
  readonly self: string;
  /** Namespace whose topics and groups are listed. An empty one lists those of all namespaces. */
  readonly ns: string;
  /**
   * Metadata that other components share, so that a failure is reported once. Closed with the log. Default: a new
   * instance.
   */
  readonly metadata?: ClusterMetadata;
}

/** Default session timeout of a group member, the same as in the other implementations of the log. */
const sessionMsDefault = 10_000;
/** Maximum size of one response to a peek. */
const peekBytesMax = 1024 * 1024;
/** Maximum number of consecutive responses without records, which compaction and transaction markers cause. */
const emptyMax = 1_000;
/** Number of times that a peek fetches damaged records again before it skips them. */
const damagedMax = 3;

/**
 * Returns a log that connects with its first call. Closing it leaves the broker client open, which belongs to the
 * caller.
 */
export function openKafkaLog(parts: KafkaLogParts): Log {
  return new KafkaLog(parts).port();
}

class KafkaLog {
  readonly #metadata: ClusterMetadata;
  readonly #topics: Topics;
  readonly #groups: Groups;
  readonly #sender: Producer;
  readonly #tailing: Fetcher;
  readonly #working: Fetcher;
  readonly #room: CommitRoom;
  readonly #watch: ClusterWatch;
  readonly #tails = new Set<Closable>();
  readonly #members = new Set<Closable>();
  #closedMs: number | undefined;

  constructor(private readonly parts: KafkaLogParts) {
    this.#metadata = parts.metadata ?? new ClusterMetadata(parts);
    this.#watch = new ClusterWatch(this.#metadata);
    this.#topics = new Topics(this.#metadata, parts);
    this.#groups = new Groups(this.#metadata, this.#topics);
    this.#sender = new Producer(this.#metadata, {
      ...parts,
      idempotent: true,
      shapeOf: (topic) => this.#topics.shape(topic),
    });
    this.#tailing = new Fetcher(this.#metadata, 'tails');
    this.#working = new Fetcher(this.#metadata, 'work');
    this.#room = new CommitRoom(this.#metadata);
  }

  /** Returns a method of the port. It rejects after close, and with any error that `run` throws. */
  #call<A extends readonly unknown[], R>(run: (...args: A) => R | Promise<R>): (...args: A) => Promise<R> {
    return async (...args) => {
      this.#mustBeOpen();
      return run(...args);
    };
  }
  /** Throws Closed after the log was closed. */
  #mustBeOpen(): void {
    if (this.#closedMs === undefined) return;
    throw new BusError('Closed', 'the log was closed', {
      outcome: 'not-sent',
      sinceMs: this.parts.clock.mono() - this.#closedMs,
    });
  }

  port(): Log {
    const prefix = this.parts.ns === '' ? '' : `${this.parts.ns}.`;
    const [topics, groups, room] = [this.#topics, this.#groups, this.#room];
    return {
      ...closable(() => {
        this.#closedMs ??= this.parts.clock.mono();
        return this.#letGo();
      }),
      get stateBytesMax() {
        return room.stateBytesMax;
      },
      holdsUnread: false, // brokers delete by `retention.ms`, even if a group has not read the records
      gapless: false, // the markers of other producers' transactions take an offset each
      ensure: this.#call((topic: Parameters<Log['ensure']>[0]) => topics.ensure(topic)),
      append: this.#call((topic: string, records: readonly Append[], options?: AppendOptions) =>
        this.#append(topic, records, options),
      ),
      tail: this.#call((topic: string, from: TailFrom) => this.#tail(topic, from)),
      join: this.#call((group: string, topic: string, owner: Owner, options?: GroupOptions) =>
        this.#join(group, topic, owner, options),
      ),
      startGroup: this.#call((group: string, topic: string, at: GroupStart) => groups.start(group, topic, at)),
      trim: this.#call((topic: string, partition: number, before: number) => topics.trim(topic, partition, before)),
      topics: this.#call(() => topics.all(prefix)),
      bounds: this.#call((topic: string) => topics.bounds(topic)),
      openTransactions: this.#call((topic: string, partitions: readonly number[]) =>
        openTransactions(this.#metadata, topic, partitions),
      ),
      peek: this.#call((topic: string, from: Place, max: ReadMax) => this.#peek(topic, from, max)),
      dropGroup: this.#call((group: string) => groups.drop(group)),
      groups: this.#call((isWanted?: (group: string) => boolean) => groups.all(prefix, isWanted)),
      committedOffsets: this.#call((group: string, topic: string) => groups.places(group, topic)),
    };
  }

  async #append(
    topic: string,
    records: readonly Append[],
    { isImmutable }: AppendOptions = {},
  ): Promise<readonly Place[]> {
    const acknowledged = await this.#sender.append(topic, records, undefined, isImmutable);
    return acknowledged.map(({ partition, offset }) => ({ partition, offset }));
  }

  async #tail(topic: string, from: TailFrom): Promise<Tail> {
    const { partitions } = await this.#topics.shape(topic);
    const topicPartitions = Array.from({ length: partitions }, (_, partition) => ({ topic, partition }));
    const given = new Map(typeof from === 'string' ? [] : from.map((place) => [place.partition, place.offset]));
    const open = topicPartitions.filter(({ partition }) => !given.has(partition));
    const offsets = await this.#topics.offsets(open, from === 'end' ? 'end' : 'start');
    const places = topicPartitions.map((topicPartition) => ({
      ...topicPartition,
      offset: given.get(topicPartition.partition) ?? offsets.get(topicPartition.partition) ?? 0,
    }));
    this.#mustBeOpen(); // a tail that is opened after close would never be closed
    const tail = openTail(this.#tailing, places, () => this.#tails.delete(tail));
    this.#tails.add(tail);
    return tail;
  }

  async #join(group: string, topic: string, owner: Owner, options: GroupOptions = {}): Promise<Member> {
    const { partitions } = await this.#topics.shape(topic);
    this.#mustBeOpen();
    const member: Membership = new Membership(
      {
        metadata: this.#metadata,
        self: this.parts.self,
        fetcher: this.#working,
        room: this.#room,
        closed: () => this.#members.delete(member),
      },
      { group, topic, partitions },
      owner,
      options.sessionMs ?? sessionMsDefault,
      options.serves,
    );
    this.#members.add(member);
    await member.start(); // closes the member if it fails
    return member;
  }

  /** Fetches repeatedly until a response contains records, or the log ends. */
  async #peek(topic: string, { partition, offset }: Place, max: ReadMax): Promise<readonly Stored[]> {
    const topicPartition = { topic, partition };
    const { partitions } = await this.#topics.shape(topic);
    if (partition >= partitions) {
      const fault = `topic ${topic} has no partition ${partition}`;
      throw new BusError('Config', fault, { faults: [fault] }, undefined, `Use a partition below ${partitions}.`);
    }
    let damaged = 0;
    return this.#metadata.withRetries(`peeking ${topic}/${partition}`, async () => {
      let next = Math.max(offset, 0);
      let end = Infinity; // until the bounds are requested
      for (let empty = 0; next < end && empty < emptyMax; empty++) {
        const bytesMax = Math.min(Math.max(max.bytes, 1), peekBytesMax);
        const request = { partitions: [{ ...topicPartition, offset: next, bytesMax }], maxWaitMs: 0, bytesMax };
        const [answer] = await this.parts.client.fetch(
          { node: this.#metadata.mustLead(topicPartition), channel: 'admin' },
          request,
        );
        if (answer?.records.length) return atMost(answer.records, max);
        const error = answer?.error;
        const isPassed = error?.until !== undefined && (error.code !== 'CORRUPT_MESSAGE' || ++damaged > damagedMax);
        if (error && !isPassed && error.step !== 'offsetMissing') throw error;
        next = Math.max(next, (isPassed ? error.until : answer?.next) ?? next);
        if (end < Infinity && error?.step !== 'offsetMissing') continue;
        // Most peeks find records at once. An empty response is no proof that none exist, and neither is the end that
        // it contains: a leader that was just elected does not know yet which records can be read.
        const bounds = await boundsOf(this.#metadata, topicPartition);
        if (error?.step === 'offsetMissing' && next >= bounds.start && next < bounds.end) throw error;
        next = Math.max(next, bounds.start);
        end = bounds.end;
      }
      return [];
    });
  }

  readonly #letGo = teardown('the log', [
    [
      'groups',
      () =>
        allEnded(
          'leaving groups',
          [...this.#members].map((member) => member.close()),
        ),
    ],
    [
      'tails',
      () =>
        allEnded(
          'tails',
          [...this.#tails].map((tail) => tail.close()),
        ),
    ],
    ['sender', () => this.#sender.close()],
    ['working', () => this.#working.close()],
    ['tailing', () => this.#tailing.close()],
    ['watch', () => this.#watch.close()],
    ['metadata', () => this.#metadata.close()],
  ]);
}

/** Returns the first records, at least one and no more than `max` allows. */
function atMost(records: readonly Stored[], max: ReadMax): readonly Stored[] {
  let bytes = 0;
  const end = records.findIndex((record, i) => {
    bytes += (record.key?.length ?? 0) + (record.value?.length ?? 0);
    return i > 0 && (i >= max.messages || bytes > max.bytes);
  });
  return end < 0 ? records : records.slice(0, end);
}
