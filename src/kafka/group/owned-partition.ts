/** Reads and commits one partition while this member owns it. Only this member's generation can commit. */
import { BusError } from '../../base/errors';
import { PartitionLostError, type Commit, type OwnedPartition, type ReadMax, type Stored } from '../../ports/log';
import type { CommitRoom } from './commit-room';
import type { Fetcher } from '../consume/fetcher';
import { whenReady, type FetchBuffer } from '../consume/fetch-buffer';

export interface OwnedParts {
  readonly group: string;
  readonly topic: string;
  readonly partition: number;
  readonly epoch: number;
  readonly committed: Commit | null;
  readonly fetcher: Fetcher;
  readonly room: CommitRoom;
  /** Fences the member if its session can have expired. Called before any work starts. */
  readonly fence: () => void;
  readonly commit: (owned: KafkaOwnedPartition, commit: Commit) => Promise<void>;
  /** Returns why the pending commits of the member were not stored yet. */
  readonly commitFailure: () => string | undefined;
  readonly cannotServe: (owned: KafkaOwnedPartition, entries: readonly string[]) => void;
}

export class KafkaOwnedPartition implements OwnedPartition {
  readonly partition: number;
  readonly epoch: number;
  readonly committed: Commit | null;
  readonly #lost = new AbortController();
  readonly #ended = new AbortController();
  #over: string | undefined;
  #buffer: FetchBuffer | undefined;

  constructor(readonly parts: OwnedParts) {
    this.partition = parts.partition;
    this.epoch = parts.epoch;
    this.committed = parts.committed;
  }

  get lost(): AbortSignal {
    return this.#lost.signal;
  }
  get ended(): boolean {
    return this.#over !== undefined;
  }
  /** Throws PartitionLostError if the partition is no longer owned. */
  check(): void {
    this.parts.fence();
    if (this.#over !== undefined) throw new PartitionLostError(this.parts.group, this.partition, this.#over);
  }

  lose(reason: string): void {
    if (this.ended) return;
    this.#finish(reason);
    this.#lost.abort(new PartitionLostError(this.parts.group, this.partition, reason));
  }
  /** Ends the ownership after the partition was released. */
  end(): void {
    if (!this.ended) this.#finish('it was revoked');
  }
  #finish(reason: string): void {
    this.#over = reason;
    this.#ended.abort();
    this.#buffer?.close();
  }

  async read(from: number, max: ReadMax, signal: AbortSignal): Promise<readonly Stored[]> {
    const { fetcher, topic } = this.parts;
    this.check();
    const buffer = (this.#buffer ??= fetcher.open({ topic, partition: this.partition }, from));
    buffer.seek(from);
    while (!signal.aborted) {
      this.check();
      const found = buffer.take(max);
      if (found.length > 0) return found;
      await whenReady(() => signal.aborted || buffer.hasNews, [buffer], [signal, this.#ended.signal]);
    }
    return [];
  }

  get commitFailure(): string | undefined {
    return this.parts.commitFailure();
  }

  cannotServe(entries: readonly string[]): void {
    if (!this.ended) this.parts.cannotServe(this, entries);
  }

  async commit(commit: Commit): Promise<void> {
    this.check();
    const bytes = commit.state.length;
    const limitBytes = this.parts.room.stateBytesMax;
    if (bytes > limitBytes) {
      const message = `the state of a commit of ${this.parts.group} has ${bytes} bytes, the limit is ${limitBytes}`;
      throw new BusError('TooLarge', message, { bytes, limitBytes });
    }
    await this.parts.commit(this, { offset: commit.offset, state: Uint8Array.from(commit.state) });
  }
}

/** Metadata of a commit without a state. It is not empty, so that the offsets of other programs can be recognized. */
export const withoutState = '-';

/**
 * Returns the state of a commit as base64 text, because its metadata is text, and brokers limit its length. The text is
 * empty when they accept too few bytes for a state.
 */
export function encodeState(state: Uint8Array, stateBytesMax: number): string {
  if (stateBytesMax === 0) return '';
  return state.length === 0 ? withoutState : Buffer.from(state).toString('base64');
}
/**
 * Returns the state from the metadata of a commit. Metadata of another client is an empty state: the offset was set by
 * hand.
 */
export function decodeState(metadata: string): Uint8Array {
  const state = Buffer.from(metadata, 'base64');
  return state.toString('base64') === metadata ? Uint8Array.from(state) : new Uint8Array();
}
