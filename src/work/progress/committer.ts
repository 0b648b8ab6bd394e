/** Commits one partition: rarely while busy, promptly when idle, and repeatedly while the outcome is unknown. */
import { sleep, type Clock, type Timer } from '../../base/clock';
import { isBusError, outlookOf, errorMessage } from '../../base/errors';
import type { Notices } from '../../base/notices';
import { PartitionLostError, type Commit, type OwnedPartition } from '../../ports/log';
import type { Retained } from './retained';
import { hurryMessages, unkeptMsMax, type Unkept } from './unkept';

export interface CommitterParts {
  readonly clock: Clock;
  readonly owned: OwnedPartition;
  /** Returns the maximum time that settled messages can wait for their commit now. */
  commitMs(): number;
  /** Returns the progress to commit. Called when the commit is made. */
  snapshot(): Commit;
  /** Returns the maximum bytes of a commit's state now. */
  stateBytesMax(): number;
  /** Returns true when no message is unsettled, so that waiting would not collect more for the commit. */
  resting(): boolean;
  lost(error: PartitionLostError): void;
  /** Called when a commit was acknowledged. */
  kept(): void;
  readonly retained: Pick<Retained, 'sent' | 'acknowledged'>;
  readonly unkept: Unkept;
  /** Reports that commits have failed for a while, or succeed again. */
  report(ok: boolean, reason: string): void;
}

/** Maximum time between a settling and its commit while the partition is busy. */
export const commitMsDefault = 500;
/** Delay of a commit after the last settling of an idle partition, so that messages settled together share one. */
const restMs = 20;
const retryMsMin = 100;
const retryMsMax = 5_000;
/** Maximum time that a revoked partition waits for its last commit, so that the rebalance is not held up. */
const lastCommitMs = 10_000;
const unanswered = 'the log has not responded';

export class Committer {
  /** Offset of the last acknowledged commit. */
  offset: number;
  /** True when a commit was acknowledged. */
  kept = false;
  readonly #asking: (() => void)[] = [];
  #dirtyMs: number | undefined;
  #restingMs = 0;
  #timer: Timer | undefined;
  #timerMs = Infinity;
  #flying: Promise<void> | undefined;
  /** Start of the first commit of an unsuccessful series. */
  #tryingMs: number | undefined;
  /** Set from the start of a commit until one is acknowledged. Reports a series that takes too long. */
  #watch: Timer | undefined;
  #failures = 0;
  #failure: string | undefined;
  /** True when the last failure cannot be repaired by a retry, such as a store that was removed. */
  #isHopeless = false;
  #isGiving = false;
  #reported = false;
  #stopped = false;

  constructor(
    private readonly parts: CommitterParts,
    offset: number,
  ) {
    this.offset = offset;
  }

  /** True when too much is settled without a commit, so that no message must start. */
  get isFull(): boolean {
    return this.parts.unkept.isFull();
  }
  /** True when the log has acknowledged everything that was to be committed. */
  get isClean(): boolean {
    return this.#dirtyMs === undefined && this.#failures === 0 && !this.#flying;
  }

  /** Records that a message was settled. */
  settled(): void {
    this.parts.unkept.add();
    this.touch();
    if (this.#isHurried) this.#plan();
  }

  get #isHurried(): boolean {
    return this.#asking.length > 0 || this.parts.unkept.count >= hurryMessages;
  }

