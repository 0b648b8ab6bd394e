/** One member of a group, long because rounds, hand-overs and fencing share one state: works on through rebalances. */
import { every, sleep } from '../../base/clock';
import { BusError, sayError } from '../../base/errors';
import { closable, deferred, type Deferred } from '../../base/lifecycle';
import type { Member, Owner } from '../../ports/log';
import { assignmentsOf } from './assignor';
import type { CommitRoom } from './commit-room';
import { Commits, committedOf } from './committer';
import { busErrorOf, WireError } from '../protocol/errors';
import type { Fetcher } from '../consume/fetcher';
import { type Assigned, decodeAssigned, encodeDeclared, entryHash, protocolName } from './subscription';
import { Holdings } from './partitions';
import { giveEverything, leaveGroup } from './leave';
import { OwnedPartition } from './owned-partition';
import { Pulse } from './heartbeat';
import { sayStrangers, StrangerError, strangersRemedy } from './foreign-members';
import { orAborted, pauseMs, type View } from '../cluster/metadata';
import type { At } from '../client/broker-client';
import type { MemberAs } from '../protocol/types';

export interface MembershipParts {
  readonly view: View;
  /** This instance's name. */
  readonly self: string;
  readonly fetcher: Fetcher;
  readonly room: CommitRoom;
}
export interface GroupOfTopic {
  readonly group: string;
  readonly topic: string;
  readonly partitions: number;
}

/** How long members have to join again; they do at once, whatever they are doing. */
const rebalanceMsMin = 30_000;
/** What several partitions give up in the same moment is handed over together. */
const releaseMs = 20;
/** What stays wrong until a person acts is tried again so often. */
const hopelessMs = 10_000;
const startMs = 30_000;
/** That it is no member for so long, whatever it tries, is told. */
const patienceMs = 5_000;
const retryMsMax = 1_000;
const probeMs = 1_000;
/** A join that the group has answered, but not to us, is given up after this share of the session. */
const patienceShare = 0.3;

