/**
 * Implements the groups of a memory world: partition ownership, handover without overlap, and commits by the owner
 * only.
 */
import type { Clock } from '../base/clock';
import { BusError } from '../base/errors';
import { closable, onAbort } from '../base/lifecycle';
import {
  PartitionLostError,
  OutOfRangeError,
  type Commit,
  type CommittedProgress,
  type Member,
  type OwnedPartition,
  type GroupStart,
} from '../ports/log';
import { shareOut } from '../ports/share';
import { DeliveryOrder, unreachable } from './life';
import { whenAvailable } from './reading';
import type { Seat } from './seat';
import type { Partition } from './topics';

/** Part of its session after which a member that gets no response from the coordinator owns nothing. */
const fenceShare = 0.8;

/** One ownership of one partition by one member. */
interface Tenure {
  readonly seat: Seat;
  readonly epoch: number;
  readonly lost: AbortController;
  revoking: boolean;
}

/** State of a partition in the group. */
interface Share {
  readonly records: Partition;
  epoch: number;
  commit: Commit | null;
  tenure: Tenure | null;
  /** Member that should own it. */
  target: Seat | null;
}

export class Group {
  readonly #shares: readonly Share[];
  readonly #seats = new Set<Seat>();
  /** Number of reasons for which no member can reach the coordinator. */
  #away = 0;
  /** Functions that release the records of one partition that this group has not read. */
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

  /** Removes the group. Throws Conflict while it has members. */
  drop(): void {
    if (this.#seats.size > 0) {
      throw new BusError('Conflict', `group ${this.name} has ${this.#seats.size} members`, { key: this.name });
    }
    for (const release of this.#held) release();
  }

  start(at: GroupStart): void {
    for (const share of this.#shares) {
      const { records } = share;
      share.commit ??= { offset: typeof at === 'number' ? records.since(at) : records[at], state: new Uint8Array() };
    }
  }

  /** Returns the partitions that have a commit or an owner. Without a commit, the offset is the start of the log. */
  places(): readonly CommittedProgress[] {
    return this.#shares
      .filter(({ commit, tenure }) => commit || tenure)
      .map(({ records, commit, tenure }) => ({
        partition: records.partition,
        offset: commit?.offset ?? records.start,
        state: Uint8Array.from(commit?.state ?? []),
        owner: tenure?.seat.life.name ?? null,
      }));
  }

  /** Adds a member, or adds it again after it was expelled. Its session is watched from the first time on. */
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

  /** Resolves when the member has given back, or lost, every partition. */
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
   * Makes the coordinator unreachable for `forMs`. Commits fail, and after most of its session each member loses its
   * partitions, which no other member gets. Then each gets its partitions back, unless it has left meanwhile.
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

  /** Ends the ownerships of a member, before another one can get them. */
  #fence(seat: Seat): void {
    const ended = this.#shares.flatMap((share) => {
      const { tenure } = share;
      return tenure?.seat === seat ? [{ tenure: this.#end(share, tenure), partition: share.records.partition }] : [];
    });
    seat.life.notify(seat.order, () => {
      for (const { tenure, partition } of ended) {
        tenure.lost.abort(
          new PartitionLostError(this.name, partition, 'the coordinator did not answer for most of a session'),
        );
      }
    });
  }

  /**
   * Expels a member whose session expired: other members get its partitions. It is notified when it can be reached, and
   * then rejoins.
   */
  #expel(seat: Seat): void {
    if (!this.#seats.has(seat)) return;
    const lost: (() => void)[] = [];
    for (const share of this.#shares) {
      if (share.tenure?.seat !== seat) continue;
      const tenure = this.#end(share, share.tenure);
      const error = new PartitionLostError(this.name, share.records.partition, 'it sent no heartbeat for a session');
      lost.push(() => tenure.lost.abort(error));
    }
    this.#remove(seat);
    this.#balance();
    seat.life.notify(seat.order, () => {
      for (const report of lost) report();
      void seat.life.insist(['log', 'join', this.topic], () => this.enter(seat));
    });
  }

  /** Moves each partition to the next member, as an unfavorable rebalance would. */
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

  /** Grants free partitions, revokes the ones that should move, and removes leaving members that own nothing. */
  #move(): void {
    for (const share of this.#shares) {
      const { tenure, target } = share;
      if (tenure && tenure.seat !== target && !tenure.revoking) this.#ask(share, tenure);
      if (!tenure && target && this.#away === 0) this.#grant(share, target);
    }
    for (const seat of this.#seats) {
      if (seat.leaving && !this.#shares.some(({ tenure }) => tenure?.seat === seat)) this.#remove(seat);
    }
  }

  #grant(share: Share, seat: Seat): void {
    const tenure: Tenure = { seat, epoch: ++share.epoch, lost: new AbortController(), revoking: false };
    share.tenure = tenure;
    seat.misses.delete(share.records.partition);
    const assign = (): void => {
      if (!tenure.lost.signal.aborted) seat.take(this.#owned(share, tenure));
    };
    seat.life.notify(seat.order, () => seat.inTurn(share.records.partition, assign));
  }

  #ask(share: Share, tenure: Tenure): void {
    tenure.revoking = true;
    const { seat } = tenure;
    const { partition } = share.records;
    const revoke = async (): Promise<void> => {
      if (tenure.lost.signal.aborted) return;
      await seat.give(partition).catch(() => undefined); // unfinished messages are delivered again
      void seat.life.insist(['log', 'release', this.topic], () => this.#release(share, tenure));
    };
    seat.life.notify(seat.order, () => seat.inTurn(partition, revoke));
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
    share.records.wake(); // ends the reads of this owner
    return tenure;
  }

  #owned(share: Share, tenure: Tenure): OwnedPartition {
    const { seat, epoch, lost } = tenure;
    const { records } = share;
    const { partition } = records;
    const commits = new DeliveryOrder();
    const check = (): void => {
      if (share.tenure !== tenure) throw new PartitionLostError(this.name, partition, `epoch ${epoch} has ended`);
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
          return whenAvailable(look, [(wake) => records.watch(wake), (wake) => onAbort(signal, wake)]);
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
    const message = `the state of a commit of ${this.name} has ${bytes} bytes, the limit is ${limitBytes}`;
    throw new BusError('TooLarge', message, { bytes, limitBytes });
  }
}

const copyCommit = ({ offset, state }: Commit): Commit => ({ offset, state: Uint8Array.from(state) });
