/** Fixtures of the queue tests: processes of a memory world that send to a queue and consume it. */
import { openNotices, type Notice } from '../../src/base/notices';
import { unchecked, work } from '../../src/contract/contract';
import { defineModule } from '../../src/contract/contract';
import type { AnyEntry, Schema } from '../../src/contract/types';
import { openScopes, type WorkContext } from '../../src/delivery/context';
import type { Run } from '../../src/delivery/deliver';
import { incarnation } from '../../src/format/id';
import { memoryWorld, virtualClock, type MemoryProcess, type MemoryWorld, type WorldOptions } from '../../src/memory';
import type { Append, Topic } from '../../src/ports/log';
import { openSender } from '../../src/work/submit';
import { consumeQueue } from '../../src/work/queue/consumer';
import { parkedTopic, workTopic } from '../../src/work/topics';
import type { Queue, RetryOptions, Sender, QueueConsumer, ConsumerParts } from '../../src/work/types';

export interface Job {
  readonly n: number;
  readonly key?: string;
}
export const jobs = (options: RetryOptions = {}, schema: Schema<Job> = unchecked<Job>()) =>
  defineModule('photos', { resize: work(schema, { key: (job: Job) => job.key ?? String(job.n), ...options }) });
export const loose = (options: RetryOptions = {}) =>
  defineModule('photos', { resize: work(unchecked<Job>(), { ...options }) });

export const topic: Topic = workTopic('t', 'photos');
export const parked: Topic = parkedTopic('t', 'photos');
export const group = 't.photos.work';

export type RunJob = (job: Job, context: WorkContext) => unknown;

export function workQueue(options: Partial<WorldOptions> = {}) {
  const clock = virtualClock();
  const world: MemoryWorld = memoryWorld({ clock, ...options });
  const notices: Notice[] = [];

  function sender(process: MemoryProcess, life = incarnation(world.random)): Sender {
    return openSender({
      clock: process.clock,
      random: world.random,
      notices: openNotices(),
      scopes: openScopes(),
      log: process.log,
      self: { module: 'web', instance: `web#${process.name}` },
      ns: 't',
      incarnation: life,
      reached: 'disk',
    });
  }

  async function take(
    process: MemoryProcess,
    entry: AnyEntry,
    run: RunJob,
    more: Partial<Queue> = {},
    parts: Partial<ConsumerParts> = {},
  ): Promise<QueueConsumer> {
    const told = openNotices();
    told.watch((notice) => notices.push(notice));
    const takeParts: ConsumerParts = {
      clock: process.clock,
      notices: told,
      scopes: openScopes(),
      middleware: [],
      log: process.log,
      random: { next: () => 0.999_999 }, // the longest possible wait
      self: { module: 'photos', instance: `photos#${process.name}` },
      version: '1.2.3',
      ...parts,
    };
    return consumeQueue(takeParts, {
      name: 'photos.work',
      topic,
      group,
      parkedTopic: parked,
      // The engine passes what the schema returned; these tests send only jobs.
      entries: new Map([[entry.name, { entry, run: run as Run }]]),
      other: 'hold',
      limits: () => ({ concurrency: 100 }),
      ...more,
    });
  }

  return {
    clock,
    world,
    notices,
    sender,
    take,
    process: (name: string) => world.process(name),
    of: <T extends Notice['type']>(type: T): Told<T>[] =>
      notices.filter((notice): notice is Told<T> => notice.type === type),
    /** All records of the parked topic. */
    async parkedNow(process: MemoryProcess) {
      const records = await process.log.peek(parked.name, { partition: 0, offset: 0 }, { messages: 1000, bytes: 1e9 });
      return records.map((record) => ({ ...record, note: JSON.parse(record.headers['parked'] ?? 'null') as Note }));
    },
    async append(process: MemoryProcess, ...records: Append[]) {
      await process.log.ensure(topic);
      return process.log.append(topic.name, records);
    },
    /** The progress of the group: the sums of its committed offsets and of the end offsets. */
    async progress(process: MemoryProcess) {
      const places = await process.log.committedOffsets(group, topic.name);
      const bounds = await process.log.bounds(topic.name);
      const sum = (numbers: number[]) => numbers.reduce((a, b) => a + b, 0);
      return { committed: sum(places.map(({ offset }) => offset)), end: sum(bounds.map(({ end }) => end)) };
    },
  };
}
export type Told<T extends Notice['type']> = Extract<Notice, { type: T }>;
export interface Note {
  readonly queue: string;
  readonly id: string;
  readonly entry: string;
  readonly reason: string;
  readonly attemptCount: number;
  readonly attempts: readonly { attempt: number; atMs: number; error: string; stack?: string; instance: string }[];
  readonly [other: string]: unknown;
}

/** Promises and their resolvers, by name. */
export function gates() {
  const open = new Map<string, { resolve: () => void; promise: Promise<void> }>();
  const gate = (name: string) => {
    let found = open.get(name);
    if (!found) {
      let resolve = (): void => undefined;
      const promise = new Promise<void>((done) => (resolve = done));
      open.set(name, (found = { resolve, promise }));
    }
    return found;
  };
  return {
    wait: (name: string) => gate(name).promise,
    open: (name: string) => gate(name).resolve(),
  };
}