export class Membership implements Member {
  readonly #holdings: Holdings;
  readonly #commits: Commits;
  readonly #pulse: Pulse;
  readonly #rebalanceMs: number;
  readonly #serves: readonly string[] | undefined;
  /** By partition, entries that wait or waited there and are not served here. */
  readonly #misses = new Map<number, readonly string[]>();
  #declaredHad: readonly number[] = [];
  #memberId = '';
  /** Of the last sync that was completed, and of the last join that was answered; -1 for none. */
  #generation = -1;
  #joined = -1;
  /** Why to join again; undefined while there is nothing to say. */
  #reason: string | undefined = 'it is new';
  /** Something was given up since it last said what it has. */
  #released = false;
  #wake: Deferred<void> | undefined;
  /** Ends the wait for a coordinator that gives no sign. */
  #abandon = new AbortController();
  /** A join that was abandoned may hold up its connection, so the next one gets another. */
  #connection = 0;
  #round = 0;
  #roundMs = 0;
  /** From the first request of a round until its assignment is there. */
  #joining = false;
  /** The broker where the round under way waits. */
  #roundNode: number | undefined;
  readonly #unwatch: () => void;
  #failures = 0;
  /** Since when what it tries is refused. */
  #failingMs: number | undefined;
  #troubled = false;
  #leaving = false;
  #over = false;
  readonly #closing = closable(() => this.#close());
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
    const { view, fetcher, room } = parts;
    this.#rebalanceMs = Math.max(rebalanceMsMin, 3 * sessionMs);
    this.#pulse = new Pulse({
      view,
      sessionMs,
      rebalanceMs: this.#rebalanceMs,
      who: () => this.#who(),
      missed: (error, as) => this.#missed(error, as),
      late: (silentMs) => this.#late(silentMs),
    });
    this.#commits = new Commits({
      view,
      group,
      topic,
      via: 'group:commits',
      refused: (reason) => {
        if (!this.#joining) this.#joinAgain(reason); // else the round under way is the answer to it
      },
      unknown: (reason) => this.#joinAgain(reason),
      expelled: (reason) => this.#expelled(reason),
    });
    this.#unwatch = view.watch(() => this.#lookAtCoordinator());
    const [fence, commits] = [(): void => this.#pulse.check(), this.#commits];
    this.#holdings = new Holdings({
      group,
      owner,
      notices: view.parts.notices,
      open: (given) =>
        new OwnedPartition({
          ...given,
          group,
          topic,
          fetcher,
          room,
          fence,
          commit: (...one) => commits.add(...one),
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

  /** Resolves when it is a member and has what was free for it. */
  async start(): Promise<void> {
    const limitMs = startMs + this.sessionMs;
    const limit = this.parts.view.parts.clock.after(limitMs, () => {
      const cause = this.#reason ?? 'the group gave no answer';
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

  // Rounds: join, sync, give and take

  async #run(): Promise<void> {
    this.#pulse.schedule();
    while (!this.#over) {
      try {
        if (this.#reason === undefined) await this.#untilReason();
        if (this.#over) return;
        await this.#joinAndSync();
        this.#failures = 0;
        this.#failingMs = undefined;
        this.#tell(true, 'it is a member again');
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

  #at(node: number): At {
    return { node, via: `group:${this.of.group}#${this.#connection}` };
  }

  async #joinAndSync(): Promise<void> {
    const { view } = this.parts;
    const { wire, clock } = view.parts;
    const { signal } = (this.#abandon = new AbortController());
    this.#round++;
    this.#roundMs = clock.mono();
    this.#joining = true;
    this.#roundNode = undefined;
    const node = (this.#roundNode = await orAborted(view.coordinator(this.of.group), signal));
    const probing = every(clock, probeMs, () => this.#probe());
    const joining = orAborted(wire.join(this.#at(node), this.#join()), signal);
    const joined = await joining.finally(() => probing.cancel());
    this.#memberId = joined.memberId;
    this.#unseen(joined.generation);
    this.#commits.hold(); // between join and sync nobody's are taken
    const as = { group: this.of.group, generation: joined.generation, memberId: joined.memberId };
    const sentMs = clock.mono();
    const sync = wire.sync(this.#at(node), as, assignmentsOf(joined, this.of), this.sessionMs);
    const assigned = decodeAssigned(await orAborted(sync, signal), this.of.topic);
    if (!assigned) throw new StrangerError(`generation ${joined.generation} of ${this.of.group}`);
    this.#joining = false;
    this.#generation = joined.generation;
    this.#pulse.good(sentMs);
    this.#pulse.hurried = assigned.moving;
    this.#pulse.schedule();
    this.#commits.go(as);
    await this.#apply(assigned, as, this.#at(node));
  }

  /**
   * A generation passed that it knows nothing of: a join of ours, given up long before, came late and said what was not
   * true any more. So others may have been given what was ours.
   */
  #unseen(generation: number): void {
    if (this.#joined >= 0 && generation > this.#joined + 1) {
      this.#generation = -1;
      this.#holdings.loseAll(`generation ${this.#joined} was followed by ${generation}`);
    }
    this.#joined = generation;
  }

  /** What it says of itself holds from here on: whatever changes later is a reason to join again. */
  #join() {
    const { group, topic } = this.of;
    this.#reason = undefined;
    this.#released = false;
    const { owned, giving, busy, had } = this.#holdings;
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
      protocols: [{ name: protocolName, metadata: encodeDeclared(topic, declared) }],
    };
  }

  /** A member that is new has no heartbeats to tell it that its coordinator moved while it waits there. */
  #probe(): void {
    if (!this.#joining || this.#who() !== undefined) return;
    const { view } = this.parts;
    view.forgetCoordinator(this.of.group);
    view.coordinator(this.of.group).catch(() => undefined); // no broker answers: it is asked again
  }
  /**
   * What waits at a broker that coordinates the group no longer is not waited for, whichever part has found that out.
   */
  #lookAtCoordinator(): void {
    const known = this.parts.view.knownCoordinator(this.of.group);
    if (known === undefined || this.#roundNode === undefined || known === this.#roundNode) return;
    this.#abandonRound(new WireError('NOT_COORDINATOR', `broker ${known} coordinates it now`));
  }

  /** Gives what is missing in the assignment, takes what is new in it, and compares. */
  async #apply({ partitions, round, again }: Assigned, as: MemberAs, at: At): Promise<void> {
    const mine = new Set(partitions);
    // An older join of ours, thought to be lost, came last: the others were told what is not true any more.
    if (round !== this.#round) return this.#joinAgain('the group heard something older');
    for (const partition of this.#holdings.owned) if (!mine.has(partition)) this.#holdings.give(partition);
    if (this.#leaving) return;
    this.#holdings.forget(this.#declaredHad.filter((partition) => !mine.has(partition)));
    const fresh = partitions.filter((partition) => this.#holdings.can(partition));
    if (fresh.length === 0) return;
    // Where it joined: commits of others that are on their way would hold it up.
    const asked = committedOf(this.parts.view.parts.wire, at, this.of, fresh);
    const learned = this.parts.room.learn(at.node);
    const commits = await orAborted(asked, this.#abandon.signal);
    await learned;
    this.#pulse.check();
    if (this.#generation !== as.generation || this.#leaving || this.#over) return;
    for (const partition of fresh) {
      this.#misses.delete(partition); // what still waits there is reported again
      this.#holdings.take(partition, as.generation, commits.get(partition) ?? null);
    }
    if (again) this.#joinAgain('it has taken back what another member is to have');
  }

  async #recover(error: unknown): Promise<void> {
    if (this.#over) return;
    const trouble = error instanceof WireError ? error : undefined;
    const { clock, random } = this.parts.view.parts;
    this.#failingMs ??= clock.mono();
    this.#reason ??= sayError(error);
    this.#failures++;
    if (trouble?.step === 'named' && trouble.memberId !== undefined && this.#memberId === '') {
      this.#memberId = trouble.memberId;
      return;
    }
    if (error instanceof StrangerError || trouble?.code === 'INCONSISTENT_GROUP_PROTOCOL') return this.#stranger();
    if (trouble?.fatal || !trouble) return this.#hopeless(error);
    if (trouble.step === 'anew' && trouble.code !== 'ILLEGAL_GENERATION') this.#expelled(trouble.message);
    if (trouble.step === 'coordinator' || trouble.step === 'leader') {
      this.parts.view.forgetCoordinator(this.of.group);
    }
    const forMs = Math.round(clock.mono() - this.#failingMs);
    // While no broker says where anything is, the view tells.
    if (forMs >= patienceMs && !this.parts.view.failing)
      this.#tell(false, `no member for ${forMs} ms: ${sayError(error)}`);
    await this.#pause(pauseMs(random, this.#failures - 1, retryMsMax));
  }

  #pause(ms: number): Promise<void> {
    return sleep(this.parts.view.parts.clock, ms, this.#stop.signal);
  }

  /** Never as things are. Whoever waits for the start hears it; afterwards it is tried again now and then. */
  async #hopeless(error: unknown): Promise<void> {
    const told = error instanceof WireError ? busErrorOf(error, `group ${this.of.group}`, 0) : error;
    this.#holdings.loseAll(sayError(told));
    this.#started.reject(told);
    this.#tell(false, sayError(told));
    await this.#pause(hopelessMs);
  }

  async #stranger(): Promise<void> {
    const fault = await sayStrangers(this.parts.view, this.of.group, hopelessMs);
    this.#holdings.loseAll(fault);
    await leaveGroup(this.parts.view, this.of.group, this.#memberId);
    this.#forgetMember();
    this.#started.reject(new BusError('Config', fault, { faults: [fault] }, undefined, strangersRemedy));
    this.#tell(false, fault);
    await this.#pause(hopelessMs);
  }

  #tell(ok: boolean, reason: string): void {
    if (ok !== this.#troubled) return;
    this.#troubled = !ok;
    this.parts.view.parts.notices.tell({ type: 'state', part: `group ${this.of.group}`, ok, reason });
  }

  // What the group says of us

  #who(): MemberAs | undefined {
    const { group } = this.of;
    const generation = Math.max(this.#joined, this.#generation);
    return generation < 0 || this.#memberId === '' ? undefined : { group, generation, memberId: this.#memberId };
  }

  #missed(error: WireError, as: MemberAs): void {
    if (as.memberId !== this.#memberId || this.#over) return;
    if (error.step === 'rejoin') {
      if (!this.#joining && as.generation === this.#generation) this.#joinAgain(error.message);
    } else if (error.code === 'ILLEGAL_GENERATION') {
      const waitedMs = this.parts.view.parts.clock.mono() - this.#roundMs;
      if (!this.#joining && as.generation === this.#generation) this.#joinAgain(error.message);
      else if (waitedMs > this.sessionMs * patienceShare) this.#abandonRound(error);
    } else if (error.step === 'anew') {
      this.#expelled(error.message);
      this.#abandonRound(error);
    } else if (error.step === 'coordinator' || error.step === 'leader') {
      this.parts.view.forgetCoordinator(this.of.group);
      this.#pulse.schedule(true);
      // Whoever does not answer heartbeats will not answer what waits there either.
      this.#abandonRound(error);
    }
  }

  #abandonRound(error: WireError): void {
    if (!this.#joining) return;
    this.#connection++;
    const message = `the coordinator of ${this.of.group} gives no sign: ${error.message}`;
    this.#abandon.abort(new WireError('CONNECTION', message));
  }

  #late(silentMs: number): void {
    if (this.#generation < 0) return;
    const { sessionMs } = this;
    this.#generation = -1; // until the next sync nothing is ours
    this.#commits.hold();
    const asked = 'was the event loop held up, or the broker?';
    this.#holdings.loseAll(`no sign of the group for ${silentMs} ms of a session of ${sessionMs} ms: ${asked}`);
    this.#joinAgain('it was cut off');
  }

  #expelled(reason: string): void {
    this.#forgetMember();
    this.#holdings.loseAll(`the group does not know this member any more: ${reason}`);
    this.#joinAgain('it was expelled');
  }
  #forgetMember(): void {
    this.#memberId = '';
    this.#generation = this.#joined = -1;
    this.#commits.hold();
  }

  // Leaving

  #miss(partition: number, entries: readonly string[]): void {
    this.#misses.set(partition, entries.map(entryHash));
    this.parts.view.parts.clock.after(releaseMs, () => {
      if (this.#misses.has(partition) && !this.#over) this.#joinAgain('messages wait there that it does not serve');
    });
  }

  #hasReleased(): void {
    this.#released = true;
    this.parts.view.parts.clock.after(releaseMs, () => {
      if (this.#released && !this.#over) this.#joinAgain('it has given something up');
    });
  }

  /** Gives everything, leaves; others take it at once. */
  close(): Promise<void> {
    return this.#closing.close();
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    this.#leaving = true;
    await giveEverything(this.parts.view, this.#holdings, this.#commits, this.sessionMs);
    this.#over = true;
    this.#unwatch();
    this.#pulse.stop();
    this.#stop.abort();
    this.#wake?.resolve();
    this.#abandon.abort(new WireError('CLOSED', 'the member was closed', { sent: false }));
    await this.#running;
    this.#commits.close();
    await leaveGroup(this.parts.view, this.of.group, this.#memberId);
    this.#started.reject(
      new BusError('Closed', `the member of ${this.of.group} was closed`, { outcome: 'not-sent', sinceMs: 0 }),
    );
  }
}
