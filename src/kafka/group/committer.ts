/** Sends the commits of one member: all partitions in one request at a time, and none after an unknown outcome. */
import { sleep } from '../../base/clock';
import { BusError } from '../../base/errors';
import { PartitionLostError, type Commit } from '../../ports/log';
import { busErrorOf, KafkaError } from '../protocol/errors';
import { isForeign } from './foreign-offsets';
import { decodeState, encodeState, type KafkaOwnedPartition } from './owned-partition';
import type { ClusterMetadata } from '../cluster/metadata';
import { allGood, pauseMs } from '../cluster/retry';
import type { Route, Channel, BrokerClient } from '../client/broker-client';
import type { PartitionResult, OffsetToCommit, MemberIdentity } from '../protocol/types';

/**
 * Timeout of an OffsetCommit request. Brokers answer within `offsets.commit.timeout.ms`, 5 s, even if a replica is
 * dead.
 */
const commitMs = 7_000;
/** Maximum pause before failed commits are sent again. */
const retryMsMax = 500;

export interface OffsetCommitterParts {
  readonly metadata: ClusterMetadata;
  readonly group: string;
  readonly topic: string;
  readonly channel: Channel;
  /**
   * Called when commits must wait for the next sync: the group rejects the generation, or a rebalance is in progress.
   */
  readonly refused: (reason: string) => void;
  /** Called when commits must wait for the next sync because the outcome of one is unknown. */
  readonly unknown: (reason: string) => void;
  /** Called when the group does not know this member. */
  readonly expelled: (reason: string) => void;
}
/** Commits that wait for one partition. Only the last one is sent, and all of them resolve when it is stored. */
interface Waiting {
  readonly owned: KafkaOwnedPartition;
  commit: Commit;
  readonly done: (() => void)[];
  readonly failed: ((error: unknown) => void)[];
}

export class OffsetCommitter {
  readonly #waiting = new Map<KafkaOwnedPartition, Waiting>();
  readonly #closing = new AbortController();
  #as: MemberIdentity | undefined;
  #sending = false;
  #failures = 0;
  #failure: string | undefined;
  /** Time at which a commit was last stored, or began to wait while no other did. */
  #keptMs = 0;
  /** Callbacks of `settled` calls that wait for a partition. */
  readonly #settled = new Set<() => void>();
  #flying = new Map<KafkaOwnedPartition, Waiting>();

  constructor(private readonly parts: OffsetCommitterParts) {}

  /** Holds all commits until the next {@link go}. */
  hold(): void {
    this.#as = undefined;
  }
  /** Resumes commits after a sync, under the new generation. */
  go(as: MemberIdentity): void {
    this.#as = as;
    this.#failures = 0;
    this.#pump();
  }

