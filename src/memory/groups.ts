/** Groups of a memory world: who owns which partition, hand-over without overlap, commits by the owner alone. */
import type { Clock } from '../base/clock';
import { BusError } from '../base/errors';
import { closable, onAbort } from '../base/lifecycle';
import {
  LostError,
  OutOfRangeError,
  type Commit,
  type GroupPlace,
  type Member,
  type Owned,
  type Owner,
} from '../ports/log';
import { shareOut, type Sharer } from '../ports/share';
import { Lane, unreachable, type Life } from './life';
import { whenThere } from './reading';
import type { Partition } from './topics';

/** Part of its session after which a member without an answer of the coordinator owns nothing any longer. */
const fenceShare = 0.8;

/** One ownership of one partition by one member. */
interface Tenure {
  readonly seat: Seat;
  readonly epoch: number;
  readonly lost: AbortController;
  giving: boolean;
}

/** A partition as the group sees it. */
interface Share {
  readonly records: Partition;
  epoch: number;
  commit: Commit | null;
  tenure: Tenure | null;
  /** Who should have it. */
  target: Seat | null;
}

/** A member, and the process it lives in. */
export class Seat implements Sharer {
  readonly id: string;
  readonly serves: ReadonlySet<string> | undefined;
  readonly misses = new Map<number, readonly string[]>();
  leaving = false;
  session: { end(): void } | undefined;
  /** Who waits for it to be gone. */
  readonly left: (() => void)[] = [];
  readonly lane = new Lane();
  readonly take: Owner['take'];
  readonly give: Owner['give'];
  readonly #turns = new Map<number, Promise<void>>();

  constructor(
    readonly life: Life,
    owner: Owner,
    readonly sessionMs: number,
    serves?: readonly string[],
  ) {
    this.serves = serves && new Set(serves);
    this.id = `${life.name}/${life.nextNumber()}`;
    this.take = life.bind((owned: Owned) => owner.take(owned));
    this.give = life.bind((partition: number) => owner.give(partition));
  }

  /** Runs `step` once nothing of the partition goes on here: a `give` outlives an expiry, and no `take` overlaps it. */
  inTurn(partition: number, step: () => Promise<void> | void): void {
    const before = this.#turns.get(partition);
    const mine = before ? before.then(step) : step();
    if (!mine) return;
    const done: Promise<void> = mine.finally(() => {
      if (this.#turns.get(partition) === done) this.#turns.delete(partition);
    });
    this.#turns.set(partition, done);
  }
}

export class Group {
  readonly #shares: readonly Share[];
  readonly #seats = new Set<Seat>();
  /** Reasons for which no member reaches the coordinator. */
  #away = 0;
  /** Each lets go of the records of one partition that this group has not read. */
  readonly #held: (() => void)[] = [];

