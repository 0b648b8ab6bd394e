/** Fetches from one broker: one long poll, and fetches beside it for positions that were added later. */
import { every, sleep } from '../../base/clock';
import { errorMessage } from '../../base/errors';
import type { Channel, Route } from '../client/broker-client';
import type { ClusterMetadata } from '../cluster/metadata';
import { pauseMs } from '../cluster/retry';
import { busErrorOf, KafkaError } from '../protocol/errors';
import type { FetchBuffer } from './fetch-buffer';
import { requestFor } from './fetch-request';
import { failedRestMs, type FetchResults } from './fetch-results';
import type { ReadHealth } from './read-health';

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

export interface BrokerSourceParts {
  readonly metadata: ClusterMetadata;
  readonly channel: Channel;
  readonly closing: AbortSignal;
  readonly readHealth: Pick<ReadHealth, 'fails'>;
  readonly results: Pick<FetchResults, 'take'>;
  /** Returns the positions that want records from the broker. */
  readonly wanting: (node: number) => readonly FetchBuffer[];
  /** Returns the number of all open positions, which share the memory. */
  readonly openCount: () => number;
  /** Starts the fetches that are missing, at once or for all changes of this turn together. */
  readonly plan: () => void;
  readonly planSoon: () => void;
  /** Called when the long poll has ended, because no position wants records. */
  readonly ended: (node: number) => void;
}

export class BrokerSource {
  /** Positions in the current request, and positions that were fetched separately since it was sent. */
  #asked = new Set<FetchBuffer>();
  #catchingUp = false;
  /** Number of requests that timed out, minus the number of fast responses. */
  #slowness = 0;

  constructor(
    private readonly node: number,
    private readonly parts: BrokerSourceParts,
  ) {}

  /** Polls the broker while any position wants records from it. */
  async poll(): Promise<void> {
    const { metadata, channel, closing, wanting, ended, plan } = this.parts;
    const { clock } = metadata.parts;
    let failures = 0;
    while (!closing.aborted) {
      const buffers = wanting(this.node);
      if (buffers.length === 0) break;
      this.#asked = new Set(buffers);
      const sentMs = clock.mono();
      try {
        await this.#fetch({ node: this.node, channel }, buffers, maxWaitMs);
        failures = 0;
        if (clock.mono() - metadata.updatedMs >= leadersMs) void metadata.refresh();
        if (clock.mono() - sentMs < quickMs) this.#slowness = Math.max(0, this.#slowness - 1);
      } catch (error) {
        const late = error instanceof KafkaError && error.code === 'DEADLINE' && error.uncertain; // it was connected
        if (late) this.#slowness = Math.min(slownessMax, this.#slowness + 1);
        await this.#unanswered(buffers, error, failures++);
      }
    }
    ended(this.node);
    plan();
  }

  /** Fetches, without waiting for new records, the positions that were added after the current poll was sent. */
  async catchUp(): Promise<void> {
    if (this.#catchingUp) return;
    const { metadata, wanting, plan, planSoon } = this.parts;
    const asked = this.#asked;
    const late = wanting(this.node).filter((one) => !asked.has(one));
    if (late.length === 0) return;
    this.#catchingUp = true;
    const before = late.map(({ next }) => next);
    try {
      await this.#fetch({ node: this.node, channel: 'admin' }, late, 0);
    } catch {
      // The poll reports the same error.
    }
    const idle = late.filter(({ next }, i) => next === before[i]);
    for (const one of idle) asked.add(one);
    // The poll can take longer, so fetch them again unless its next round has started by then.
    metadata.parts.clock.after(maxWaitMs, () => {
      for (const one of idle) asked.delete(one);
      if (this.#asked === asked) planSoon();
    });
    this.#catchingUp = false;
    plan();
  }

  async #fetch(at: Route, buffers: readonly FetchBuffer[], waitMs: number): Promise<void> {
    const { metadata, closing, openCount, results } = this.parts;
    const slowness = this.#slowness;
    const bytesMax = Math.max(slowBytesMin, answerBytesMax / 4 ** slowness);
    const share = Math.max(partitionBytesMin, Math.floor(inHandBytes / openCount()));
    const { asks, apart } = requestFor(buffers, Math.min(share, partitionBytesMax, bytesMax));
    const jumps = new Map(buffers.map((buffer) => [buffer, buffer.jumps]));
    const spareMs = Math.min(spareMsMax, spareMsMin * 2 ** slowness);
    const ask = { partitions: asks, maxWaitMs: apart ? 0 : waitMs, bytesMax, spareMs };
    for (const buffer of buffers) buffer.polls++;
    try {
      const fetching = metadata.parts.client.fetch(at, ask, closing);
      const answers = await (slowness === 0 ? fetching : this.#watched(fetching));
      answers.forEach((answer, i) => {
        const asked = asks[i];
        const members = asked?.members.filter((one) => !one.closed && one.jumps === jumps.get(one)) ?? [];
        if (asked) results.take(at.node, asked, answer, members);
      });
    } finally {
      for (const buffer of buffers) {
        buffer.polls--;
        buffer.polledMs = metadata.parts.clock.mono();
      }
    }
  }

  /**
   * Refreshes the metadata while a slow broker responds. A new leader is then polled without waiting for the response.
   */
  async #watched<T>(fetching: Promise<T>): Promise<T> {
    const { metadata } = this.parts;
    const watch = every(metadata.parts.clock, spareMsMin, () => void metadata.refresh());
    try {
      return await fetching;
    } finally {
      watch.cancel();
    }
  }

  /** Handles the failure of a whole request. Partitions that have a new leader are fetched from that broker. */
  async #unanswered(buffers: readonly FetchBuffer[], error: unknown, failures: number): Promise<void> {
    const { metadata, readHealth, closing } = this.parts;
    const { clock, random } = metadata.parts;
    const hopeless = error instanceof KafkaError && !error.retriable;
    for (const buffer of buffers) {
      if (metadata.leader(buffer) !== this.node) continue;
      if (hopeless) buffer.fail(busErrorOf(error, `reading ${buffer.topic}`, 0));
      else readHealth.fails(buffer, errorMessage(error));
    }
    void metadata.refresh();
    await sleep(clock, hopeless ? failedRestMs : pauseMs(random, failures), closing);
  }
}
