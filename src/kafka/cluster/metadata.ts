/**
 * What is where in the cluster: who leads, who coordinates; found out when needed, and anew when an answer proved it
 * wrong.
 */
import { sleep, type Clock, type Random } from '../../base/clock';
import { BusError, sayError } from '../../base/errors';
import { deferred, onAbort, type Deferred } from '../../base/lifecycle';
import type { Notices } from '../../base/notices';
import { busErrorOf, WireError } from '../protocol/errors';
import { HeldPartitions } from './held-partitions';
import { OwnTopics } from './own-topics';
import type { Throttling } from '../client/throttling';
import type { TopicSeen } from './topic-findings';
import type { Wire } from '../client/broker-client';
import type { Metadata, PartitionMetadata, Spot, TopicMetadata } from '../protocol/types';
import { WriteRefusals } from './write-refusals';

export interface ViewParts {
  readonly wire: Wire;
  readonly clock: Clock;
  readonly random: Random;
  readonly notices: Notices;
  /** Addresses to begin with, for commands that an operator can run. */
  readonly brokers?: readonly string[];
  /** Whom we log in as, for errors. */
  readonly user?: string | undefined;
  /** Pauses that brokers imposed on this client; none are known without it. */
  readonly throttling?: Throttling;
  /** How long one question to the brokers is retried before it fails. Default 10,000 ms. */
  readonly askMs?: number;
}
interface Known {
  /** By partition; null where nobody leads, or where an answer said that our leader does not. */
  readonly leaders: (number | null)[];
  /** Of the leaders, by partition. */
  readonly epochs: number[];
  /** When the brokers first said that there is no such topic. */
  absentMs: number | undefined;
  /** As reported last. */
  partitions: readonly PartitionMetadata[];
  /** How often they began to say so. */
  absences: number;
  /** What else they said of it instead of where it is. */
  fault: WireError | undefined;
}
type Seeing = Pick<TopicMetadata, 'partitions'>;

/** A broker may hear of a new topic a little later than the one that created it. */
const absentMsMax = 1_000;
const askMsDefault = 10_000;
const pauseMsMin = 20;
const pauseMsMax = 500;
/** Trouble for so long is told. */
const patienceMs = 2_000;

/** How long to wait before the next try, counted from 0: longer each time, never all at the same moment. */
export function pauseMs(random: Random, tries: number, maxMs = pauseMsMax): number {
  const longestMs = Math.min(pauseMsMin * 2 ** Math.min(tries, 20), maxMs);
  return longestMs * (0.5 + random.next() / 2);
}

/**
 * Shared by all parts of a process that use the cluster. Each part derives what it does from what is known here, and
 * does so again at every change, whichever part asked the brokers: see `watch`.
 */
export class View {
  readonly #topics = new Map<string, Known>();
  readonly #watchers = new Set<() => void>();
  readonly #coordinators = new Map<string, Promise<number>>();
  readonly #coordinatorNodes = new Map<string, number>();
  readonly #closing = new AbortController();
  /** Everybody who wants to know what a look that begins from now on finds. */
  #wanted: Deferred<void> | undefined;
  #looking = false;
  /** When the last look ended, however it did. */
  #lookedMs = -Infinity;
  #learnedMs = -Infinity;
  /** Looks in a row that found nothing new. */
  #fruitless = 0;
  #failure: unknown;
  #failingMs: number | undefined;
  #told = false;
  #nodes: readonly number[] = [];
  #controller = -1;

  /** Topics that this instance uses. */
  readonly own = new OwnTopics();

  /** Partitions that readers of this process cannot read on. */
  readonly held: HeldPartitions;
  /** Topics that refuse what this process writes. */
  readonly writes: WriteRefusals;
  readonly #askMs: number;

  constructor(readonly parts: ViewParts) {
    this.held = new HeldPartitions(parts.clock);
    this.writes = new WriteRefusals(parts.clock, parts.user);
    this.#askMs = parts.askMs ?? askMsDefault;
  }

