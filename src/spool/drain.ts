/** Sends the messages of the spool to the servers, together with the other processes of this machine. */
import { every, type Clock, type Timer } from '../base/clock';
import { errorMessage, type BusError } from '../base/errors';
import { allEnded, closable, type Closable } from '../base/lifecycle';
import type { Log, Member, OwnedPartition, Owner, Stored, Topic } from '../ports/log';
import { PartitionDrain } from './partition-drain';
import type { Shipped } from './shipped';

/** Group of the processes that send. */
export const drainGroup = 'drain';
/** Interval of the searches for topics that other processes created. */
const searchMs = 1_000;
/** Interval of the commits of all partitions, which share a write to the disk. */
const commitMs = 100;
/** Number of commits between two removals of sent records. */
const commitsPerTrim = 5;
/** Time for which nothing could be sent before it is reported. */
const reportMs = 5_000;

export interface DrainParts {
  readonly clock: Clock;
  /** Log of the servers. */
  readonly log: Pick<Log, 'ensure' | 'append'>;
  readonly local: Log;
  /** Parks a record that the servers refuse for good. */
  readonly park: (topic: string, record: Stored, error: BusError) => Promise<void>;
  /** Called when the servers have all records of a partition below `offset`. */
  readonly sent: (topic: string, partition: number, offset: number, shipped: Shipped) => void;
  /** Called with the reason when messages wait because they cannot be sent, and with undefined when none does. */
  readonly failing: (reason: string | undefined) => void;
}

export class Drain implements Closable {
  readonly #topics = new Map<string, TopicDrain>();
  readonly #search: Timer;
  readonly #commits: Timer;
  #searching: Promise<void> | undefined;
  #reported: string | undefined;
  /** Set while the topics of the spool cannot be read. */
  #unread: Failing | undefined;
  #isClosed = false;
  readonly #closer = closable(() => this.#close());
  readonly close = (): Promise<void> => this.#closer.close();