  constructor(
    readonly name: string,
    readonly topic: string,
    partitions: readonly Partition[],
    private readonly how: { readonly stateBytesMax: number; readonly holdsUnread: boolean },
  ) {
    this.#shares = partitions.map((records) => ({ records, epoch: 0, commit: null, tenure: null, target: null }));
    if (!how.holdsUnread) return;
    for (const share of this.#shares) this.#held.push(share.records.hold(() => share.commit?.offset ?? 0));
  }

  /** Throws Conflict while it has members. */
  drop(): void {
    if (this.#seats.size > 0) {
      throw new BusError('Conflict', `group ${this.name} has ${this.#seats.size} members`, { key: this.name });
    }
    for (const release of this.#held) release();
  }

  start(at: 'start' | 'end'): void {
    for (const share of this.#shares) share.commit ??= { offset: share.records[at], state: new Uint8Array() };
  }

  /** Partitions that have a commit or an owner; without a commit a group stands at the start of the log. */
  places(): readonly GroupPlace[] {
    return this.#shares
      .filter(({ commit, tenure }) => commit || tenure)
      .map(({ records, commit, tenure }) => ({
        partition: records.partition,
        offset: commit?.offset ?? records.start,
        state: Uint8Array.from(commit?.state ?? []),
        owner: tenure?.seat.life.name ?? null,
      }));
  }

  /** A member comes in, again after it was expelled. Its session is watched from the first time on. */
  enter(seat: Seat): void {
    if (seat.leaving) return;
    seat.session ??= seat.life.hold(seat.sessionMs, () => this.#expel(seat));
    this.#seats.add(seat);
    this.#balance();
  }

  member(seat: Seat): Member {
    const leave = async (): Promise<void> => {
      await seat.life.insist(['log', 'leave', this.topic], () => this.#leave(seat));
      seat.session?.end();
    };
    return { id: seat.id, ...closable(leave) };
  }

  /** Resolves when the member has given, or lost, everything. */
  #leave(seat: Seat): Promise<void> {
    seat.leaving = true;
    return new Promise((resolve) => {
      seat.left.push(resolve);
      if (this.#seats.has(seat)) this.#balance();
      else this.#remove(seat);
    });
  }

  #remove(seat: Seat): void {
    this.#seats.delete(seat);
    for (const resolve of seat.left.splice(0)) resolve();
  }

  /**
   * No member reaches the coordinator for `forMs`: commits fail, and after most of its session each member loses what
   * it owns, without another one getting it. Then each gets back what it had, unless it has left meanwhile.
   */
  cutOff(clock: Clock, forMs: number): void {
    this.#away++;
    const timers = [...this.#seats].map((seat) => clock.after(seat.sessionMs * fenceShare, () => this.#fence(seat)));
    clock.after(forMs, () => {
      for (const timer of timers) timer.cancel();
      this.#away--;
      this.#move();
    });
  }

  /** A member ends its ownerships itself, before another one can get them. */
  #fence(seat: Seat): void {
    const ended = this.#shares.flatMap((share) => {
      const { tenure } = share;
      return tenure?.seat === seat ? [{ tenure: this.#end(share, tenure), partition: share.records.partition }] : [];
    });
    seat.life.notify(seat.lane, () => {
      for (const { tenure, partition } of ended) {
        tenure.lost.abort(new LostError(this.name, partition, 'the coordinator did not answer for most of a session'));
      }
    });
  }

  /** No sign of life: others get what it owned. It learns of that when it can, and then joins again. */
  #expel(seat: Seat): void {
    if (!this.#seats.has(seat)) return;
    const lost: (() => void)[] = [];
    for (const share of this.#shares) {
      if (share.tenure?.seat !== seat) continue;
      const tenure = this.#end(share, share.tenure);
      const error = new LostError(this.name, share.records.partition, 'no sign of life for a session');
      lost.push(() => tenure.lost.abort(error));
    }
    this.#remove(seat);
    this.#balance();
    seat.life.notify(seat.lane, () => {
      for (const tell of lost) tell();
      void seat.life.insist(['log', 'join', this.topic], () => this.enter(seat));
    });
  }

  /** Moves each partition to the next member, as an unlucky rebalance would. */
  shake(): void {
    const staying = this.#staying();
    for (const share of this.#shares) {
      const now = share.target ? staying.indexOf(share.target) : -1;
      share.target = staying[(now + 1) % staying.length] ?? null;
    }
    this.#move();
  }

  #staying(): readonly Seat[] {
    return [...this.#seats].filter((seat) => !seat.leaving);
  }

  #balance(): void {
    const staying = this.#staying();
    const owners = this.#shares.map(({ target }) => target?.id);
    const targets = shareOut(staying, owners);
    this.#shares.forEach((one, index) => (one.target = staying.find(({ id }) => id === targets[index]) ?? null));
    this.#move();
  }

  /** Grants what is free, asks for what should be elsewhere, and lets members go that have nothing left. */
  #move(): void {
    for (const share of this.#shares) {
      const { tenure, target } = share;
      if (tenure && tenure.seat !== target && !tenure.giving) this.#ask(share, tenure);
      if (!tenure && target && this.#away === 0) this.#grant(share, target);
    }
    for (const seat of this.#seats) {
      if (seat.leaving && !this.#shares.some(({ tenure }) => tenure?.seat === seat)) this.#remove(seat);
    }
  }

  #grant(share: Share, seat: Seat): void {
    const tenure: Tenure = { seat, epoch: ++share.epoch, lost: new AbortController(), giving: false };
    share.tenure = tenure;
    seat.misses.delete(share.records.partition);
    const take = (): void => {
      if (!tenure.lost.signal.aborted) seat.take(this.#owned(share, tenure));
    };
    seat.life.notify(seat.lane, () => seat.inTurn(share.records.partition, take));
  }

  #ask(share: Share, tenure: Tenure): void {
    tenure.giving = true;
    const { seat } = tenure;
    const { partition } = share.records;
    const give = async (): Promise<void> => {
      if (tenure.lost.signal.aborted) return;
      await seat.give(partition).catch(() => undefined); // what it could not finish comes again to the next owner
      void seat.life.insist(['log', 'release', this.topic], () => this.#release(share, tenure));
    };
    seat.life.notify(seat.lane, () => seat.inTurn(partition, give));
  }

  #miss(share: Share, tenure: Tenure, entries: readonly string[]): void {
    if (share.tenure !== tenure) return;
    tenure.seat.misses.set(share.records.partition, entries);
    this.#balance();
  }

  #release(share: Share, tenure: Tenure): void {
    if (share.tenure !== tenure) return;
    this.#end(share, tenure);
    this.#move();
  }

  #end(share: Share, tenure: Tenure): Tenure {
    share.tenure = null;
    share.records.wake(); // reads of this owner end now
    return tenure;
  }

  #owned(share: Share, tenure: Tenure): Owned {
    const { seat, epoch, lost } = tenure;
    const { records } = share;
    const { partition } = records;
    const commits = new Lane();
    const check = (): void => {
      if (share.tenure !== tenure) throw new LostError(this.name, partition, `epoch ${epoch} has ended`);
    };
    return {
      partition,
      epoch,
      committed: share.commit && copyCommit(share.commit),
      lost: lost.signal,
      check,
      read: (from, max, signal) =>
        seat.life.call(['log', 'read', this.topic], () => {
          const look = () => {
            if (signal.aborted) return [];
            check();
            const { start, end } = records;
            if (from < start) throw new OutOfRangeError(this.topic, partition, from, start);
            if (from > end) throw new OutOfRangeError(this.topic, partition, from, start, end);
            const found = records.from(from, max);
            return found.length > 0 ? found : undefined;
          };
          return whenThere(look, [(wake) => records.watch(wake), (wake) => onAbort(signal, wake)]);
        }),
      commit: (commit) => {
        const copy = copyCommit(commit);
        const write = (): void => {
          check();
          if (this.#away > 0) throw unreachable('not-sent', `committing ${this.name}: the coordinator does not answer`);
          this.#checkState(copy.state.length);
          share.commit = copy;
        };
        return seat.life.call(['log', 'commit', this.topic], write, commits);
      },
      cannotServe: (entries) => {
        void seat.life.insist(['log', 'cannotServe', this.topic], () => this.#miss(share, tenure, entries));
      },
    };
  }

  #checkState(bytes: number): void {
    const limitBytes = this.how.stateBytesMax;
    if (bytes <= limitBytes) return;
    const message = `the state of a commit of ${this.name} has ${bytes} bytes, more than ${limitBytes}`;
    throw new BusError('TooLarge', message, { bytes, limitBytes });
  }
}

const copyCommit = ({ offset, state }: Commit): Commit => ({ offset, state: Uint8Array.from(state) });
