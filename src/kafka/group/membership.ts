/** Runs one member of a group through rebalances, long because its rounds, hand-overs and fencing share one state. */
import { sleep, type Timer } from '../../base/clock';
import { BusError, errorMessage } from '../../base/errors';
import { closable, deferred, type Deferred } from '../../base/lifecycle';
import type { Member, Owner } from '../../ports/log';
import type { CommitRoom } from './commit-room';
import { OffsetCommitter, committedOf } from './committer';
import { busErrorOf, KafkaError } from '../protocol/errors';
import type { Fetcher } from '../consume/fetcher';
import { Declaration } from './declaration';
import { type GroupOfTopic, JoinRound } from './join-round';
import { MemberHealth } from './member-health';
import { afterFailedHeartbeat, afterFailedRound } from './rejoin-policy';
import { type Assignment, encodeSubscription, protocolName } from './subscription';
import { AssignedPartitions } from './partitions';
import { revokeEverything, leaveGroup } from './leave';
import { KafkaOwnedPartition } from './owned-partition';
import { Heartbeat } from './heartbeat';
import { foreignOffsetsNotice } from './foreign-offsets';
import { describeForeignMembers, foreignMembersRemedy } from './foreign-members';
import type { ClusterMetadata } from '../cluster/metadata';
import type { Route } from '../client/broker-client';
import type { JoinGroupRequest, MemberIdentity } from '../protocol/types';

export interface MembershipParts {
  readonly metadata: ClusterMetadata;
  /** This instance's name. */
  readonly self: string;
  readonly fetcher: Fetcher;
  readonly room: CommitRoom;
  /** Called when the member has closed. It is not called when closing failed, since the log then closes it again. */
  readonly closed: () => void;
}

/** Minimum time that members have to rejoin. Members rejoin at once, whatever they are doing. */
const rebalanceMsMin = 30_000;
/** Interval between tries after an error that only an operator can resolve. */
const hopelessMs = 10_000;
/**
 * Maximum time for which partitions move without a new round. A hand-over takes up to 30 s of running handlers by
 * default, and 10 s of the last commit. After that the members declare again what they own, so that a lost release does
 * not leave a partition without an owner. With a longer `handoverMs` this costs a round each minute until it ends.
 */
const movingMsMax = 60_000;
/** Maximum time of a start, in addition to one session in which a dead member can delay it. */
const startMs = 30_000;