  constructor(private readonly parts: DrainParts) {
    this.#search = every(parts.clock, searchMs, () => {
      void this.search();
      this.#report();
    });
    let commits = 0;
    this.#commits = every(parts.clock, commitMs, () => {
      const trims = ++commits % commitsPerTrim === 0;
      for (const drain of this.#topics.values()) drain.commit(trims);
    });
  }

  /** Topics of the spool that this process has found. */
  get topics(): Iterable<string> {
    return this.#topics.keys();
  }

  /** True while records of a partition of this process cannot be sent. */
  get isFailing(): boolean {
    return [...this.#topics.values()].some((drain) => drain.isFailing);
  }

  /** Sends the messages of all topics of the spool. Never rejects: the next search repeats what failed. */
  search(): Promise<void> {
    return (this.#searching ??= this.#find()
      .then(
        () => (this.#unread = undefined),
        (error: unknown) => (this.#unread ??= { sinceMs: this.parts.clock.mono(), reason: errorMessage(error) }),
      )
      .then(() => undefined)
      .finally(() => (this.#searching = undefined)));
  }
  async #find(): Promise<void> {
    for (const topic of await this.parts.local.topics()) if (!topic.compacted) this.add(topic);
  }

  /** Sends the messages of one topic. */
  add(topic: Topic): void {
    if (this.#isClosed) return;
    const drain = this.#topics.get(topic.name) ?? new TopicDrain(topic, this.parts);
    this.#topics.set(topic.name, drain);
    void drain.start();
  }

  #report(): void {
    const nowMs = this.parts.clock.mono();
    const late = [...this.#topics.values()].flatMap((drain) => drain.failure(nowMs, reportMs) ?? []);
    if (this.#unread && nowMs - this.#unread.sinceMs >= reportMs)
      late.push(`the topics of the spool cannot be read: ${this.#unread.reason}`);
    const reason = late.length === 0 ? undefined : late.join('; ');
    if ((reason === undefined) === (this.#reported === undefined)) return;
    this.#reported = reason;
    this.parts.failing(reason);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
  async #close(): Promise<void> {
    this.#isClosed = true;
    this.#search.cancel();
    this.#commits.cancel();
    await this.#searching;
    await allEnded(
      'leaving the group of the spool',
      [...this.#topics.values()].map((drain) => drain.close()),
    );
  }
}

/** A failure: since when, and why. */
interface Failing {
  readonly sinceMs: number;
  reason: string;
}

/** Membership in the group of one topic. */
class TopicDrain implements Owner {
  readonly #partitions = new Map<number, PartitionDrain>();
  /** Failing partitions, and 'joining' while this process is no member. */
  readonly #failing = new Map<number | 'joining', Failing>();
  #joining: Promise<Member> | undefined;
  #ensuring: Promise<unknown> | undefined;
  #isEnsured = false;
  #isClosed = false;

  constructor(
    private readonly topic: Topic,
    private readonly parts: DrainParts,
  ) {}

  /** Joins the group. Never rejects: the next call tries again. */
  async start(): Promise<void> {
    if (this.#isClosed) return;
    try {
      await (this.#joining ??= this.parts.local.join(drainGroup, this.topic.name, this));
      this.#note('joining', undefined);
    } catch (error) {
      this.#joining = undefined;
      this.#note('joining', errorMessage(error));
    }
  }

  onAssigned(owned: OwnedPartition): void {
    const drain = new PartitionDrain(
      {
        clock: this.parts.clock,
        topic: this.topic.name,
        log: this.parts.log,
        local: this.parts.local,
        ensure: (canHaveChanged) => this.#ensure(canHaveChanged),
        owned: () => this.#partitions.size,
        park: (record, error) => this.parts.park(this.topic.name, record, error),
        failing: (partition, reason) => this.#note(partition, reason),
        sent: (partition, offset, shipped) => this.parts.sent(this.topic.name, partition, offset, shipped),
      },
      owned,
    );
    this.#partitions.set(owned.partition, drain);
    void drain.run().finally(() => {
      if (this.#partitions.get(owned.partition) === drain) this.#partitions.delete(owned.partition);
    });
  }
  /** Commits the progress of all partitions, and removes what was committed before. */
  commit(trims: boolean): void {
    for (const drain of this.#partitions.values()) {
      if (trims) void drain.trim();
      void drain.commit();
    }
  }
  async onRevoked(partition: number): Promise<void> {
    await this.#partitions.get(partition)?.stop();
  }

  /** Creates the topic at the servers, once for all partitions, or again if it can have changed. */
  #ensure(canHaveChanged = false): Promise<unknown> {
    if (canHaveChanged && this.#isEnsured) this.#ensuring = undefined; // partitions share a call in progress
    if (this.#ensuring) return this.#ensuring;
    this.#isEnsured = false;
    return (this.#ensuring = this.parts.log.ensure(this.topic).then(
      () => (this.#isEnsured = true),
      (error: unknown) => {
        this.#ensuring = undefined;
        throw error;
      },
    ));
  }

  #note(partition: number | 'joining', reason: string | undefined): void {
    const known = this.#failing.get(partition);
    if (reason === undefined) this.#failing.delete(partition);
    else if (known) known.reason = reason;
    else this.#failing.set(partition, { sinceMs: this.parts.clock.mono(), reason });
  }

  get isFailing(): boolean {
    return this.#failing.size > 0;
  }
  /** Returns a line about partitions that could not be sent for `forMs`. */
  failure(nowMs: number, forMs: number): string | undefined {
    const late = [...this.#failing.values()].filter(({ sinceMs }) => nowMs - sinceMs >= forMs);
    const [first] = late;
    if (!first) return undefined;
    const count = this.#failing.has('joining') ? this.topic.partitions : late.length;
    return `${count} of ${this.topic.partitions} partitions of ${this.topic.name} wait: ${first.reason}`;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    const member = await this.#joining?.catch(() => undefined);
    await member?.close();
  }
}
