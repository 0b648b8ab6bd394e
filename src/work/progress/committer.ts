/** Commits of one partition: seldom while it is busy, soon when it rests, and again when the outcome is unknown. */
import { sleep, type Clock, type Timer } from '../../base/clock';
import { isBusError, outlookOf, sayError } from '../../base/errors';
import type { Notices } from '../../base/notices';
import { LostError, type Commit, type Owned } from '../../ports/log';
import type { Retained } from './retained';
import { hurryMessages, unkeptMsMax, type Unkept } from './unkept';

export interface CommitsParts {
  readonly clock: Clock;
  readonly owned: Owned;
  /** How long settled messages may wait for their commit now. */
  commitMs(): number;
  /** What to commit, taken when the commit is made. */
  snapshot(): Commit;
  /** How much state a commit takes now. */
  stateBytesMax(): number;
  /** Whether nothing is under way, so that waiting for more to commit makes no sense. */
  resting(): boolean;
  lost(error: LostError): void;
  /** A commit was acknowledged. */
  kept(): void;
  readonly retained: Pick<Retained, 'sent' | 'acknowledged'>;
  readonly unkept: Unkept;
  /** Commits fail for longer than a moment, or work again. */
  tell(ok: boolean, reason: string): void;
}

/** Messages settled within this time after the last one share a commit. */
const restMs = 20;
const retryMsMin = 100;
const retryMsMax = 5_000;
/** How long a partition that is given waits for its last commit. */
const lastCommitMs = 10_000;
const unanswered = 'the log has not answered';

export class Commits {
  /** What the log knows. */
  offset: number;
  /** Whether one was kept. */
  kept = false;
  readonly #asking: (() => void)[] = [];
  #dirtyMs: number | undefined;
  #restingMs = 0;
  #timer: Timer | undefined;
  #timerMs = Infinity;
  #flying: Promise<void> | undefined;
  /** When the first commit began of those that go on in vain. */
  #tryingMs: number | undefined;
  /** Set while commits fail or are not answered. */
  #watch: Timer | undefined;
  #failures = 0;
  #trouble = unanswered;
  /** The last one failed in a way that trying again cannot repair, such as a store that was removed. */
  #isHopeless = false;
  #isGiving = false;
  #told = false;
  #stopped = false;

  constructor(
    private readonly parts: CommitsParts,
    offset: number,
  ) {
    this.offset = offset;
  }

  /** Whether so much is settled and not committed that nothing may be started. */
  get isFull(): boolean {
    return this.parts.unkept.isFull();
  }
  /** Whether the log has acknowledged all that there is to commit. */
  get isClean(): boolean {
    return this.#dirtyMs === undefined && this.#failures === 0 && !this.#flying;
  }

  /** A message was settled. */
  settled(): void {
    this.parts.unkept.add();
    this.touch();
    if (this.#isHurried) this.#plan();
  }

  get #isHurried(): boolean {
    return this.#asking.length > 0 || this.parts.unkept.count >= hurryMessages;
  }

  /** There is something to commit. */
  touch(): void {
    const resting = this.parts.resting();
    if (this.#stopped || (this.#dirtyMs !== undefined && !resting)) return; // called for each message
    const nowMs = this.parts.clock.mono();
    this.#dirtyMs ??= nowMs;
    if (resting) this.#restingMs = nowMs;
    this.#plan();
  }

  /** Commits at once, with all who ask in this turn: resolves when what there is now is kept, or never will be. */
  now(): Promise<void> {
    if (this.#stopped) return Promise.resolve();
    this.#dirtyMs ??= this.parts.clock.mono();
    if (this.#asking.length === 0) queueMicrotask(() => this.#plan());
    return new Promise((resolve) => this.#asking.push(resolve));
  }

  /** The partition is given: {@link Commits.now} does not wait for a commit that cannot succeed. */
  giving(): void {
    this.#isGiving = true;
    this.#answerHopeless();
  }
  #answerHopeless(): void {
    if (!this.#isGiving || !this.#isHopeless) return;
    for (const answer of this.#asking.splice(0)) answer();
  }

  /** Commits what there is; resolves when that is durable, lost, or takes too long. Nothing is committed afterwards. */
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
    this.#tell(true, 'this instance has nothing to commit there any more');
  }

  async #finish(tillMs: number, tooLong: AbortSignal): Promise<void> {
    this.#timer?.cancel();
    this.#timerMs = -Infinity; // no timer is set any more
    await this.#flying;
    if (this.kept) this.#dirtyMs ??= this.parts.clock.mono(); // the last one says that it is given as agreed
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
    if (this.#timerMs <= dueMs) return; // it looks again when that one fires
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
    this.#watch ??= clock.after(unkeptMsMax, () => this.#tellLong());
    try {
      const acknowledged = this.parts.unkept.mark();
      const commit = await this.#send();
      if (!this.#stopped) this.parts.retained.acknowledged(commit);
      acknowledged();
      this.offset = commit.offset;
      this.kept = true;
      for (const answer of asked) answer();
      this.#tell(true, 'commits are accepted again');
      this.#failures = 0;
      this.#isHopeless = false;
      this.#trouble = unanswered;
      this.#tryingMs = undefined;
      this.#endWatch();
      this.parts.kept();
    } catch (error) {
      this.#asking.unshift(...asked);
      this.#failed(error);
    }
  }

  /** Sends what there is to commit; again, and smaller, each time that the log refuses its size. */
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

  /** The outcome is unknown: the next commit says it all again. */
  #failed(error: unknown): void {
    if (this.#stopped) return this.stop(); // who asked waits for nothing more
    if (error instanceof LostError) {
      this.stop();
      this.parts.lost(error);
      return;
    }
    this.#dirtyMs ??= this.parts.clock.mono();
    this.#failures++;
    this.#trouble = sayError(error);
    this.#isHopeless = outlookOf(error) !== 'transient';
    this.#answerHopeless();
  }

  #endWatch(): void {
    this.#watch?.cancel();
    this.#watch = undefined;
  }

  #tellLong(): void {
    const { clock } = this.parts;
    const forMs = Math.round(clock.mono() - (this.#tryingMs ?? clock.mono()));
    if (this.#stopped) return;
    const effect = 'so no message is started until a commit is accepted';
    this.#tell(false, `nothing could be committed for ${forMs} ms, ${effect}: ${this.#trouble}`);
  }
  #tell(ok: boolean, reason: string): void {
    if (ok !== this.#told) return;
    this.#told = !ok;
    this.parts.tell(ok, reason);
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
    this.notices.tell({ type: 'state', part: `commits in ${this.queue}`, ok, reason });
  }
}