  /** The addresses, as Kafka's tools take them. */
  get bootstrap(): string {
    return this.parts.brokers?.join(',') ?? 'HOST:PORT';
  }
  /** When brokers last answered what is where; monotonic time. Any part may have asked them. */
  get learnedMs(): number {
    return this.#learnedMs;
  }
  /**
   * Calls `changed` after each look at the cluster, however it ended, after each doubt about a leader, and when the
   * coordinator of a group was found; until the function that it returns is called. `changed` must be quick and must
   * not throw.
   */
  watch(changed: () => void): () => void {
    this.#watchers.add(changed);
    return () => void this.#watchers.delete(changed);
  }
  #changed(): void {
    for (const changed of this.#watchers) changed();
  }
  /** Who leads as far as known; undefined: ask for a refresh. */
  leader({ topic, partition }: Spot): number | undefined {
    return this.#topics.get(topic)?.leaders[partition] ?? undefined;
  }
  /** As {@link leader}; throws LEADER_NOT_AVAILABLE, which `ask` knows how to treat. */
  mustLead(spot: Spot): number {
    const node = this.leader(spot);
    if (node !== undefined) return node;
    throw new WireError('LEADER_NOT_AVAILABLE', `nobody leads ${spot.topic}/${spot.partition}`, { sent: false });
  }
  /** `node` said that it does not lead the partition, or does not answer. */
  doubt({ topic, partition }: Spot, node: number): void {
    const leaders = this.#topics.get(topic)?.leaders;
    if (leaders?.[partition] !== node) return;
    leaders[partition] = null;
    this.#changed();
  }
  /** Whether nobody said, when we looked last, where anything is. */
  get failing(): boolean {
    return this.#failure !== undefined;
  }
  /** Why there may be no leader, as far as anybody said. */
  whyLeaderless(topic: string): string {
    const known = this.#topics.get(topic);
    if (known?.absentMs !== undefined) return this.own.sayAbsent(topic);
    return known?.fault?.message ?? 'no broker leads it';
  }
  /** How long the brokers have been saying that there is no such topic; 0 while there is one. */
  absentMs(topic: string): number {
    const absentMs = this.#topics.get(topic)?.absentMs;
    return absentMs === undefined ? 0 : this.parts.clock.mono() - absentMs;
  }

  /** How often the topic went away so far: one that has been away since may be another one of the same name. */
  absences(topic: string): number {
    return this.#topics.get(topic)?.absences ?? 0;
  }

