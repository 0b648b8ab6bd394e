/** The state of one partition of a queue: its messages, its owners, and its commits. */
import type { Commit } from '../../src/ports/log';
import { decodeState } from '../../src/work/progress/commit-state';
import type { Lane } from './lane';
import type { Message } from './ledger';

/** The properties of an incarnation of an instance that a checker needs. */
export interface Who {
  readonly name: string;
  readonly dead: boolean;
  /** True if an injected fault may have expired it since then, so that it may not know yet. */
  expiredSince(sinceMs: number): boolean;
  /** True if its store rejects every write, so that the next owner repeats its uncommitted messages. */
  readonly cannotCommit: boolean;
}

/** The retry rules of an entry in a queue. */
export interface Rule {
  readonly retry: 'in-order' | 'aside';
  readonly attempts: number;
}

/** The offsets that a commit marks as settled. */
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
  /** Attempts stated by commits, the current one included. */
  told: number;
  settled: boolean;
}

export class Shelf {
  readonly tracks: Track[] = [];
  readonly lanes = new Map<string, Lane>();
  readonly tenures: Tenure[] = [];
  /** Every offset below was read by an owner, or does not belong to this group. */
  readTo = 0;
  committed: (Cover & { readonly epoch: number }) | undefined;
  constructor(readonly number: number) {}

  /** Records the attempts that a commit states for the first time. */
  tells(tenure: Tenure, { offset, state }: Commit): void {
    for (const { offset: at, attempts, running } of decodeState(offset, state).tried) {
      const track = this.tracks.find((one) => one.offset === at);
      if (!track || attempts + Number(running) <= track.told) continue;
      track.told = attempts + Number(running);
      const runs = track.lane.running.some((handling) => handling.track === track && handling.tenure === tenure);
      if (running && !runs) tenure.announced.add(track.message.n);
    }
  }
  /** Counts starts: the actual ones, and those committed by owners that died before they started the message. */
  startsOf({ message, starts }: Track): number {
    return starts + this.tenures.filter(({ announced }) => announced.has(message.n)).length;
  }

  /** A commit was accepted, or found when the partition was assigned. */
  commits(cover: Cover, epoch: number): void {
    if (epoch >= (this.committed?.epoch ?? -1)) this.committed = { ...cover, epoch };
  }
}

/** One period in which one instance owns one partition. */
export class Tenure {
  /** Messages started in it; `settled` has the settled ones. */
  readonly started = new Set<number>();
  /** Messages that a commit states as started before they were. */
  readonly announced = new Set<number>();
  readonly settled = new Set<number>();
  /** Messages whose handler succeeded after it. They count when the same member owns the partition again. */
  readonly settledAfter = new Set<number>();
  readonly #unkept = new Map<number, number>();
  /** Messages that ended after the partition was given without waiting for them, so they can count or not. */
  readonly late = new Set<number>();
  givingMs = Infinity;
  ended: 'given' | 'lost' | undefined;
  /** The time that giving the partition took. */
  gaveInMs = 0;

  constructor(
    readonly who: Who,
    readonly shelf: Shelf,
    readonly epoch: number,
    readonly takenMs: number,
    /** The offsets settled before. */
    readonly begin: Cover,
    /** The member of the group: it must not repeat messages that it settled, whatever was committed. */
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
  /** The settling time of the oldest message that no commit covers. */
  get oldestUnkeptMs(): number {
    return Math.min(Infinity, ...this.#unkept.values());
  }

  hasSettled(n: number): boolean {
    return this.settled.has(n) || this.settledAfter.has(n);
  }

  /** True if another owner is allowed although this one has not given the partition: it died or its session expired. */
  get excused(): boolean {
    return this.who.dead || this.who.expiredSince(this.takenMs);
  }
}

/** One call of a handler. */
export interface Handling {
  readonly track: Track;
  readonly tenure: Tenure;
  /** The partition moved without waiting for it: it was lost, or handoverMs had passed. */
  overstays: boolean;
}