  /** Records that there is something to commit. */
  touch(): void {
    const resting = this.parts.resting();
    // returns early, since it is called for each message
    if (this.#stopped || (this.#dirtyMs !== undefined && !resting)) return;
    const nowMs = this.parts.clock.mono();
    this.#dirtyMs ??= nowMs;
    if (resting) this.#restingMs = nowMs;
    this.#plan();
  }

  /**
   * Commits at once, together with all callers of this turn. Resolves when the current progress is committed, or never
   * can be.
   */
  now(): Promise<void> {
    if (this.#stopped) return Promise.resolve();
    this.#dirtyMs ??= this.parts.clock.mono();
    if (this.#asking.length === 0) queueMicrotask(() => this.#plan());
    return new Promise((resolve) => this.#asking.push(resolve));
  }

  /**
   * Records that the partition is being revoked. {@link Committer.now} then does not wait for a commit that cannot
   * succeed.
   */
  giving(): void {
    this.#isGiving = true;
    this.#answerHopeless();
  }
  #answerHopeless(): void {
    if (!this.#isGiving || !this.#isHopeless) return;
    for (const answer of this.#asking.splice(0)) answer();
  }

  /**
   * Makes the last commit. Resolves when it is acknowledged, the partition is lost, or `lastCommitMs` is over. Nothing
   * is committed afterwards.
   */
  async finish(): Promise<void> {
    const tillMs = this.parts.clock.mono() + lastCommitMs;
    const tooLong = new AbortController();
    const limit = this.parts.clock.after(lastCommitMs, () => tooLong.abort());
    const end = new Promise<void>((resolve) => tooLong.signal.addEventListener('abort', () => resolve()));
    await Promise.race([this.#finish(tillMs, tooLong.signal), end]);
    limit.cancel();
    this.stop();
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#endWatch();
    for (const answer of this.#asking.splice(0)) answer();
    this.#report(true, 'this instance has nothing left to commit');
  }

  async #finish(tillMs: number, tooLong: AbortSignal): Promise<void> {
    this.#timer?.cancel();
    this.#timerMs = -Infinity; // no timer is set from now on
    await this.#flying;
    if (this.kept) this.#dirtyMs ??= this.parts.clock.mono(); // the last commit marks the partition as released cleanly
    while (!this.#stopped && this.#dirtyMs !== undefined && this.parts.clock.mono() < tillMs) {
      await this.#commit();
      if (this.#failures > 0 && this.#isHopeless) return;
      if (this.#failures > 0) await sleep(this.parts.clock, this.#retryMs(), tooLong);
    }
  }

  #dueMs(): number {
    if (this.#failures > 0) return this.parts.clock.mono() + this.#retryMs();
    const latestMs = (this.#dirtyMs ?? Infinity) + this.parts.commitMs();
    return this.parts.resting() ? Math.min(latestMs, this.#restingMs + restMs) : latestMs;
  }

  #plan(): void {
    if (this.#flying || this.#stopped || this.#dirtyMs === undefined) return;
    if (this.#isHurried && this.#failures === 0) return void this.#commit();
    const dueMs = this.#dueMs();
    if (this.#timerMs <= dueMs) return; // the earlier timer checks again
    this.#timer?.cancel();
    this.#timerMs = dueMs;
    this.#timer = this.parts.clock.after(Math.max(0, dueMs - this.parts.clock.mono()), () => this.#fire());
  }

  #fire(): void {
    this.#timerMs = Infinity;
    if (this.#failures === 0 && this.#dueMs() > this.parts.clock.mono()) this.#plan();
    else void this.#commit();
  }

  #commit(): Promise<void> {
    return (this.#flying ??= this.#write().finally(() => {
      this.#flying = undefined;
      this.#plan();
    }));
  }

  async #write(): Promise<void> {
    const { clock } = this.parts;
    this.#dirtyMs = undefined;
    const asked = this.#asking.splice(0);
    this.#tryingMs ??= clock.mono();
    this.#watch ??= clock.after(unkeptMsMax, () => this.#reportLong());
    try {
      const acknowledged = this.parts.unkept.mark();
      const commit = await this.#send();
      if (!this.#stopped) this.parts.retained.acknowledged(commit);
      acknowledged();
      this.offset = commit.offset;
      this.kept = true;
      for (const answer of asked) answer();
      this.#report(true, 'commits are accepted again');
      this.#failures = 0;
      this.#isHopeless = false;
      this.#failure = undefined;
      this.#tryingMs = undefined;
      this.#endWatch();
      this.parts.kept();
    } catch (error) {
      this.#asking.unshift(...asked);
      this.#failed(error);
    }
  }

  /** Sends the commit, and sends a smaller one each time that the log rejects its size. */
  async #send(): Promise<Commit> {
    for (;;) {
      const commit = this.parts.snapshot();
      this.parts.retained.sent(commit);
      try {
        await this.parts.owned.commit(commit);
        return commit;
      } catch (error) {
        const isSmaller = this.parts.stateBytesMax() < commit.state.length;
        if (!isBusError(error, 'TooLarge') || !isSmaller) throw error;
      }
    }
  }

  /** Handles a failed commit. Its outcome is unknown, so the next commit contains everything again. */
  #failed(error: unknown): void {
    if (this.#stopped) return this.stop(); // releases the callers of `now`
    if (error instanceof PartitionLostError) {
      this.stop();
      this.parts.lost(error);
      return;
    }
    this.#dirtyMs ??= this.parts.clock.mono();
    this.#failures++;
    this.#failure = errorMessage(error);
    this.#isHopeless = outlookOf(error) !== 'transient';
    this.#answerHopeless();
  }

  #endWatch(): void {
    this.#watch?.cancel();
    this.#watch = undefined;
  }

  #reportLong(): void {
    const { clock } = this.parts;
    const forMs = Math.round(clock.mono() - (this.#tryingMs ?? clock.mono()));
    if (this.#stopped) return;
    const failure = this.parts.owned.commitFailure ?? this.#failure ?? unanswered;
    const effect = 'so no message is started until a commit is accepted';
    this.#report(false, `no commit has succeeded for ${forMs} ms, ${effect}: ${failure}`);
  }
  #report(ok: boolean, reason: string): void {
    if (ok !== this.#reported) return;
    this.#reported = !ok;
    this.parts.report(ok, reason);
  }

  #retryMs(): number {
    return Math.min(retryMsMin * 2 ** Math.min(this.#failures - 1, 10), retryMsMax);
  }
}

/** Reports the commits of a queue: one notice for all its partitions, which fail and recover together. */
export class CommitHealth {
  readonly #failing = new Set<number>();

  constructor(
    private readonly notices: Notices,
    private readonly queue: string,
  ) {}

  set(partition: number, ok: boolean, reason: string): void {
    const before = this.#failing.size;
    if (ok) this.#failing.delete(partition);
    else this.#failing.add(partition);
    if ((before === 0) === (this.#failing.size === 0)) return;
    this.notices.emit({ type: 'state', part: `commits in ${this.queue}`, ok, reason });
  }
}
