/** Brokers in memory on virtual time that moves only when told to: for tests of single rules. */

import { openNotices, type Notices } from '../../src/base/notices';
import type { KafkaLogParts } from '../../src/kafka/log';
import { View } from '../../src/kafka/cluster/metadata';
import { promisesRunOut, seededRandom, virtualClock, type VirtualClock } from '../../src/memory/clock';
import type { Append, Commit, Owned, Owner, Stored, Topic } from '../../src/ports/log';
import { FakeCluster, type FakeFault, type FakeRequest } from './fakewire';
import { openProcess, type KafkaProcess } from './rig';

/** What a promise has come to. */
export interface Outcome<T> {
  value: T | undefined;
  error: unknown;
  settled: boolean;
}

/** The sender waits for a tick of its own, behind which promises may go on again. */
async function ranOut(): Promise<void> {
  await promisesRunOut();
  await promisesRunOut();
}

export class FakeBench {
  readonly clock: VirtualClock = virtualClock({ drain: ranOut });
  readonly cluster: FakeCluster;
  readonly #processes: KafkaProcess[] = [];

  constructor(nodes = 3, latencyMs = 1) {
    this.cluster = new FakeCluster(this.clock, nodes);
    this.cluster.latencyMs = latencyMs;
  }

  process(name: string, more: Partial<KafkaLogParts> = {}): KafkaProcess {
    const around = { clock: this.clock, random: seededRandom(3) };
    const one = openProcess(name, this.cluster.wire(name), around, more);
    this.#processes.push(one);
    return one;
  }
  /** For what is opened by itself. */
  view(name: string, notices: Notices = openNotices()): View {
    const { clock } = this;
    return new View({ wire: this.cluster.wire(name), clock, random: seededRandom(3), notices });
  }
  /** A process that has a producer id, and a topic that is there. */
  async open(partitions = 1, more: Partial<Topic> = {}, parts: Partial<KafkaLogParts> = {}) {
    const one = this.process('one', parts);
    const topic = { name: 'a.b.work', partitions, compacted: false, keepMs: null, ...more };
    await this.run(one.log.ensure(topic));
    await this.run(one.log.append(topic.name, []));
    await this.clock.advance(3 * this.cluster.latencyMs);
    return { ...one, topic: topic.name };
  }

  watch<T>(work: Promise<T>): Outcome<T> {
    const outcome: Outcome<T> = { value: undefined, error: undefined, settled: false };
    work.then(
      (value) => Object.assign(outcome, { value, settled: true }),
      (error: unknown) => Object.assign(outcome, { error, settled: true }),
    );
    return outcome;
  }
  /** Moves time until the work is done; fails when it is not within `limitMs`. */
  async run<T>(work: Promise<T>, limitMs = 60_000): Promise<T> {
    const outcome = this.watch(work);
    await this.until(() => outcome.settled, limitMs, 'the work is done');
    if (outcome.error !== undefined) throw outcome.error;
    return outcome.value as T; // it has settled without an error
  }
  async until(done: () => boolean, limitMs = 60_000, what = 'it has happened'): Promise<void> {
    if (!(await this.clock.runUntil(done, limitMs))) throw new Error(`not within ${limitMs} ms: ${what}`);
  }
  /** What it rejects with. */
  async refusal(work: Promise<unknown>, limitMs = 60_000): Promise<Error> {
    const outcome = this.watch(work);
    await this.until(() => outcome.settled, limitMs, 'the work is done');
    if (outcome.error === undefined) throw new Error(`resolved with ${JSON.stringify(outcome.value)}`);
    return outcome.error as Error; // what rejects here rejects with errors
  }

  /** Each fault goes to the first requests of its name, in order; undefined leaves one alone. */
  faults(name: FakeRequest['name'], ...faults: (FakeFault | undefined)[]): void {
    const before = this.cluster.script;
    this.cluster.script = (request) => (request.name === name ? faults.shift() : undefined) ?? before?.(request);
  }

  /** A process whose handlers never end would never close. */
  leave(log: KafkaProcess['log']): void {
    this.#processes.find((one) => one.log === log)?.gate.kill();
  }

  /** Closes everything; nothing may be left that keeps time going. */
  async close(): Promise<void> {
    this.cluster.script = this.cluster.refuse = undefined;
    const closing = this.watch(Promise.all(this.#processes.map((one) => one.close())));
    await this.until(() => closing.settled, 60_000, 'everything is closed');
    this.cluster.close();
  }
}

export const record = (value: string, partition = 0, key: string | null = null): Append => ({
  partition,
  key: key === null ? null : Buffer.from(key),
  value: Buffer.from(value),
  headers: {},
});
export const valuesOf = (records: readonly Stored[] = []): string[] =>
  records.map(({ value }) => Buffer.from(value ?? []).toString());
export const max = { messages: 1_000, bytes: 1_000_000 };
export const never: AbortSignal = new AbortController().signal;

/** An owner that keeps what it is given, and lets the test say when it has given. */
export class Holder implements Owner {
  readonly owned = new Map<number, Owned>();
  readonly ever: Owned[] = [];
  readonly giving: number[] = [];

  constructor(readonly drain: (partition: number) => Promise<void> = async () => undefined) {}

  take(owned: Owned): void {
    if (this.giving.includes(owned.partition)) throw new Error(`${owned.partition} was taken while it was given`);
    this.owned.set(owned.partition, owned);
    this.ever.push(owned);
    owned.lost.addEventListener('abort', () => {
      if (this.owned.get(owned.partition) === owned) this.owned.delete(owned.partition);
    });
  }
  async give(partition: number): Promise<void> {
    this.giving.push(partition);
    const mine = this.owned.get(partition);
    await this.drain(partition);
    if (this.owned.get(partition) === mine) this.owned.delete(partition);
    this.giving.splice(this.giving.indexOf(partition), 1);
  }
}
export const commitAt = (offset: number): Commit => ({ offset, state: new Uint8Array() });
