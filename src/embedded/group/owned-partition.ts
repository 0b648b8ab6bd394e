/** Reads a partition while a member owns it, and commits to it. Only the owner of the current epoch can commit. */
import { BusError } from '../../base/errors';
import type { Store } from '../../disk/lmdb';
import {
  PartitionLostError,
  OutOfRangeError,
  type Commit,
  type OwnedPartition,
  type ReadMax,
  type Stored,
} from '../../ports/log';
import { encodeCommit } from '../store/commit-format';
import type { Reader } from '../store/read';
import type { Topics } from '../store/topics';
import type { Notifier } from '../store/notifier';

/**
 * Largest state of a commit. LMDB allows more. This far exceeds the size of a watermark with its ranges, and keeps
 * transactions short.
 */
export const stateBytesMax = 65_536;

export interface OwnedParts {
  readonly group: string;
  readonly topic: string;
  readonly partition: number;
  readonly epoch: number;
  readonly committed: Commit | null;
  readonly log: Store;
  readonly topics: Topics;
  readonly notifier: Notifier;
  readonly reader: Reader;
  readonly ownerKey: Buffer;
  readonly commitKey: Buffer;
  /** Revokes the partition if other members can have removed this one. Called before anything is started. */
  readonly fence: () => void;
  readonly cannotServe: (entries: readonly string[]) => void;
  /** Called when a commit was rejected because another member owns the partition. */
  readonly refused: () => void;
}
interface Waiting {
  readonly commit: Commit;
  readonly done: (() => void)[];
  readonly failed: ((error: unknown) => void)[];
}

export class EmbeddedOwnedPartition implements OwnedPartition {
  readonly partition: number;
  readonly epoch: number;
  readonly committed: Commit | null;
  private readonly controller = new AbortController();
  /** Reason why this member no longer owns the partition. */
  private over: string | undefined;
  private waiting: Waiting | undefined;
  private writing = false;

  constructor(private readonly parts: OwnedParts) {
    this.partition = parts.partition;
    this.epoch = parts.epoch;
    this.committed = parts.committed;
  }

  get lost(): AbortSignal {
    return this.controller.signal;
  }

  /** Marks the partition as lost. Every later call rejects. */
  lose(reason: string): void {
    this.over ??= reason;
    this.controller.abort(new PartitionLostError(this.parts.group, this.partition, reason));
  }
  /** Marks the partition as given back in agreement. */
  end(): void {
    this.over ??= 'it was revoked';
  }

  check(): void {
    this.parts.fence();
    if (this.over !== undefined) throw new PartitionLostError(this.parts.group, this.partition, this.over);
  }

  cannotServe(entries: readonly string[]): void {
    this.parts.cannotServe(entries);
  }

  async read(from: number, max: ReadMax, signal: AbortSignal): Promise<readonly Stored[]> {
    const { log, topics, notifier, reader, topic } = this.parts;
    let next = from;
    while (!signal.aborted) {
      this.check();
      log.refresh();
      const { start, end } = topics.bounds(topic, this.partition);
      if (next < start) throw new OutOfRangeError(topic, this.partition, next, start);
      if (next > end) throw new OutOfRangeError(topic, this.partition, next, start, end);
      const out = reader.read(next, end, max);
      if (out.records.length > 0) return out.records;
      next = out.next;
      const position = next;
      const ready = () => this.over !== undefined || !topics.endsAt(topic, this.partition, position);
      await notifier.until(topic, ready, [signal, this.lost]);
    }
    return [];
  }

  async commit(commit: Commit): Promise<void> {
    this.check();
    if (commit.state.length > stateBytesMax) {
      const bytes = commit.state.length;
      const what = `the state of a commit of ${this.parts.group}`;
      const message = `${what} has ${bytes} bytes, the limit is ${stateBytesMax}`;
      throw new BusError('TooLarge', message, { bytes, limitBytes: stateBytesMax });
    }
    // Only the last waiting commit is written. All waiting calls resolve when it is.
    const kept = { offset: commit.offset, state: Uint8Array.from(commit.state) };
    const { done, failed }: Omit<Waiting, 'commit'> = this.waiting ?? { done: [], failed: [] };
    this.waiting = { commit: kept, done, failed };
    const result = new Promise<void>((resolve, reject) => {
      done.push(resolve);
      failed.push(reject);
    });
    if (!this.writing) void this.writeAll();
    await result;
  }

  private async writeAll(): Promise<void> {
    this.writing = true;
    for (let now = this.waiting; now !== undefined; now = this.waiting) {
      this.waiting = undefined;
      try {
        await this.write(now.commit);
        for (const done of now.done) done();
      } catch (error) {
        for (const failed of now.failed) failed(error);
      }
    }
    this.writing = false;
  }

  private async write(commit: Commit): Promise<void> {
    this.check();
    const { log, ownerKey, commitKey, group } = this.parts;
    const change = { key: commitKey, value: encodeCommit(commit) };
    const written = await log.within(log.write({ key: ownerKey, version: this.epoch }, [change]));
    if (written) return;
    this.parts.refused();
    throw new PartitionLostError(group, this.partition, this.over ?? 'another member owns it now');
  }
}