export class Membership implements Member {
  readonly #assigned: AssignedPartitions;
  readonly #commits: OffsetCommitter;
  readonly #heartbeat: Heartbeat;
  readonly #rebalanceMs: number;
  readonly #round: JoinRound;
  readonly #declaration: Declaration;
  readonly #health: MemberHealth;
  #memberId = '';
  /** Generations of the last completed sync and of the last answered join, or -1. */
  #generation = -1;
  #joined = -1;
  /** Reason for the next join. Undefined while the last declaration is valid. */
  #reason: string | undefined = 'it is a new member';
  #wake: Deferred<void> | undefined;
  #moving: Timer | undefined;
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
    const { group, topic } = of;
    const { metadata, fetcher, room, self: instance } = parts;
    this.#health = new MemberHealth(metadata, group);
    this.#round = new JoinRound({ metadata, of, sessionMs, isMember: () => this.#who() !== undefined });
    const changed = (reason: string): void => {
      if (!this.#over) this.#joinAgain(reason);
    };
    this.#declaration = new Declaration({ clock: metadata.parts.clock, instance, serves, changed });
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
        if (!this.#round.isRunning) this.#joinAgain(reason); // else the current round resolves it
      },
      unknown: (reason) => this.#joinAgain(reason),
      expelled: (reason) => this.#expelled(reason),
    });
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
          cannotServe: ({ partition }, entries) => this.#declaration.miss(partition, entries),
        }),
      settled: (owned) => commits.settled(owned),
      lost: (owned, reason) => commits.drop(owned, reason),
      released: () => this.#declaration.released(),
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
        this.#health.completed();
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

  async #joinAndSync(): Promise<void> {
    const { node, joined } = await this.#round.join(() => this.#join());
    this.#memberId = joined.memberId;
    this.#unseen(joined.generation);
    this.#commits.hold(); // the coordinator accepts no commits between join and sync
    const as = { group: this.of.group, generation: joined.generation, memberId: joined.memberId };
    const sentMs = this.parts.metadata.parts.clock.mono();
    const assigned = await this.#round.sync(node, joined);
    this.#generation = joined.generation;
    this.#heartbeat.good(sentMs);
    this.#heartbeat.hurried = assigned.moving;
    const remind = (): void => this.#joinAgain(`partitions have been moving for ${movingMsMax / 1_000} s`);
    this.#moving = assigned.moving ? this.parts.metadata.parts.clock.after(movingMsMax, remind) : undefined;
    this.#heartbeat.schedule();
    this.#commits.go(as);
    await this.#apply(assigned, as, this.#round.at(node));
  }

  /**
   * Detects a generation that this member has not seen. One of its abandoned joins arrived late, with an outdated
   * declaration. Its partitions are lost, because they can belong to other members.
   */
  #unseen(generation: number): void {
    if (this.#joined >= 0 && generation > this.#joined + 1) {
      this.#generation = -1;
      this.#assigned.loseAll(`generation ${this.#joined} was followed by ${generation}`);
      // The leader still counts the lost partitions as owned, and waits for this member to release them.
      this.#joinAgain('its partitions were lost while it joined');
    }
    this.#joined = generation;
  }

  /** Returns the JoinGroup request with the current state. Any later change of that state is a reason to rejoin. */
  #join(): JoinGroupRequest {
    const { group, topic } = this.of;
    this.#reason = undefined;
    this.#moving?.cancel(); // this round declares it
    const declared = this.#declaration.next(this.#round.number, this.#leaving, this.#assigned);
    return {
      group,
      memberId: this.#memberId,
      sessionMs: this.sessionMs,
      rebalanceMs: this.#rebalanceMs,
      protocols: [{ name: protocolName, metadata: encodeSubscription(topic, declared) }],
    };
  }

  /** Releases partitions that are missing in the assignment, and takes those that are new in it. */
  async #apply({ partitions, round, again }: Assignment, as: MemberIdentity, at: Route): Promise<void> {
    const mine = new Set(partitions);
    // An older join of this member, considered lost, arrived last, so the group used an outdated declaration.
    if (round !== this.#round.number) return this.#joinAgain('the group received an older subscription');
    for (const partition of this.#assigned.owned) if (!mine.has(partition)) this.#assigned.revoke(partition);
    if (this.#leaving) return;
    this.#assigned.forget(this.#declaration.had.filter((partition) => !mine.has(partition)));
    const fresh = partitions.filter((partition) => this.#assigned.can(partition));
    if (fresh.length === 0) return;
    // Use the connection of the join, where no commits in flight delay the request.
    const asked = committedOf(this.parts.metadata.parts.client, at, this.of, fresh);
    const learned = this.parts.room.learn(at.node);
    const { commits, foreign } = await this.#round.orAbandoned(asked);
    await learned;
    this.#heartbeat.check();
    // With commits that have no room for a state, its own offsets look like foreign ones.
    const notice = this.parts.room.stateBytesMax > 0 ? foreignOffsetsNotice(this.of, foreign) : undefined;
    if (notice) this.parts.metadata.parts.notices.emit(notice);
    for (const partition of fresh) {
      // The first steps of the owner of one partition can find that the session is over.
      if (this.#generation !== as.generation || this.#leaving || this.#over) return;
      this.#declaration.assigned(partition);
      this.#assigned.assign(partition, as.generation, commits.get(partition) ?? null);
    }
    if (again) this.#joinAgain('it owns again a partition that is assigned to another member');
  }

  async #recover(error: unknown): Promise<void> {
    if (this.#over) return;
    this.#health.failed();
    this.#reason ??= errorMessage(error);
    const failure = error instanceof KafkaError ? error : undefined;
    switch (afterFailedRound(error, this.#memberId)) {
      case 'useAssignedId':
        this.#memberId = failure?.memberId ?? '';
        return;
      case 'foreignMembers':
        return this.#foreignMembers();
      case 'awaitOperator':
        return this.#hopeless(error);
      case 'joinAsNewMember':
        this.#expelled(failure?.message ?? '');
        break;
      case 'findCoordinator':
        this.parts.metadata.forgetCoordinator(this.of.group);
        break;
      case 'retry':
    }
    this.#health.reportLasting(error);
    await this.#pause(this.#health.retryPauseMs);
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
    this.#health.report(false, errorMessage(reported));
    await this.#pause(hopelessMs);
  }

  async #foreignMembers(): Promise<void> {
    const fault = await describeForeignMembers(this.parts.metadata, this.of.group, hopelessMs);
    this.#assigned.loseAll(fault);
    await leaveGroup(this.parts.metadata, this.of.group, this.#memberId);
    this.#forgetMember();
    this.#started.reject(new BusError('Config', fault, { faults: [fault] }, undefined, foreignMembersRemedy));
    this.#health.report(false, fault);
    await this.#pause(hopelessMs);
  }

  // Results of heartbeats and commits

  #who(): MemberIdentity | undefined {
    const { group } = this.of;
    const generation = Math.max(this.#joined, this.#generation);
    return generation < 0 || this.#memberId === '' ? undefined : { group, generation, memberId: this.#memberId };
  }

  #missed(error: KafkaError, as: MemberIdentity): void {
    if (as.memberId !== this.#memberId || this.#over) return;
    const isSettled = !this.#round.isRunning && as.generation === this.#generation;
    switch (afterFailedHeartbeat(error, { isSettled, waitedMs: this.#round.waitedMs, sessionMs: this.sessionMs })) {
      case 'rejoin':
        return this.#joinAgain(error.message);
      case 'abandonRound':
        return this.#round.abandon(error);
      case 'joinAsNewMember':
        this.#expelled(error.message);
        return this.#round.abandon(error);
      case 'findCoordinator':
        this.parts.metadata.forgetCoordinator(this.of.group);
        this.#heartbeat.schedule(true);
        // A broker that does not answer heartbeats will not answer the pending request either.
        return this.#round.abandon(error);
      case 'ignore':
    }
  }

  #late(silentMs: number): void {
    if (this.#generation < 0) return;
    const { sessionMs } = this;
    this.#generation = -1; // it owns nothing until the next sync
    this.#commits.hold();
    const asked = 'Was the event loop of this process, or the broker, blocked?';
    this.#assigned.loseAll(`no heartbeat succeeded for ${silentMs} ms of a session of ${sessionMs} ms. ${asked}`);
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

  // Leaving

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
    this.#heartbeat.stop();
    this.#stop.abort();
    this.#wake?.resolve();
    this.#round.close();
    await this.#running;
    this.#moving?.cancel();
    this.#commits.close();
    this.#health.report(true, 'the member was closed');
    await leaveGroup(this.parts.metadata, this.of.group, this.#memberId);
    this.#started.reject(
      new BusError('Closed', `the member of ${this.of.group} was closed`, { outcome: 'not-sent', sinceMs: 0 }),
    );
  }
}
