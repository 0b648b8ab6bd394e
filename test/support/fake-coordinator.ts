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

interface GroupMember {
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
  #members = new Map<string, GroupMember>();
  #leader = '';
  #rebalance: Timer | undefined;
  readonly #pending = new Set<string>();
  #made = 0;
  /** State of the last completed SyncGroup, from which a new coordinator continues. */
  #kept: { readonly generation: number; readonly leader: string; readonly members: readonly GroupMember[] } | undefined;

  constructor(
    readonly name: string,
    private readonly clock: Clock,
  ) {}

  join(asked: JoinGroupRequest, clientId: string): Promise<JoinGroupResponse> {
    const [first] = asked.protocols;
    if (!first) throw refuse('INVALID_REQUEST');
    for (const member of this.#members.values()) {
      if (!asked.protocols.some(({ name }) => name === member.protocol)) throw refuse('INCONSISTENT_GROUP_PROTOCOL');
    }
    if (asked.memberId === '') {
      const memberId = `${clientId}-${++this.#made}`;
      this.#pending.add(memberId);
      throw new KafkaError('MEMBER_ID_REQUIRED', 'join again', { memberId });
    }
    let member = this.#members.get(asked.memberId);
    if (!member && !this.#pending.delete(asked.memberId)) throw refuse('UNKNOWN_MEMBER_ID');
    const same = member && Buffer.compare(member.metadata, first.metadata) === 0;
    if (
      member &&
      same &&
      (this.state === 'CompletingRebalance' || (this.state === 'Stable' && member.id !== this.#leader))
    )
      return Promise.resolve(this.#joined(member));
    member ??= {
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
    this.#members.set(member.id, member);
    Object.assign(member, { metadata: first.metadata, sessionMs: asked.sessionMs, rebalanceMs: asked.rebalanceMs });
    const { promise } = (member.join = deferred<JoinGroupResponse>());
    member.timer?.cancel();
    this.#prepare();
    return promise;
  }

  #prepare(): void {
    if (this.state !== 'PreparingRebalance') {
      for (const member of this.#members.values()) {
        member.sync?.reject(refuse('REBALANCE_IN_PROGRESS'));
        member.sync = undefined;
      }
      this.state = 'PreparingRebalance';
      const longestMs = Math.max(0, ...[...this.#members.values()].map(({ rebalanceMs }) => rebalanceMs));
      this.#rebalance?.cancel();
      this.#rebalance = this.clock.after(longestMs, () => {
        for (const member of this.#members.values()) if (!member.join) this.#remove(member);
        this.#complete();
      });
    }
    this.#complete();
  }

  #complete(): void {
    if (this.state !== 'PreparingRebalance') return;
    const members = [...this.#members.values()];
    if (members.some((member) => !member.join)) return;
    this.#rebalance?.cancel();
    this.generation++;
    if (members.length === 0) {
      this.state = 'Empty';
      return;
    }
    this.state = 'CompletingRebalance';
    if (!this.#members.has(this.#leader)) this.#leader = members[0]?.id ?? '';
    for (const member of members) {
      member.join?.resolve(this.#joined(member));
      member.join = undefined;
      this.#watch(member);
    }
  }

  #joined(member: GroupMember): JoinGroupResponse {
    const members = [...this.#members.values()].map(({ id, metadata }) => ({ id, metadata }));
    return {
      generation: this.generation,
      memberId: member.id,
      leaderId: this.#leader,
      protocol: member.protocol,
      members: member.id === this.#leader ? members : [],
    };
  }

  #watch(member: GroupMember): void {
    member.timer?.cancel();
    member.timer = this.clock.after(member.sessionMs, () => {
      if (!member.join) this.#gone(member);
    });
  }
  #remove(member: GroupMember): void {
    member.timer?.cancel();
    this.#members.delete(member.id);
  }
  #gone(member: GroupMember): void {
    this.#remove(member);
    member.sync?.reject(refuse('UNKNOWN_MEMBER_ID'));
    if (this.state === 'PreparingRebalance') this.#complete();
    else this.#prepare();
  }

  #member({ memberId, generation }: MemberIdentity): GroupMember {
    const member = this.#members.get(memberId);
    if (!member) throw refuse('UNKNOWN_MEMBER_ID');
    if (generation !== this.generation) throw refuse('ILLEGAL_GENERATION');
    return member;
  }

  sync(
    as: MemberIdentity,
    given: readonly { readonly memberId: string; readonly assignment: Uint8Array }[],
  ): Promise<Uint8Array> {
    const member = this.#member(as);
    this.#watch(member);
    if (this.state === 'PreparingRebalance') throw refuse('REBALANCE_IN_PROGRESS');
    if (this.state === 'Stable') return Promise.resolve(member.assignment);
    const { promise } = (member.sync = deferred<Uint8Array>());
    if (member.id === this.#leader) this.#settle(given);
    return promise;
  }
  #settle(given: readonly { readonly memberId: string; readonly assignment: Uint8Array }[]): void {
    this.state = 'Stable';
    for (const member of this.#members.values()) {
      member.assignment = given.find(({ memberId }) => memberId === member.id)?.assignment ?? new Uint8Array();
      member.sync?.resolve(member.assignment);
      member.sync = undefined;
    }
    this.#kept = { generation: this.generation, leader: this.#leader, members: [...this.#members.values()] };
  }

  heartbeat(as: MemberIdentity): void {
    this.#watch(this.#member(as));
    if (this.state === 'PreparingRebalance') throw refuse('REBALANCE_IN_PROGRESS');
  }
  leave(memberId: string): void {
    this.#pending.delete(memberId);
    const member = this.#members.get(memberId);
    if (!member) throw refuse('UNKNOWN_MEMBER_ID');
    this.#gone(member);
  }

  commit(as: MemberIdentity, places: readonly OffsetToCommit[]): void {
    if (as.generation < 0) {
      if (this.#members.size > 0) throw refuse('UNKNOWN_MEMBER_ID');
    } else {
      this.#watch(this.#member(as));
      if (this.state === 'CompletingRebalance') throw refuse('REBALANCE_IN_PROGRESS');
    }
    for (const place of places) this.offsets.set(`${place.topic}/${place.partition}`, place);
  }

  /** Moves the group to another broker, which drops waiting requests and starts a new session for each member. */
  takeOver(): void {
    this.#rebalance?.cancel();
    for (const member of this.#members.values()) member.timer?.cancel();
    this.#pending.clear();
    if (!this.#kept) {
      this.#members.clear();
      return;
    }
    this.generation = this.#kept.generation;
    this.#leader = this.#kept.leader;
    this.#members = new Map(this.#kept.members.map((member) => [member.id, member]));
    this.state = 'Stable';
    for (const member of this.#members.values()) {
      member.join = member.sync = undefined;
      this.#watch(member);
    }
  }
  close(): void {
    this.#rebalance?.cancel();
    for (const member of this.#members.values()) member.timer?.cancel();
  }

  describe(): Group {
    const members = [...this.#members.values()].map(({ id, clientId, metadata, assignment }) => {
      return { id, clientId, host: '/here', metadata, assignment };
    });
    return { group: this.name, error: null, state: this.state, protocolType: 'consumer', protocol: '', members };
  }
}
