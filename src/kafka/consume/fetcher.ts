/** Fetches records for all positions: plans which broker each is fetched from, across changes of the leaders. */
import { every, sleep, type Timer } from '../../base/clock';
import type { Closable } from '../../base/lifecycle';
import { BrokerSource, type BrokerSourceParts } from './broker-source';
import { FetchResults } from './fetch-results';
import { FetchBuffer } from './fetch-buffer';
import { ReadHealth } from './read-health';
import type { ClusterMetadata } from '../cluster/metadata';
import { pauseMs } from '../cluster/retry';
import type { Channel } from '../client/broker-client';
import type { TopicPartition } from '../protocol/types';

/**
 * Time after which a position that wants records, but has no fetch in flight, is reported and fetched again. It is
 * longer than the pauses after errors, so that only a defect or a missing leader exceeds it.
 */
const unpolledMsMax = 5_000;
const auditIntervalMs = 1_000;

/**
 * Fetches the records of all open positions. `#plan` derives the fetches from the positions and the leaders of their
 * partitions. It runs after every change of either, including a refresh of the shared metadata by another component.
 */
export class Fetcher implements Closable {
  readonly #buffers = new Set<FetchBuffer>();
  readonly #sources = new Map<number, BrokerSource>();
  readonly #closing = new AbortController();
  readonly #readHealth: ReadHealth;
  readonly #sourceParts: BrokerSourceParts;
  readonly #unwatch: () => void;
  #audit: Timer | undefined;
  #planned = false;
  #seeking = false;
  #turn = 0;

  constructor(
    private readonly metadata: ClusterMetadata,
    channel: Channel,
  ) {
    const readHealth = new ReadHealth(metadata);
    this.#readHealth = readHealth;
    const changed = (buffer: FetchBuffer): void => this.#changed(buffer);
    const { signal: closing } = this.#closing;
    this.#sourceParts = {
      metadata,
      channel,
      closing,
      readHealth,
      results: new FetchResults({ metadata, channel, readHealth, closing, changed }),
      wanting: (node) => this.#wantingAt(node),
      openCount: () => this.#buffers.size,
      plan: () => this.#plan(),
      planSoon: () => this.#planSoon(),
      ended: (node) => void this.#sources.delete(node),
    };
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
      const source = this.#sources.get(node);
      if (source) void source.catchUp();
      else this.#openSource(node);
    }
  }

  #openSource(node: number): void {
    const source = new BrokerSource(node, this.#sourceParts);
    this.#sources.set(node, source);
    void source.poll();
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
