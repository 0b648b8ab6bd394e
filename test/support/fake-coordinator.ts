/** The coordinator of one group for the classic protocol: generations, sessions, commits. */
import type { Clock, Timer } from '../../src/base/clock';
import { deferred, type Deferred } from '../../src/base/lifecycle';
import { KafkaError } from '../../src/kafka/protocol/errors';
import type {
  OffsetToCommit,
  Group,
  JoinGroupRequest,
  JoinGroupResponse,
  MemberIdentity,
} from '../../src/kafka/protocol/types';

interface Seat {
  readonly id: string;
  readonly clientId: string;
  protocol: string;
  metadata: Uint8Array;
  sessionMs: number;
  rebalanceMs: number;
  assignment: Uint8Array;
  join: Deferred<JoinGroupResponse> | undefined;
  sync: Deferred<Uint8Array> | undefined;
  timer: Timer | undefined;
}
type State = 'Empty' | 'PreparingRebalance' | 'CompletingRebalance' | 'Stable';

const refuse = (code: string): KafkaError => new KafkaError(code, 'said by the coordinator');

export class FakeGroup {
  state: State = 'Empty';
  generation = 0;
  readonly offsets = new Map<string, OffsetToCommit>();
  #seats = new Map<string, Seat>();
  #leader = '';
  #rebalance: Timer | undefined;
  readonly #pending = new Set<string>();
  #made = 0;
  /** State of the last completed SyncGroup, from which a new coordinator continues. */
  #kept: { readonly generation: number; readonly leader: string; readonly seats: readonly Seat[] } | undefined;

  constructor(
    readonly name: string,
    private readonly clock: Clock,
  ) {}

