/** Brokers in memory on virtual time, which passes only when a test advances it: for tests of single rules. */

import { openNotices, type Notices } from '../../src/base/notices';
import type { KafkaLogParts } from '../../src/kafka/log';
import { ClusterMetadata } from '../../src/kafka/cluster/metadata';
import { promisesRunOut, seededRandom, virtualClock, type VirtualClock } from '../../src/memory/clock';
import type { Append, Commit, OwnedPartition, Owner, Stored, Topic } from '../../src/ports/log';
import { FakeCluster, type FakeFault, type FakeRequest } from './fake-cluster';
import { openProcess, type KafkaProcess } from './kafka-log-ports';

/** State of a watched promise. */
export interface Outcome<T> {
  value: T | undefined;
  error: unknown;
  settled: boolean;
}

/** Lets promises settle twice, because the producer waits for an additional tick in between. */
async function ranOut(): Promise<void> {
  await promisesRunOut();
  await promisesRunOut();
}

export class FakeKafka {
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
  /** Opens cluster metadata for a component that a test opens without a process. */
  view(name: string, notices: Notices = openNotices()): ClusterMetadata {
    const { clock } = this;
    return new ClusterMetadata({ client: this.cluster.wire(name), clock, random: seededRandom(3), notices });
  }
  /** Opens a process with a producer id, and creates a topic. */
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
  /** Advances time until the work settles. Throws when it does not within `limitMs`. */
  async run<T>(work: Promise<T>, limitMs = 60_000): Promise<T> {
    const outcome = this.watch(work);
    await this.until(() => outcome.settled, limitMs, 'the work is done');
    if (outcome.error !== undefined) throw outcome.error;
    return outcome.value as T; // it has settled without an error
  }
  async until(done: () => boolean, limitMs = 60_000, what = 'it has happened'): Promise<void> {
    if (!(await this.clock.runUntil(done, limitMs))) throw new Error(`not within ${limitMs} ms: ${what}`);
  }
  /** Returns the error with which the work rejects. */
  async refusal(work: Promise<unknown>, limitMs = 60_000): Promise<Error> {
    const outcome = this.watch(work);
    await this.until(() => outcome.settled, limitMs, 'the work is done');
    if (outcome.error === undefined) throw new Error(`resolved with ${JSON.stringify(outcome.value)}`);
    return outcome.error as Error; // the code under test rejects with errors
  }

  /** Applies the faults in order to the next requests of this name; undefined is no fault. */
  faults(name: FakeRequest['name'], ...faults: (FakeFault | undefined)[]): void {
    const before = this.cluster.script;
    this.cluster.script = (request) => (request.name === name ? faults.shift() : undefined) ?? before?.(request);
  }

  /** Kills a process whose handlers never end, because it would never close. */
  leave(log: KafkaProcess['log']): void {
    this.#processes.find((one) => one.log === log)?.gate.kill();
  }

  /** Closes all processes and the cluster. No timer may remain. */
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

/** An owner that keeps its assigned partitions, and lets the test decide when a revoked one is released. */
export class Holder implements Owner {
  readonly owned = new Map<number, OwnedPartition>();
  readonly ever: OwnedPartition[] = [];
  readonly giving: number[] = [];

  constructor(readonly drain: (partition: number) => Promise<void> = async () => undefined) {}

  onAssigned(owned: OwnedPartition): void {
    if (this.giving.includes(owned.partition)) throw new Error(`${owned.partition} was taken while it was given`);
    this.owned.set(owned.partition, owned);
    this.ever.push(owned);
    owned.lost.addEventListener('abort', () => {
      if (this.owned.get(owned.partition) === owned) this.owned.delete(owned.partition);
    });
  }
  async onRevoked(partition: number): Promise<void> {
    this.giving.push(partition);
    const mine = this.owned.get(partition);
    await this.drain(partition);
    if (this.owned.get(partition) === mine) this.owned.delete(partition);
    this.giving.splice(this.giving.indexOf(partition), 1);
  }
}
export const commitAt = (offset: number): Commit => ({ offset, state: new Uint8Array() });
