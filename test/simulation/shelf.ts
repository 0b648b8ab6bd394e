/** What is known of one partition of a queue: its messages, who had it, and what is committed. */
import type { Commit } from '../../src/ports/log';
import { decodeState } from '../../src/work/progress/commit-state';
import type { Lane } from './lane';
import type { Message } from './ledger';

/** One life of an instance, as far as a checker has to know it. */
export interface Who {
  readonly name: string;
  readonly dead: boolean;
  /** Whether others may have given it up at some time since, through a fault that was put in: then it may not know yet. */
  expiredSince(sinceMs: number): boolean;
  /** Its store refuses every write: what it settled and did not commit is done again by the next owner. */
  readonly cannotCommit: boolean;
}

/** How an entry is handled in a queue. */
export interface Rule {
  readonly retry: 'in-order' | 'aside';
  readonly attempts: number;
}

/** What a commit says is settled. */
export interface Cover {
  readonly offset: number;
  readonly ranges: readonly { readonly from: number; readonly to: number }[];
}
export function covers({ offset, ranges }: Cover, at: number): boolean {
  return at < offset || ranges.some(({ from, to }) => at >= from && at < to);
}
export function coverOf({ offset, state }: Commit): Cover {
  return { offset, ranges: decodeState(offset, state).ranges };
}

/** A message in this queue. */
export interface Track {
  readonly message: Message;
  readonly rule: Rule;
  readonly shelf: Shelf;
  readonly offset: number;
  readonly lane: Lane;
  starts: number;
  /** Attempts that a commit has said, the one under way included. */
  told: number;
  settled: boolean;
}

export class Shelf {
  readonly tracks: Track[] = [];
  readonly lanes = new Map<string, Lane>();
  readonly tenures: Tenure[] = [];
  /** Everything below was read by somebody, or is not for this group. */
  readTo = 0;
  committed: (Cover & { readonly epoch: number }) | undefined;
  constructor(readonly number: number) {}

  /** A commit is sent: whose attempts it says that were not known before. */
  tells(tenure: Tenure, { offset, state }: Commit): void {
    for (const { offset: at, attempts, running } of decodeState(offset, state).tried) {
      const track = this.tracks.find((one) => one.offset === at);
      if (!track || attempts + Number(running) <= track.told) continue;
      track.told = attempts + Number(running);
      const runs = track.lane.running.some((handling) => handling.track === track && handling.tenure === tenure);
      if (running && !runs) tenure.announced.add(track.message.n);
    }
  }
  /** Starts that count: those that were, and those that an owner had told the log of when it died before them. */
  startsOf({ message, starts }: Track): number {
    return starts + this.tenures.filter(({ announced }) => announced.has(message.n)).length;
  }

  /** A commit was accepted, or found when the partition was taken. */
  commits(cover: Cover, epoch: number): void {
    if (epoch >= (this.committed?.epoch ?? -1)) this.committed = { ...cover, epoch };
  }
}

/** One time that one instance owns one partition. */
export class Tenure {
  /** Messages started in it, and settled in it. */
  readonly started = new Set<number>();
  /** Messages that the log was told to be started in it, which they were not yet. */
  readonly announced = new Set<number>();
  readonly settled = new Set<number>();
  /** Messages whose handler ended well after it: they count when the same member owns the partition again. */
  readonly settledAfter = new Set<number>();
  readonly #unkept = new Map<number, number>();
  /** Of these, what ended when it was given without waiting any longer: whether that still counts is open. */
  readonly late = new Set<number>();
  givingMs = Infinity;
  ended: 'given' | 'lost' | undefined;
  /** How long the giving took. */
  gaveInMs = 0;

  constructor(
    readonly who: Who,
    readonly shelf: Shelf,
    readonly epoch: number,
    readonly takenMs: number,
    /** What was settled before. */
    readonly begin: Cover,
    /** The instance in its group: what it settled it must not handle again, whatever was committed. */
    readonly member: object,
  ) {}

  settles({ message, offset }: Track, atMs: number): void {
    if (!this.settled.has(message.n)) this.#unkept.set(offset, atMs);
    this.settled.add(message.n);
  }
  /** A commit was acknowledged. */
  keeps(cover: Cover): void {
    for (const offset of this.#unkept.keys()) if (covers(cover, offset)) this.#unkept.delete(offset);
  }
  /** When the first message was settled of those that no commit covers. */
  get oldestUnkeptMs(): number {
    return Math.min(Infinity, ...this.#unkept.values());
  }

  hasSettled(n: number): boolean {
    return this.settled.has(n) || this.settledAfter.has(n);
  }

  /** Whether others may have the partition although this owner has not given it: it died, or could give no sign of life. */
  get excused(): boolean {
    return this.who.dead || this.who.expiredSince(this.takenMs);
  }
}

/** One call of a handler. */
export interface Handling {
  readonly track: Track;
  readonly tenure: Tenure;
  /** Its partition went without waiting for it any longer: it was lost, or longestMs were over. */
  overstays: boolean;
}
