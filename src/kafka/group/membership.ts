/** Runs one member of a group through rebalances, long because rounds, hand-overs and fencing share one state. */
import { every, sleep } from '../../base/clock';
import { BusError, errorMessage } from '../../base/errors';
import { closable, deferred, type Deferred } from '../../base/lifecycle';
import type { Member, Owner } from '../../ports/log';
import { assignmentsOf } from './assignor';
import type { CommitRoom } from './commit-room';
import { OffsetCommitter, committedOf } from './committer';
import { busErrorOf, KafkaError } from '../protocol/errors';
import type { Fetcher } from '../consume/fetcher';
import { type Assignment, decodeAssignment, encodeSubscription, entryHash, protocolName } from './subscription';
import { AssignedPartitions } from './partitions';
import { revokeEverything, leaveGroup } from './leave';
import { KafkaOwnedPartition } from './owned-partition';
import { Heartbeat } from './heartbeat';
import { describeForeignMembers, ForeignMembersError, foreignMembersRemedy } from './foreign-members';
import { orAborted, pauseMs, type ClusterMetadata } from '../cluster/metadata';
import type { Route } from '../client/broker-client';
import type { MemberIdentity } from '../protocol/types';

export interface MembershipParts {
  readonly metadata: ClusterMetadata;
  /** This instance's name. */
  readonly self: string;
  readonly fetcher: Fetcher;
  readonly room: CommitRoom;
  /** Called when the member has closed. It is not called when closing failed, since the log then closes it again. */
  readonly closed: () => void;
}
export interface GroupOfTopic {
  readonly group: string;
  readonly topic: string;
  readonly partitions: number;
}

/** Minimum time that members have to rejoin. Members rejoin at once, whatever they are doing. */
const rebalanceMsMin = 30_000;
/** Delay before a rejoin, so that partitions that are released at the same time are handed over together. */
const releaseMs = 20;
/** Interval between tries after an error that only an operator can resolve. */
const hopelessMs = 10_000;
/** Maximum time of a start, in addition to one session in which a dead member can delay it. */
const startMs = 30_000;
/** Time without membership after which the failure is reported. */
const reportAfterMs = 5_000;
/** Maximum pause before a failed round is repeated. */
const retryMsMax = 1_000;
/** Interval at which a waiting new member looks up the coordinator, because it sends no heartbeats. */
const probeMs = 1_000;
/**
 * Share of the session after which a join is abandoned if the group has a new generation, but no response has arrived.
 */
const patienceShare = 0.3;

export class Membership implements Member {
  readonly #assigned: AssignedPartitions;
  readonly #commits: OffsetCommitter;
  readonly #heartbeat: Heartbeat;
  readonly #rebalanceMs: number;
  readonly #serves: readonly string[] | undefined;
  /** Entries that this member does not serve, but whose messages waited there, by partition. */
  readonly #misses = new Map<number, readonly string[]>();
  #declaredHad: readonly number[] = [];
  #memberId = '';
  /** Generations of the last completed sync and of the last answered join, or -1. */
  #generation = -1;
  #joined = -1;
  /** Reason for the next join. Undefined while the last declaration is valid. */
  #reason: string | undefined = 'it is a new member';
  /** True if a partition was released after the last declaration. */
  #released = false;
  #wake: Deferred<void> | undefined;
  /** Aborts the wait for a coordinator that does not respond. */
  #abandon = new AbortController();
  /**
   * Number in the name of the connection. An abandoned join can block its connection, so the next join uses another
   * one.
   */
  #connection = 0;
  #round = 0;
  #roundMs = 0;
  /** True from the first request of a round until its assignment has arrived. */
  #joining = false;
  /** Broker at which the current round waits. */
  #roundNode: number | undefined;
  readonly #unwatch: () => void;
  #failures = 0;
  /** Time of the first failure since the last completed round. */
  #failingMs: number | undefined;
  #troubled = false;
  #leaving = false;
  #over = false;
  readonly #closing = closable(() => this.#close().then(this.parts.closed));
  readonly #started = deferred<void>();
  #running: Promise<void> = Promise.resolve();
  readonly #stop = new AbortController();