  get #idle(): boolean {
    return this.#waiting.size === 0 && this.#flying.size === 0;
  }
  /** Time for which no commit was stored although some wait. It is 0 while none waits. */
  get unkeptMs(): number {
    return this.#idle ? 0 : this.parts.metadata.parts.clock.mono() - this.#keptMs;
  }

  /** Failure of the last try, until a commit is stored. The owners of the partitions report it. */
  get failure(): string | undefined {
    return this.#failure;
  }

  add(owned: KafkaOwnedPartition, commit: Commit): Promise<void> {
    if (this.#idle) {
      this.#keptMs = this.parts.metadata.parts.clock.mono();
      this.#failure = undefined;
    }
    return new Promise((done, failed) => {
      const waiting = this.#waiting.get(owned);
      if (waiting) {
        waiting.commit = commit;
        waiting.done.push(done);
        waiting.failed.push(failed);
      } else this.#waiting.set(owned, { owned, commit, done: [done], failed: [failed] });
      this.#pump();
    });
  }

  /** Resolves when no commit of the partition waits or is in flight. */
  async settled(owned: KafkaOwnedPartition): Promise<void> {
    while (this.#waiting.has(owned) || this.#flying.has(owned)) {
      await new Promise<void>((resolve) => this.#settled.add(resolve));
    }
  }

  /** Rejects the waiting commits of a lost partition. A commit in flight ends with its response. */
  drop(owned: KafkaOwnedPartition, reason: string): void {
    const waiting = this.#waiting.get(owned);
    this.#waiting.delete(owned);
    if (waiting) this.#reject(waiting, new PartitionLostError(this.parts.group, owned.partition, reason));
    this.#wake();
  }

  close(): void {
    this.#closing.abort();
    this.hold();
    for (const { owned } of Array.from(this.#waiting.values())) this.drop(owned, 'the member was closed');
  }

  #wake(): void {
    for (const resolve of this.#settled) resolve();
    this.#settled.clear();
  }

  #kept({ owned, commit, done }: Waiting): void {
    owned.parts.room.taken(commit.state.length);
    for (const resolve of done) resolve();
  }
  #refused(waiting: Waiting, error: KafkaError): void {
    const { owned, commit } = waiting;
    if (tooLarge.has(error.code)) owned.parts.room.refused(commit.state.length, error.message);
    this.#reject(waiting, refusal(waiting, error));
  }
  #reject({ failed }: Waiting, error: unknown): void {
    for (const reject of failed) reject(error);
  }

  #pump(): void {
    if (this.#sending || this.#as === undefined || this.#waiting.size === 0) return;
    this.#sending = true;
    void this.#send(this.#as).finally(() => {
      this.#sending = false;
      this.#pump();
    });
  }

  async #send(as: MemberIdentity): Promise<void> {
    const { metadata, group, topic, channel } = this.parts;
    await Promise.resolve(); // includes all commits of this turn
    if (this.#failures > 0) {
      await sleep(
        metadata.parts.clock,
        pauseMs(metadata.parts.random, this.#failures - 1, retryMsMax),
        this.#closing.signal,
      );
    }
    if (this.#as !== as) return;
    let node: number | undefined;
    try {
      node = await metadata.coordinator(group);
      if (this.#as !== as || this.#waiting.size === 0) return;
      const mine = [...this.#waiting.values()];
      this.#flying = new Map(mine.map((one) => [one.owned, one]));
      this.#waiting.clear();
      const topicPartitions = mine.map(({ owned, commit }): OffsetToCommit => ({
        topic,
        partition: owned.partition,
        offset: commit.offset,
        metadata: encodeState(commit.state, owned.parts.room.stateBytesMax),
      }));
      const answers = await metadata.parts.client.offsetCommit({ node, channel }, as, topicPartitions, commitMs);
      this.#answered(as, mine, answers);
    } catch (error) {
      this.#failed(error);
    }
    this.#flying = new Map();
    this.#wake();
  }

  #answered(as: MemberIdentity, mine: readonly Waiting[], answers: readonly PartitionResult[]): void {
    let failure: KafkaError | undefined;
    mine.forEach((waiting, i) => {
      const error = answers[i]?.error;
      if (error === null) this.#kept(waiting);
      else if (error?.step === 'rejected' || error?.fatal) this.#refused(waiting, error);
      else {
        this.#again(waiting);
        failure ??= error ?? new KafkaError('UNVERIFIED', 'the response does not contain a commit');
      }
    });
    if (answers.some(({ error }) => error === null)) {
      this.#keptMs = this.parts.metadata.parts.clock.mono();
      this.#failure = undefined;
    }
    if (failure) {
      this.#failure = failure.message;
      this.#repair(as, failure);
    } else this.#failures = 0;
  }

  /** Handles the failure of a whole request, after which it can be unknown if its commits were stored. */
  #failed(error: unknown): void {
    const as = this.#as;
    for (const waiting of this.#flying.values()) this.#again(waiting);
    const failure = error instanceof KafkaError ? error : new KafkaError('UNVERIFIED', String(error), { cause: error });
    this.#failure = failure.message;
    if (failure.fatal) {
      for (const waiting of Array.from(this.#waiting.values())) {
        this.#waiting.delete(waiting.owned);
        this.#refused(waiting, failure);
      }
    } else if (as && failure.uncertain && this.#flying.size > 0) {
      // The request can still arrive after the next one. With a new generation, the coordinator then rejects it.
      this.hold();
      this.parts.metadata.forgetCoordinator(this.parts.group);
      this.parts.unknown(`the outcome of a commit is unknown: ${failure.message}`);
    } else if (as) this.#repair(as, failure);
  }

  /** Queues a commit for another try, unless a newer one waits or the partition is no longer owned. */
  #again(waiting: Waiting): void {
    const { owned } = waiting;
    const newer = this.#waiting.get(owned);
    if (owned.ended)
      this.#reject(waiting, new PartitionLostError(this.parts.group, owned.partition, 'its commit was not stored'));
    else if (newer) {
      newer.done.unshift(...waiting.done);
      newer.failed.unshift(...waiting.failed);
    } else this.#waiting.set(owned, waiting);
  }

  #repair(as: MemberIdentity, error: KafkaError): void {
    this.#failures++;
    const { metadata, group, refused, expelled } = this.parts;
    if (error.step === 'coordinator' || error.step === 'leader') metadata.forgetCoordinator(group);
    if (this.#as !== as) return; // a round has begun since: its generation sends them
    if (error.step === 'rejoin' || error.code === 'ILLEGAL_GENERATION') {
      this.hold();
      refused(`a commit was rejected: ${error.message}`);
    } else if (error.step === 'newMember') expelled(error.message);
  }
}

function refusal({ owned, commit }: Waiting, error: KafkaError): BusError {
  const what = `committing ${owned.parts.group}/${owned.partition}`;
  if (error.fatal) return busErrorOf(error, what, 0);
  const message = `${what}: the broker rejects it: ${error.message}`;
  if (!tooLarge.has(error.code)) return new BusError('Config', message, { faults: [message] }, error, commitRemedy);
  const limitBytes = owned.parts.room.stateBytesMax;
  return new BusError('TooLarge', message, { bytes: commit.state.length, limitBytes }, error);
}
const commitRemedy =
  'Check the settings of __consumer_offsets and of the group at the brokers for the cause that the message names.';
const tooLarge: ReadonlySet<string> = new Set(['OFFSET_METADATA_TOO_LARGE', 'INVALID_COMMIT_OFFSET_SIZE']);

/** Last commits of some partitions: by partition, null without one, and those whose offset another program has set. */
export interface Committed {
  readonly commits: ReadonlyMap<number, Commit | null>;
  readonly foreign: ReadonlyMap<number, Commit>;
}
/** Returns the last commits of partitions. Rejects with a KafkaError. */
export async function committedOf(
  client: BrokerClient,
  at: Route,
  { group, topic }: { readonly group: string; readonly topic: string },
  partitions: readonly number[],
): Promise<Committed> {
  const topicPartitions = partitions.map((partition) => ({ topic, partition }));
  const commits = new Map<number, Commit | null>();
  const foreign = new Map<number, Commit>();
  for (const { partition, offset, metadata } of allGood(await client.offsetFetch(at, group, topicPartitions))) {
    const commit = offset === null ? null : { offset, state: decodeState(metadata) };
    commits.set(partition, commit);
    if (commit && isForeign(metadata)) foreign.set(partition, commit);
  }
  return { commits, foreign };
}