  join(asked: JoinGroupRequest, clientId: string): Promise<JoinGroupResponse> {
    const [first] = asked.protocols;
    if (!first) throw refuse('INVALID_REQUEST');
    for (const seat of this.#seats.values()) {
      if (!asked.protocols.some(({ name }) => name === seat.protocol)) throw refuse('INCONSISTENT_GROUP_PROTOCOL');
    }
    if (asked.memberId === '') {
      const memberId = `${clientId}-${++this.#made}`;
      this.#pending.add(memberId);
      throw new KafkaError('MEMBER_ID_REQUIRED', 'join again', { memberId });
    }
    let seat = this.#seats.get(asked.memberId);
    if (!seat && !this.#pending.delete(asked.memberId)) throw refuse('UNKNOWN_MEMBER_ID');
    const same = seat && Buffer.compare(seat.metadata, first.metadata) === 0;
    if (seat && same && (this.state === 'CompletingRebalance' || (this.state === 'Stable' && seat.id !== this.#leader)))
      return Promise.resolve(this.#joined(seat));
    seat ??= {
      id: asked.memberId,
      clientId,
      protocol: first.name,
      metadata: first.metadata,
      sessionMs: 0,
      rebalanceMs: 0,
      assignment: new Uint8Array(),
      join: undefined,
      sync: undefined,
      timer: undefined,
    };
    this.#seats.set(seat.id, seat);
    Object.assign(seat, { metadata: first.metadata, sessionMs: asked.sessionMs, rebalanceMs: asked.rebalanceMs });
    const { promise } = (seat.join = deferred<JoinGroupResponse>());
    seat.timer?.cancel();
    this.#prepare();
    return promise;
  }

  #prepare(): void {
    if (this.state !== 'PreparingRebalance') {
      for (const seat of this.#seats.values()) {
        seat.sync?.reject(refuse('REBALANCE_IN_PROGRESS'));
        seat.sync = undefined;
      }
      this.state = 'PreparingRebalance';
      const longestMs = Math.max(0, ...[...this.#seats.values()].map(({ rebalanceMs }) => rebalanceMs));
      this.#rebalance?.cancel();
      this.#rebalance = this.clock.after(longestMs, () => {
        for (const seat of this.#seats.values()) if (!seat.join) this.#remove(seat);
        this.#complete();
      });
    }
    this.#complete();
  }

  #complete(): void {
    if (this.state !== 'PreparingRebalance') return;
    const seats = [...this.#seats.values()];
    if (seats.some((seat) => !seat.join)) return;
    this.#rebalance?.cancel();
    this.generation++;
    if (seats.length === 0) {
      this.state = 'Empty';
      return;
    }
    this.state = 'CompletingRebalance';
    if (!this.#seats.has(this.#leader)) this.#leader = seats[0]?.id ?? '';
    for (const seat of seats) {
      seat.join?.resolve(this.#joined(seat));
      seat.join = undefined;
      this.#watch(seat);
    }
  }

  #joined(seat: Seat): JoinGroupResponse {
    const members = [...this.#seats.values()].map(({ id, metadata }) => ({ id, metadata }));
    return {
      generation: this.generation,
      memberId: seat.id,
      leaderId: this.#leader,
      protocol: seat.protocol,
      members: seat.id === this.#leader ? members : [],
    };
  }

  #watch(seat: Seat): void {
    seat.timer?.cancel();
    seat.timer = this.clock.after(seat.sessionMs, () => {
      if (!seat.join) this.#gone(seat);
    });
  }
  #remove(seat: Seat): void {
    seat.timer?.cancel();
    this.#seats.delete(seat.id);
  }
  #gone(seat: Seat): void {
    this.#remove(seat);
    seat.sync?.reject(refuse('UNKNOWN_MEMBER_ID'));
    if (this.state === 'PreparingRebalance') this.#complete();
    else this.#prepare();
  }

  #seat({ memberId, generation }: MemberIdentity): Seat {
    const seat = this.#seats.get(memberId);
    if (!seat) throw refuse('UNKNOWN_MEMBER_ID');
    if (generation !== this.generation) throw refuse('ILLEGAL_GENERATION');
    return seat;
  }

  sync(
    as: MemberIdentity,
    given: readonly { readonly memberId: string; readonly assignment: Uint8Array }[],
  ): Promise<Uint8Array> {
    const seat = this.#seat(as);
    this.#watch(seat);
    if (this.state === 'PreparingRebalance') throw refuse('REBALANCE_IN_PROGRESS');
    if (this.state === 'Stable') return Promise.resolve(seat.assignment);
    const { promise } = (seat.sync = deferred<Uint8Array>());
    if (seat.id === this.#leader) this.#settle(given);
    return promise;
  }
  #settle(given: readonly { readonly memberId: string; readonly assignment: Uint8Array }[]): void {
    this.state = 'Stable';
    for (const seat of this.#seats.values()) {
      seat.assignment = given.find(({ memberId }) => memberId === seat.id)?.assignment ?? new Uint8Array();
      seat.sync?.resolve(seat.assignment);
      seat.sync = undefined;
    }
    this.#kept = { generation: this.generation, leader: this.#leader, seats: [...this.#seats.values()] };
  }

  heartbeat(as: MemberIdentity): void {
    this.#watch(this.#seat(as));
    if (this.state === 'PreparingRebalance') throw refuse('REBALANCE_IN_PROGRESS');
  }
  leave(memberId: string): void {
    this.#pending.delete(memberId);
    const seat = this.#seats.get(memberId);
    if (!seat) throw refuse('UNKNOWN_MEMBER_ID');
    this.#gone(seat);
  }

  commit(as: MemberIdentity, places: readonly OffsetToCommit[]): void {
    if (as.generation < 0) {
      if (this.#seats.size > 0) throw refuse('UNKNOWN_MEMBER_ID');
    } else {
      this.#watch(this.#seat(as));
      if (this.state === 'CompletingRebalance') throw refuse('REBALANCE_IN_PROGRESS');
    }
    for (const place of places) this.offsets.set(`${place.topic}/${place.partition}`, place);
  }

  /** Moves the group to another broker, which drops waiting requests and starts a new session for each member. */
  takeOver(): void {
    this.#rebalance?.cancel();
    for (const seat of this.#seats.values()) seat.timer?.cancel();
    this.#pending.clear();
    if (!this.#kept) {
      this.#seats.clear();
      return;
    }
    this.generation = this.#kept.generation;
    this.#leader = this.#kept.leader;
    this.#seats = new Map(this.#kept.seats.map((seat) => [seat.id, seat]));
    this.state = 'Stable';
    for (const seat of this.#seats.values()) {
      seat.join = seat.sync = undefined;
      this.#watch(seat);
    }
  }
  close(): void {
    this.#rebalance?.cancel();
    for (const seat of this.#seats.values()) seat.timer?.cancel();
  }

  describe(): Group {
    const members = [...this.#seats.values()].map(({ id, clientId, metadata, assignment }) => {
      return { id, clientId, host: '/here', metadata, assignment };
    });
    return { group: this.name, error: null, state: this.state, protocolType: 'consumer', protocol: '', members };
  }
}