  /** What the brokers reported last about a topic that exists. */
  seen(topic: string): TopicSeen | undefined {
    const known = this.#topics.get(topic);
    if (!known || known.absentMs !== undefined || known.partitions.length === 0) return undefined;
    return { partitions: known.partitions, nodes: this.#nodes };
  }

  /** All brokers that live, and whom to ask for changes of topics. */
  async nodes(): Promise<readonly number[]> {
    await this.#lookUntilOne();
    return this.#nodes;
  }
  async controller(): Promise<number> {
    await this.#lookUntilOne();
    return this.#controller;
  }
  async #lookUntilOne(): Promise<void> {
    if (this.#controller < 0) await this.refresh();
    if (this.#controller >= 0) return;
    throw this.#failure ?? new WireError('BROKER_NOT_AVAILABLE', 'no broker is there', { sent: false });
  }

  /** How many partitions it has. Rejects with Config when it is not there, with Unreachable when nobody can say. */
  async partitions(topic: string): Promise<number> {
    const found = await this.find(topic, absentMsMax);
    if (found !== undefined) return found;
    const fault = `topic '${topic}' is not there: ensure it first`;
    const remedy = 'Start an instance that serves the module or publishes its events, which creates the topic.';
    throw new BusError('Config', fault, { faults: [fault] }, undefined, remedy);
  }

  /** How many partitions it has; undefined when the brokers have been saying for `absentMs` that it is not there. */
  async find(topic: string, absentMs = 0): Promise<number | undefined> {
    const { clock } = this.parts;
    const begunMs = clock.mono();
    for (let tries = 0; ; tries++) {
      const known = this.#topics.get(topic);
      if (known && known.leaders.length > 0 && known.absentMs === undefined) return known.leaders.length;
      if (!known)
        this.#topics.set(topic, {
          leaders: [],
          epochs: [],
          absentMs: undefined,
          partitions: [],
          absences: 0,
          fault: undefined,
        });
      await this.refresh();
      const waitedMs = clock.mono() - begunMs;
      const failure = this.#failure ?? this.#topics.get(topic)?.fault;
      if (failure !== undefined) {
        const over = !(failure instanceof WireError && failure.retriable) || waitedMs > this.#askMs;
        if (over || this.#closing.signal.aborted) throw this.#toUser(failure, `topic ${topic}`, waitedMs);
      } else if (this.#topics.get(topic)?.absentMs !== undefined && waitedMs >= absentMs) {
        if (this.#topics.get(topic)?.leaders.length === 0) this.#topics.delete(topic); // nobody uses it
        return undefined;
      }
    }
  }

  /** Asks the brokers; resolves when a look that began after this call has ended, however it did. */
  refresh(): Promise<void> {
    this.#wanted ??= deferred<void>();
    const { promise } = this.#wanted;
    if (!this.#looking) void this.#look();
    return promise;
  }

  async #look(): Promise<void> {
    this.#looking = true;
    const { clock, random } = this.parts;
    for (let mine = this.#wanted; mine !== undefined; mine = this.#wanted) {
      const gapMs = this.#fruitless === 0 ? 0 : pauseMs(random, this.#fruitless - 1);
      const waitMs = this.#lookedMs + gapMs - clock.mono();
      if (waitMs > 0) await sleep(clock, waitMs, this.#closing.signal);
      this.#wanted = undefined;
      await this.#lookOnce();
      mine.resolve();
    }
    this.#looking = false;
  }

  async #lookOnce(): Promise<void> {
    const { wire, clock } = this.parts;
    try {
      if (this.#closing.signal.aborted) throw new WireError('CLOSED', 'the log was closed', { sent: false });
      const found = await wire.metadata([...this.#topics.keys()]);
      this.#failure = undefined;
      this.#learnedMs = clock.mono();
      this.#fruitless = this.#learn(found) ? 0 : this.#fruitless + 1;
    } catch (error) {
      this.#failure = error;
      this.#fruitless++;
    }
    this.#lookedMs = clock.mono();
    this.#tell();
    this.#changed();
  }

  /** Whether anything was new. */
  #learn({ nodes, controller, topics }: Metadata): boolean {
    this.#nodes = nodes.map(({ node }) => node);
    this.#controller = controller >= 0 ? controller : (this.#nodes[0] ?? -1);
    let changed = false;
    for (const { name, error, partitions } of topics) {
      const known = this.#topics.get(name);
      if (!known) continue;
      const absent = error?.code === 'UNKNOWN_TOPIC_OR_PARTITION' || error?.code === 'INVALID_TOPIC_EXCEPTION';
      if (absent && known.absentMs === undefined) {
        known.absentMs = this.parts.clock.mono();
        known.absences++;
      }
      if (error === null) {
        known.absentMs = undefined;
        known.partitions = partitions;
      }
      known.fault = error === null || absent ? undefined : error;
      if (error === null && learnLeaders(known, { partitions })) changed = true;
      if (absent && known.leaders.some((leader) => leader !== null)) known.leaders.fill(null);
    }
    return changed;
  }

  #tell(): void {
    const { clock, notices } = this.parts;
    // After close, a request that was cut off is no evidence about the brokers, good or bad.
    if (this.#closing.signal.aborted) return;
    const failing = this.#failure !== undefined;
    if (!failing) this.#failingMs = undefined;
    else this.#failingMs ??= clock.mono();
    const bad = this.#failingMs !== undefined && clock.mono() - this.#failingMs >= patienceMs;
    if (bad === this.#told || (failing && !bad)) return;
    this.#told = bad;
    const reason = bad ? `no broker says where anything is: ${sayError(this.#failure)}` : 'the brokers answer again';
    notices.tell({ type: 'state', part: 'kafka', ok: !bad, reason });
  }

  /** The node that keeps the group. Rejects with a WireError. */
  coordinator(group: string): Promise<number> {
    const known = this.#coordinators.get(group);
    if (known) return known;
    const asked = this.parts.wire.findCoordinator(group);
    this.#coordinators.set(group, asked);
    asked.then(
      (node) => {
        if (this.#coordinators.get(group) !== asked) return;
        this.#coordinatorNodes.set(group, node);
        this.#changed();
      },
      () => {
        if (this.#coordinators.get(group) === asked) this.#coordinators.delete(group);
      },
    );
    return asked;
  }
  /** The node that keeps the group, as far as any part has asked; undefined while that is in doubt. */
  knownCoordinator(group: string): number | undefined {
    return this.#coordinatorNodes.get(group);
  }
  /** The coordinator does not answer, or says that it is none. */
  forgetCoordinator(group: string): void {
    this.#coordinators.delete(group);
    this.#coordinatorNodes.delete(group);
  }

  /**
   * Runs what asks a broker until it succeeds: after each refusal that time or another broker can mend, for at most
   * `forMs`. Rejects with a BusError about `what`.
   */
  async ask<T>(what: string, run: () => Promise<T>, forMs = this.#askMs): Promise<T> {
    const { clock, random } = this.parts;
    const begunMs = clock.mono();
    for (let tries = 0; ; tries++) {
      try {
        return await run();
      } catch (error) {
        if (!(error instanceof WireError)) throw error;
        const waitedMs = clock.mono() - begunMs;
        const over = waitedMs >= forMs || this.#closing.signal.aborted;
        if (!error.retriable || over) throw this.#toUser(error, what, waitedMs);
        if (error.step === 'leader') await this.refresh();
        await sleep(clock, pauseMs(random, tries), this.#closing.signal);
      }
    }
  }

  #toUser(error: unknown, what: string, waitedMs: number): BusError {
    return busErrorOf(error, what, waitedMs, this.parts.user);
  }

  /** Who waits for a look is let go; nothing is asked any more. */
  close(): void {
    this.#closing.abort();
  }
}

/**
 * Whether any leader changed; a partition that is new is a change. A broker that is cut off, or was just started, may
 * answer with the leaders of before: they do not replace one of a later election, unless that one itself was doubted or
 * is gone.
 */
function learnLeaders({ leaders, epochs }: Pick<Known, 'leaders' | 'epochs'>, { partitions }: Seeing): boolean {
  let changed = false;
  for (const { partition, leader, epoch } of partitions) {
    const isOld = epoch >= 0 && epoch < (epochs[partition] ?? -1);
    if (isOld && leaders[partition] != null) continue;
    if (leaders[partition] !== leader) changed = true;
    leaders[partition] = leader;
    epochs[partition] = epoch;
  }
  for (let i = 0; i < leaders.length; i++) leaders[i] ??= null; // a partition that the answer left out
  return changed;
}

/** By the node that leads; throws LEADER_NOT_AVAILABLE when nobody leads one of them. */
export function byLeader<S extends Spot>(view: View, spots: readonly S[]): Map<number, S[]> {
  const led = new Map<number, S[]>();
  for (const spot of spots) {
    const node = view.mustLead(spot);
    const mine = led.get(node);
    if (mine) mine.push(spot);
    else led.set(node, [spot]);
  }
  return led;
}

/** Throws the first error that one of the answers has. */
export function allGood<A extends { readonly error: WireError | null }>(answers: readonly A[]): readonly A[] {
  const failed = answers.find(({ error }) => error !== null);
  if (failed?.error) throw failed.error;
  return answers;
}

/** What `work` gives, or the reason of the signal as soon as it aborts. */
export function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = (): void => reject(signal.reason as WireError); // whoever aborts gives one
    if (signal.aborted) stop();
    work.then(resolve, reject).finally(onAbort(signal, stop));
  });
}
