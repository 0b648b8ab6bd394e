/** Fetches records for all positions, with one long poll per broker, across failures and changes of the leader. */
import { every, sleep, type Timer } from '../../base/clock';
import { errorMessage } from '../../base/errors';
import type { Closable } from '../../base/lifecycle';
import { busErrorOf, KafkaError } from '../protocol/errors';
import { FetchResults, failedRestMs } from './fetch-results';
import { FetchBuffer } from './fetch-buffer';
import { ReadHealth } from './read-health';
import type { ClusterMetadata } from '../cluster/metadata';
import { pauseMs } from '../cluster/retry';
import type { Route, Channel } from '../client/broker-client';
import type { FetchRequest, TopicPartition } from '../protocol/types';

/** Maximum time that a broker waits for new records. It is the default of Kafka's own consumers. */
const maxWaitMs = 500;
/**
 * Maximum size of the records fetched for all partitions together, with a minimum and a maximum for each, and of one
 * response. Larger values cost more than they save: the records are in memory together, and the garbage collector moves
 * them.
 */
const inHandBytes = 384 * 1024;
const partitionBytesMin = 32 * 1024;
const partitionBytesMax = 256 * 1024;
const answerBytesMax = 2 * 1024 * 1024;
/**
 * Extra time for a response, which doubles after each timeout up to the maximum. The requested bytes shrink at the same
 * time, down to about one batch, so that a slow broker or network can deliver them.
 */
const spareMsMin = 2_000;
const spareMsMax = 30_000;
const slownessMax = 4;
const slowBytesMin = 64 * 1024;
/** Response time below which the next fetch can request more bytes again. */
const quickMs = 1_000;
/**
 * Interval at which the metadata is refreshed while fetches succeed. A leader that lost its connection to the other
 * brokers continues to answer, but has no new records.
 */
const leadersMs = 30_000;
/**
 * Time after which a position that wants records, but has no fetch in flight, is reported and fetched again. It is
 * longer than the pauses after errors, so that only a defect or a missing leader exceeds it.
 */
const unpolledMsMax = 5_000;
const auditIntervalMs = 1_000;

/** State of the long poll to one broker. */
interface Poll {
  /** Positions in the current request, and positions that were fetched separately since it was sent. */
  asked: Set<FetchBuffer>;
  catchingUp: boolean;
  /** Number of requests that timed out, minus the number of fast responses. */
  slowness: number;
}
type AskedSpot = FetchRequest['partitions'][number] & { readonly members: readonly FetchBuffer[] };

/**
 * Fetches the records of all open positions. `#plan` derives the fetches from the positions and the leaders of their
 * partitions. It runs after every change of either, including a refresh of the shared view by another component.
 */
export class Fetcher implements Closable {
  readonly #buffers = new Set<FetchBuffer>();
  readonly #polls = new Map<number, Poll>();
  readonly #closing = new AbortController();
  readonly #readHealth: ReadHealth;
  readonly #answers: FetchResults;
  readonly #unwatch: () => void;
  #audit: Timer | undefined;
  #planned = false;
  #seeking = false;
  #turn = 0;

  constructor(
    private readonly metadata: ClusterMetadata,
    private readonly channel: Channel,
  ) {
    const readHealth = new ReadHealth(metadata);
    this.#readHealth = readHealth;
    const changed = (buffer: FetchBuffer): void => this.#changed(buffer);
    this.#answers = new FetchResults({ metadata, channel, readHealth, closing: this.#closing.signal, changed });
    this.#unwatch = metadata.watch(() => this.#planSoon());
  }