  constructor(
    private readonly parts: MembershipParts,
    private readonly of: GroupOfTopic,
    owner: Owner,
    private readonly sessionMs: number,
    serves?: readonly string[],
  ) {
    this.#serves = serves?.map(entryHash);
    const { group, topic } = of;
    const { metadata, fetcher, room } = parts;
    this.#rebalanceMs = Math.max(rebalanceMsMin, 3 * sessionMs);
    this.#heartbeat = new Heartbeat({
      metadata,
      sessionMs,
      rebalanceMs: this.#rebalanceMs,
      identity: () => this.#who(),
      missed: (error, as) => this.#missed(error, as),
      overdue: (silentMs) => this.#late(silentMs),
    });
    this.#commits = new OffsetCommitter({
      metadata,
      group,
      topic,
      channel: 'group:commits',
      refused: (reason) => {
        if (!this.#joining) this.#joinAgain(reason); // else the current round resolves it
      },
      unknown: (reason) => this.#joinAgain(reason),
      expelled: (reason) => this.#expelled(reason),
    });
    this.#unwatch = metadata.watch(() => this.#lookAtCoordinator());
    const [fence, commits] = [(): void => this.#heartbeat.check(), this.#commits];
    this.#assigned = new AssignedPartitions({
      group,
      owner,
      notices: metadata.parts.notices,
      open: (given) =>
        new KafkaOwnedPartition({
          ...given,
          group,
          topic,
          fetcher,
          room,
          fence,
          commit: (...one) => commits.add(...one),
          commitFailure: () => commits.failure,
          cannotServe: ({ partition }, entries) => this.#miss(partition, entries),
        }),
      settled: (owned) => commits.settled(owned),
      lost: (owned, reason) => commits.drop(owned, reason),
      released: () => this.#hasReleased(),
    });
  }

  get id(): string {
    return this.#memberId;
  }

  /** Resolves when this instance is a member and owns the partitions that were free for it. */
  async start(): Promise<void> {
    const limitMs = startMs + this.sessionMs;
    const limit = this.parts.metadata.parts.clock.after(limitMs, () => {
      const cause = this.#reason ?? 'the group did not respond';
      const message = `joining group ${this.of.group} took longer than ${limitMs} ms: ${cause}`;
      this.#started.reject(new BusError('Unreachable', message, { outcome: 'not-sent', waitedMs: limitMs, cause }));
    });
    this.#running = this.#run();
    try {
      await this.#started.promise;
    } catch (error) {
      await this.close();
      throw error;
    } finally {
      limit.cancel();
    }
  }

  // Rounds: join, sync, release and take partitions

  async #run(): Promise<void> {
    this.#heartbeat.schedule();
    while (!this.#over) {
      try {
        if (this.#reason === undefined) await this.#untilReason();
        if (this.#over) return;
        await this.#joinAndSync();
        this.#failures = 0;
        this.#failingMs = undefined;
        this.#report(true, 'it is a member again');
        this.#started.resolve();
      } catch (error) {
        await this.#recover(error);
      }
    }
  }

  async #untilReason(): Promise<void> {
    this.#wake = deferred<void>();
    await this.#wake.promise;
  }
  #joinAgain(reason: string): void {
    this.#reason ??= reason;
    this.#wake?.resolve();
  }

  #at(node: number): Route {
    return { node, channel: `group:${this.of.group}#${this.#connection}` };
  }

  async #joinAndSync(): Promise<void> {
    const { metadata } = this.parts;
    const { client, clock } = metadata.parts;
    const { signal } = (this.#abandon = new AbortController());
    this.#round++;
    this.#roundMs = clock.mono();
    this.#joining = true;
    this.#roundNode = undefined;
    const node = (this.#roundNode = await orAborted(metadata.coordinator(this.of.group), signal));
    const probing = every(clock, probeMs, () => this.#probe());
    const joining = orAborted(client.joinGroup(this.#at(node), this.#join()), signal);
    const joined = await joining.finally(() => probing.cancel());
    this.#memberId = joined.memberId;
    this.#unseen(joined.generation);
    this.#commits.hold(); // the coordinator accepts no commits between join and sync
    const as = { group: this.of.group, generation: joined.generation, memberId: joined.memberId };
    const sentMs = clock.mono();
    const sync = client.syncGroup(this.#at(node), as, assignmentsOf(joined, this.of), this.sessionMs);
    const assigned = decodeAssignment(await orAborted(sync, signal), this.of.topic);
    if (!assigned) throw new ForeignMembersError(`generation ${joined.generation} of ${this.of.group}`);
    this.#joining = false;
    this.#generation = joined.generation;
    this.#heartbeat.good(sentMs);
    this.#heartbeat.hurried = assigned.moving;
    this.#heartbeat.schedule();
    this.#commits.go(as);
    await this.#apply(assigned, as, this.#at(node));
  }

  /**
   * Detects a generation that this member has not seen. One of its abandoned joins arrived late, with an outdated
   * declaration. Its partitions are lost, because they can belong to other members.
   */
  #unseen(generation: number): void {
    if (this.#joined >= 0 && generation > this.#joined + 1) {
      this.#generation = -1;
      this.#assigned.loseAll(`generation ${this.#joined} was followed by ${generation}`);
    }
    this.#joined = generation;
  }

  /** Returns the JoinGroup request with the current state. Any later change of that state is a reason to rejoin. */
  #join() {
    const { group, topic } = this.of;
    this.#reason = undefined;
    this.#released = false;
    const { owned, revoking: giving, busy, had } = this.#assigned;
    this.#declaredHad = had;
    const declared = {
      instance: this.parts.self,
      round: this.#round,
      owned,
      giving,
      busy,
      leaving: this.#leaving,
      had,
      serves: this.#serves,
      misses: this.#misses,
    };
    return {
      group,
      memberId: this.#memberId,
      sessionMs: this.sessionMs,
      rebalanceMs: this.#rebalanceMs,
      protocols: [{ name: protocolName, metadata: encodeSubscription(topic, declared) }],
    };
  }

  /** Looks up the coordinator for a new member, which has no heartbeats that would detect a change while it waits. */
  #probe(): void {
    if (!this.#joining || this.#who() !== undefined) return;
    const { metadata } = this.parts;
    metadata.forgetCoordinator(this.of.group);
    metadata.coordinator(this.of.group).catch(() => undefined); // no broker responds: the lookup is repeated
  }
  /** Abandons a round that waits at a broker which is no longer the coordinator, whichever component detected that. */
  #lookAtCoordinator(): void {
    const known = this.parts.metadata.knownCoordinator(this.of.group);
    if (known === undefined || this.#roundNode === undefined || known === this.#roundNode) return;
    this.#abandonRound(new KafkaError('NOT_COORDINATOR', `broker ${known} coordinates it now`));
  }

  /** Releases partitions that are missing in the assignment, and takes those that are new in it. */
  async #apply({ partitions, round, again }: Assignment, as: MemberIdentity, at: Route): Promise<void> {
    const mine = new Set(partitions);
    // An older join of this member, considered lost, arrived last, so the group used an outdated declaration.
    if (round !== this.#round) return this.#joinAgain('the group received an older subscription');
    for (const partition of this.#assigned.owned) if (!mine.has(partition)) this.#assigned.revoke(partition);
    if (this.#leaving) return;
    this.#assigned.forget(this.#declaredHad.filter((partition) => !mine.has(partition)));
    const fresh = partitions.filter((partition) => this.#assigned.can(partition));
    if (fresh.length === 0) return;
    // Use the connection of the join, where no commits in flight delay the request.
    const asked = committedOf(this.parts.metadata.parts.client, at, this.of, fresh);
    const learned = this.parts.room.learn(at.node);
    const commits = await orAborted(asked, this.#abandon.signal);
    await learned;
    this.#heartbeat.check();
    if (this.#generation !== as.generation || this.#leaving || this.#over) return;
    for (const partition of fresh) {
      this.#misses.delete(partition); // entries that still wait there are reported again
      this.#assigned.assign(partition, as.generation, commits.get(partition) ?? null);
    }
    if (again) this.#joinAgain('it owns again a partition that is assigned to another member');
  }

  async #recover(error: unknown): Promise<void> {
    if (this.#over) return;
    const failure = error instanceof KafkaError ? error : undefined;
    const { clock, random } = this.parts.metadata.parts;
    this.#failingMs ??= clock.mono();
    this.#reason ??= errorMessage(error);
    this.#failures++;
    if (failure?.step === 'useAssignedId' && failure.memberId !== undefined && this.#memberId === '') {
      this.#memberId = failure.memberId;
      return;
    }
    if (error instanceof ForeignMembersError || failure?.code === 'INCONSISTENT_GROUP_PROTOCOL')
      return this.#foreignMembers();
    if (failure?.fatal || !failure) return this.#hopeless(error);
    if (failure.step === 'newMember' && failure.code !== 'ILLEGAL_GENERATION') this.#expelled(failure.message);
    if (failure.step === 'coordinator' || failure.step === 'leader') {
      this.parts.metadata.forgetCoordinator(this.of.group);
    }
    const forMs = Math.round(clock.mono() - this.#failingMs);
    // The view reports that no broker responds.
    if (forMs >= reportAfterMs && !this.parts.metadata.failing)
      this.#report(false, `not a member for ${forMs} ms: ${errorMessage(error)}`);
    await this.#pause(pauseMs(random, this.#failures - 1, retryMsMax));
  }

  #pause(ms: number): Promise<void> {
    return sleep(this.parts.metadata.parts.clock, ms, this.#stop.signal);
  }

  /**
   * Handles an error that only an operator can resolve. A pending start rejects with it. A running member retries
   * later.
   */
  async #hopeless(error: unknown): Promise<void> {
    const reported = error instanceof KafkaError ? busErrorOf(error, `group ${this.of.group}`, 0) : error;
    this.#assigned.loseAll(errorMessage(reported));
    this.#started.reject(reported);
    this.#report(false, errorMessage(reported));
    await this.#pause(hopelessMs);
  }

  async #foreignMembers(): Promise<void> {
    const fault = await describeForeignMembers(this.parts.metadata, this.of.group, hopelessMs);
    this.#assigned.loseAll(fault);
    await leaveGroup(this.parts.metadata, this.of.group, this.#memberId);
    this.#forgetMember();
    this.#started.reject(new BusError('Config', fault, { faults: [fault] }, undefined, foreignMembersRemedy));
    this.#report(false, fault);
    await this.#pause(hopelessMs);
  }

  #report(ok: boolean, reason: string): void {
    if (ok !== this.#troubled) return;
    this.#troubled = !ok;
    this.parts.metadata.parts.notices.emit({ type: 'state', part: `group ${this.of.group}`, ok, reason });
  }

  // Results of heartbeats and commits

  #who(): MemberIdentity | undefined {
    const { group } = this.of;
    const generation = Math.max(this.#joined, this.#generation);
    return generation < 0 || this.#memberId === '' ? undefined : { group, generation, memberId: this.#memberId };
  }

  #missed(error: KafkaError, as: MemberIdentity): void {
    if (as.memberId !== this.#memberId || this.#over) return;
    if (error.step === 'rejoin') {
      if (!this.#joining && as.generation === this.#generation) this.#joinAgain(error.message);
    } else if (error.code === 'ILLEGAL_GENERATION') {
      const waitedMs = this.parts.metadata.parts.clock.mono() - this.#roundMs;
      if (!this.#joining && as.generation === this.#generation) this.#joinAgain(error.message);
      else if (waitedMs > this.sessionMs * patienceShare) this.#abandonRound(error);
    } else if (error.step === 'newMember') {
      this.#expelled(error.message);
      this.#abandonRound(error);
    } else if (error.step === 'coordinator' || error.step === 'leader') {
      this.parts.metadata.forgetCoordinator(this.of.group);
      this.#heartbeat.schedule(true);
      // A broker that does not answer heartbeats will not answer the pending request either.
      this.#abandonRound(error);
    }
  }

  #abandonRound(error: KafkaError): void {
    if (!this.#joining) return;
    this.#connection++;
    const message = `the coordinator of group ${this.of.group} did not respond: ${error.message}`;
    this.#abandon.abort(new KafkaError('CONNECTION', message));
  }

  #late(silentMs: number): void {
    if (this.#generation < 0) return;
    const { sessionMs } = this;
    this.#generation = -1; // it owns nothing until the next sync
    this.#commits.hold();
    const asked = 'was the event loop blocked, or the broker?';
    this.#assigned.loseAll(`no heartbeat succeeded for ${silentMs} ms of a session of ${sessionMs} ms: ${asked}`);
    this.#joinAgain('its session is over');
  }

  #expelled(reason: string): void {
    this.#forgetMember();
    this.#assigned.loseAll(`the group has removed this member: ${reason}`);
    this.#joinAgain('it was removed from the group');
  }
  #forgetMember(): void {
    this.#memberId = '';
    this.#generation = this.#joined = -1;
    this.#commits.hold();
  }

  // Releasing and leaving

  #miss(partition: number, entries: readonly string[]): void {
    this.#misses.set(partition, entries.map(entryHash));
    this.parts.metadata.parts.clock.after(releaseMs, () => {
      if (this.#misses.has(partition) && !this.#over)
        this.#joinAgain('messages of a partition wait that it does not serve');
    });
  }

  #hasReleased(): void {
    this.#released = true;
    this.parts.metadata.parts.clock.after(releaseMs, () => {
      if (this.#released && !this.#over) this.#joinAgain('it has released a partition');
    });
  }

  /** Releases all partitions and leaves the group, so that other members take them at once. */
  close(): Promise<void> {
    return this.#closing.close();
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    this.#leaving = true;
    await revokeEverything(this.parts.metadata, this.#assigned, this.#commits, this.sessionMs);
    this.#over = true;
    this.#unwatch();
    this.#heartbeat.stop();
    this.#stop.abort();
    this.#wake?.resolve();
    this.#abandon.abort(new KafkaError('CLOSED', 'the member was closed', { sent: false }));
    await this.#running;
    this.#commits.close();
    this.#report(true, 'the member was closed');
    await leaveGroup(this.parts.metadata, this.of.group, this.#memberId);
    this.#started.reject(
      new BusError('Closed', `the member of ${this.of.group} was closed`, { outcome: 'not-sent', sinceMs: 0 }),
    );
  }
}