  close(): Promise<void> {
    this.#closing.abort();
    this.#unwatch();
    this.#audit?.cancel();
    for (const buffer of this.#buffers) buffer.close();
    return Promise.resolve();
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Opens a position, and starts to fetch it at `from`. */
  open({ topic, partition }: TopicPartition, from: number): FetchBuffer {
    const absences = (): number => this.metadata.absences(topic);
    const buffer = new FetchBuffer(topic, partition, from, (one) => this.#changed(one), absences);
    buffer.polledMs = this.metadata.parts.clock.mono();
    this.#buffers.add(buffer);
    this.#audit ??= every(this.metadata.parts.clock, auditIntervalMs, () => this.#lookForUnpolled());
    this.#changed(buffer);
    return buffer;
  }

  #changed(buffer: FetchBuffer): void {
    if (buffer.closed) {
      this.#buffers.delete(buffer);
      this.#readHealth.works(buffer);
      this.metadata.held.over(buffer);
    }
    this.#planSoon();
  }
  /** Runs `#plan` once for all changes of this turn. */
  #planSoon(): void {
    if (this.#planned) return;
    this.#planned = true;
    queueMicrotask(() => {
      this.#planned = false;
      this.#plan();
    });
  }

  /** Starts a fetch from the leader of each position that wants records. */
  #plan(): void {
    if (this.#closing.signal.aborted) return;
    const nodes = new Set<number>();
    for (const buffer of this.#buffers) {
      if (!buffer.wantsFetch) continue;
      const node = this.metadata.leader(buffer);
      if (node === undefined) void this.#seek();
      else nodes.add(node);
    }
    for (const node of nodes) {
      const poll = this.#polls.get(node);
      if (!poll) void this.#poll(node);
      else if (!poll.catchingUp) void this.#catchUp(node, poll);
    }
  }

  /** Refreshes the metadata because a position has no known leader. */
  async #seek(): Promise<void> {
    if (this.#seeking) return;
    this.#seeking = true;
    await this.metadata.refresh();
    for (const one of this.#buffers) {
      if (one.wantsFetch && this.metadata.leader(one) === undefined)
        this.#readHealth.fails(one, this.metadata.whyLeaderless(one.topic));
    }
    await sleep(this.metadata.parts.clock, pauseMs(this.metadata.parts.random, 0), this.#closing.signal);
    this.#seeking = false;
    this.#plan();
  }

  #wantingAt(node: number): FetchBuffer[] {
    const all = [...this.#buffers].filter((one) => one.wantsFetch && this.metadata.leader(one) === node);
    this.#turn++;
    const first = this.#turn % Math.max(1, all.length); // rotates, so that a busy partition does not starve the rest
    return [...all.slice(first), ...all.slice(0, first)];
  }

  /** Polls a broker while any position wants records from it. */
  async #poll(node: number): Promise<void> {
    const { clock } = this.metadata.parts;
    const poll: Poll = { asked: new Set(), catchingUp: false, slowness: 0 };
    this.#polls.set(node, poll);
    let failures = 0;
    while (!this.#closing.signal.aborted) {
      const buffers = this.#wantingAt(node);
      if (buffers.length === 0) break;
      poll.asked = new Set(buffers);
      const sentMs = clock.mono();
      try {
        await this.#fetch({ node, channel: this.channel }, buffers, maxWaitMs, poll.slowness);
        failures = 0;
        if (clock.mono() - this.metadata.updatedMs >= leadersMs) void this.metadata.refresh();
        if (clock.mono() - sentMs < quickMs) poll.slowness = Math.max(0, poll.slowness - 1);
      } catch (error) {
        const late = error instanceof KafkaError && error.code === 'DEADLINE' && error.uncertain; // it was connected
        if (late) poll.slowness = Math.min(slownessMax, poll.slowness + 1);
        await this.#unanswered(node, buffers, error, failures++);
      }
    }
    this.#polls.delete(node);
    this.#plan();
  }

  /** Fetches, without waiting for new records, the positions that were added after the current poll was sent. */
  async #catchUp(node: number, poll: Poll): Promise<void> {
    const { asked } = poll;
    const late = this.#wantingAt(node).filter((one) => !asked.has(one));
    if (late.length === 0) return;
    poll.catchingUp = true;
    const before = late.map(({ next }) => next);
    try {
      await this.#fetch({ node, channel: 'admin' }, late, 0, poll.slowness);
    } catch {
      // The poll reports the same error.
    }
    const idle = late.filter(({ next }, i) => next === before[i]);
    for (const one of idle) asked.add(one);
    // The poll can take longer, so fetch them again unless its next round has started by then.
    this.metadata.parts.clock.after(maxWaitMs, () => {
      for (const one of idle) asked.delete(one);
      if (poll.asked === asked) this.#planSoon();
    });
    poll.catchingUp = false;
    this.#plan();
  }

  async #fetch(at: Route, buffers: readonly FetchBuffer[], waitMs: number, slowness: number): Promise<void> {
    const bytesMax = Math.max(slowBytesMin, answerBytesMax / 4 ** slowness);
    const share = Math.max(partitionBytesMin, Math.floor(inHandBytes / this.#buffers.size));
    const { asks, apart } = askFor(buffers, Math.min(share, partitionBytesMax, bytesMax));
    const jumps = new Map(buffers.map((buffer) => [buffer, buffer.jumps]));
    const spareMs = Math.min(spareMsMax, spareMsMin * 2 ** slowness);
    const ask = { partitions: asks, maxWaitMs: apart ? 0 : waitMs, bytesMax, spareMs };
    for (const buffer of buffers) buffer.polls++;
    try {
      const fetching = this.metadata.parts.client.fetch(at, ask, this.#closing.signal);
      const answers = await (slowness === 0 ? fetching : this.#watched(fetching));
      answers.forEach((answer, i) => {
        const asked = asks[i];
        const members = asked?.members.filter((one) => !one.closed && one.jumps === jumps.get(one)) ?? [];
        if (asked) this.#answers.take(at.node, asked, answer, members);
      });
    } finally {
      for (const buffer of buffers) {
        buffer.polls--;
        buffer.polledMs = this.metadata.parts.clock.mono();
      }
    }
  }

  /**
   * Refreshes the metadata while a slow broker responds. A new leader is then polled without waiting for the response.
   */
  async #watched<T>(fetching: Promise<T>): Promise<T> {
    const watch = every(this.metadata.parts.clock, spareMsMin, () => void this.metadata.refresh());
    try {
      return await fetching;
    } finally {
      watch.cancel();
    }
  }

  /** Handles the failure of a whole request. Partitions that have a new leader are fetched from that broker. */
  async #unanswered(node: number, buffers: readonly FetchBuffer[], error: unknown, failures: number): Promise<void> {
    const { clock, random } = this.metadata.parts;
    const hopeless = error instanceof KafkaError && !error.retriable;
    for (const buffer of buffers) {
      if (this.metadata.leader(buffer) !== node) continue;
      if (hopeless) buffer.fail(busErrorOf(error, `reading ${buffer.topic}`, 0));
      else this.#readHealth.fails(buffer, errorMessage(error));
    }
    void this.metadata.refresh();
    await sleep(clock, hopeless ? failedRestMs : pauseMs(random, failures), this.#closing.signal);
  }

  /**
   * Reports and fetches positions that want records but are not fetched. Each change should have started a fetch, so
   * this bounds the effect of a defect.
   */
  #lookForUnpolled(): void {
    const nowMs = this.metadata.parts.clock.mono();
    for (const buffer of this.#buffers) {
      if (buffer.polls > 0 || !buffer.hasRoom) buffer.polledMs = nowMs;
      if (nowMs - buffer.polledMs < unpolledMsMax) continue;
      this.#readHealth.fails(buffer, this.#whyUnpolled(buffer), buffer.polledMs);
      this.#planSoon();
    }
  }
  #whyUnpolled(buffer: FetchBuffer): string {
    const node = this.metadata.leader(buffer);
    if (node === undefined) return this.metadata.whyLeaderless(buffer.topic);
    const why = buffer.resting ? 'the pause after its last failure has not ended' : 'no fetch was sent to it';
    return `broker ${node} is its leader, but ${why}`;
  }
}

/**
 * Returns one request per partition, at the offset of its first position. `apart` is true if another position of the
 * partition is at a different offset.
 */
function askFor(
  buffers: readonly FetchBuffer[],
  bytesMax: number,
): { readonly asks: readonly AskedSpot[]; readonly apart: boolean } {
  const bySpot = new Map<string, FetchBuffer[]>();
  for (const buffer of buffers) {
    const key = `${buffer.topic}/${buffer.partition}`;
    const same = bySpot.get(key);
    if (same) same.push(buffer);
    else bySpot.set(key, [buffer]);
  }
  let apart = false;
  const asks = [...bySpot.values()].flatMap((members): AskedSpot[] => {
    const [chosen] = members;
    if (!chosen) return [];
    const { topic, partition, next: offset } = chosen;
    if (members.some(({ next }) => next !== offset)) apart = true;
    return [{ topic, partition, offset, bytesMax, members }];
  });
  return { asks, apart };
}
