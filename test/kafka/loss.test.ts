import { openNotices } from '../../src/base/notices';
import { partitionOf } from '../../src/format/partition';
import { openScopes, type WorkContext } from '../../src/delivery/context';
import type { Run } from '../../src/delivery/deliver';
import { incarnation } from '../../src/format/id';
import { seededRandom } from '../../src/memory/clock';
import { openSender } from '../../src/work/submit';
import { consumeQueue } from '../../src/work/queue/consumer';
import type { Stored, Tail } from '../../src/ports/log';
import { group, jobs, parked, topic } from '../support/work-queue';
import { FakeKafka, max, record, valuesOf } from '../support/fake-kafka-log';
import type { KafkaProcess } from '../support/kafka-log-ports';

let kafka: FakeKafka;
beforeEach(() => (kafka = new FakeKafka()));
afterEach(() => kafka.close());

const { resize } = jobs();
/** Keys of jobs in one partition, each with its own lane. */
const partition = 3;
const isThere = (key: string): boolean => partitionOf(Buffer.from(key), topic.partitions) === partition;
const keys = Array.from({ length: 1_000 }, (_, n) => `${n}`).filter(isThere);
const job = (n: number) => ({ n, key: keys[n]! });
const around = (one: KafkaProcess) => ({
  clock: { ...kafka.clock, now: () => Math.round(kafka.clock.now()) }, // in whole milliseconds, as on a real machine
  random: { next: () => 0.5 },
  notices: openNotices(),
  scopes: openScopes(),
  log: one.log,
});

/** Opens a queue that one process consumes, and to which another one submits. */
async function openQueue(run: (n: number, signal: AbortSignal) => unknown = () => undefined) {
  const [one, two] = [kafka.process('one'), kafka.process('two')];
  await kafka.run(one.log.ensure(topic));
  await kafka.run(one.log.ensure(parked));
  const handled: number[] = [];
  const dropped: string[] = [];
  const parts = {
    ...around(one),
    middleware: [],
    self: { module: 'photos', instance: 'photos#one' },
    version: '1.2.3',
  };
  parts.notices.watch((notice) => void (notice.type === 'dropped' && dropped.push(notice.what)));
  const handle = async (job: { n: number }, { signal }: WorkContext): Promise<void> => {
    await run(job.n, signal);
    handled.push(job.n);
  };
  // The engine passes on what the schema returned, and this test submits jobs and nothing else.
  const entries = new Map([[resize.name, { entry: resize, run: handle as Run }]]);
  const limits = () => ({ concurrency: 100 });
  const queue = { name: 'photos.work', topic, group, parkedTopic: parked, entries, other: 'hold' as const, limits };
  const taken = await kafka.run(consumeQueue(parts, queue));
  const self = { module: 'web', instance: 'web#two' };
  const sender = openSender({
    ...around(two),
    self,
    ns: 't',
    incarnation: incarnation(seededRandom(5)),
    reached: 'broker',
  });
  const submit = (from: number, to: number) =>
    kafka.run(
      sender.send(
        resize,
        Array.from({ length: to - from }, (_, i) => job(from + i)),
      ),
    );
  const committed = () => kafka.cluster.group(group).offsets.get(`${topic.name}/${partition}`)?.offset;
  return { handled, dropped, sender, submit, committed, taken };
}
const log = () => kafka.cluster.partition({ topic: topic.name, partition });
/** Truncates the log, as when a replica that ends at `end` is elected. */
function cut(end: number): void {
  log().records.splice(end);
  log().end = end;
}

describe('work after the log has lost acknowledged records', () => {
  it('handles each record that replaces the lost ones once, however soon it arrives', async () => {
    const { handled, dropped, submit, committed, taken } = await openQueue();
    await submit(0, 5);
    await kafka.until(() => committed() === 5);
    cut(2);
    await kafka.clock.advance(600); // the consumer detects the loss
    await submit(5, 11);
    await kafka.until(() => handled.length === 11);
    await kafka.clock.advance(30_000);
    expect(handled.toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    expect([log().end, committed()]).toEqual([8, 8]);
    expect(dropped).toEqual([expect.stringContaining(`${topic.name}/${partition}/2 and later`)]);
    await kafka.run(taken.close());
  });

  it('commits the new end of the log when no record replaces the lost ones', async () => {
    const { handled, submit, committed, taken } = await openQueue();
    await submit(0, 5);
    await kafka.until(() => committed() === 5);
    cut(2);
    await kafka.clock.advance(10_000);
    expect(committed()).toBe(2);
    await submit(5, 8);
    await kafka.until(() => handled.length === 8);
    expect(handled.toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    await kafka.run(taken.close());
  });

  it('repeats only remaining records that were not settled', async () => {
    let stuck = true;
    const { handled, submit, committed, taken } = await openQueue(
      (n, signal) =>
        n === 0 &&
        stuck &&
        new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('lost')))),
    );
    await submit(0, 5);
    await kafka.until(() => handled.length === 4);
    await kafka.clock.advance(2_000);
    expect(committed()).toBe(0);
    cut(2);
    stuck = false;
    await kafka.clock.advance(10_000);
    await submit(5, 8);
    await kafka.until(() => handled.length === 8);
    await kafka.clock.advance(10_000);
    expect(handled.toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect(committed()).toBe(5);
    await kafka.run(taken.close());
  });

  it('handles a record that was lost unacknowledged before its handling when its sender resends it', async () => {
    let open = (): void => undefined;
    const gate = new Promise<void>((go) => (open = go));
    const { handled, dropped, sender, submit, committed, taken } = await openQueue((n) => n < 2 && gate);
    await submit(0, 1);
    kafka.faults('produce', 'lost');
    const later = kafka.watch(sender.send(resize, [job(1)]));
    await kafka.until(() => log().end === 2);
    await kafka.clock.advance(2_000);
    cut(1);
    await kafka.clock.advance(8_000);
    open();
    await kafka.until(() => later.settled);
    await kafka.until(() => committed() === 2);
    expect(later.error).toBeUndefined();
    expect(handled).toContain(1);
    expect(dropped).toEqual([expect.stringContaining(`${topic.name}/${partition}/1 and later`)]);
    await kafka.run(taken.close());
  });

  it('neither repeats nor skips a record while a restarted leader has an outdated high watermark', async () => {
    const { handled, dropped, submit, committed, taken } = await openQueue();
    await submit(0, 5);
    await kafka.until(() => committed() === 5);
    log().high = 1;
    await kafka.clock.advance(8_000);
    delete log().high;
    await submit(5, 8);
    await kafka.until(() => handled.length === 8);
    await kafka.clock.advance(10_000);
    expect([handled.toSorted((a, b) => a - b), dropped, committed()]).toEqual([[0, 1, 2, 3, 4, 5, 6, 7], [], 8]);
    await kafka.run(taken.close());
  });

  it('ignores the truncated log of a broker that no longer leads', async () => {
    const { handled, dropped, submit, committed, taken } = await openQueue();
    await submit(0, 5);
    await kafka.until(() => committed() === 5);
    const leader = log().leader;
    const whole = [...log().records];
    cut(2); // the log of that broker, which was partitioned from the others
    await kafka.clock.advance(700);
    Object.assign(log(), { records: whole, end: 5, leader: (leader! % 3) + 1 });
    await submit(5, 8);
    await kafka.until(() => handled.length === 8);
    await kafka.clock.advance(10_000);
    expect([handled.toSorted((a, b) => a - b), dropped, committed()]).toEqual([[0, 1, 2, 3, 4, 5, 6, 7], [], 8]);
    await kafka.run(taken.close());
  });
});

describe('work on a recreated topic', () => {
  /** Deletes the topic, recreates it after `awayMs`, and submits these jobs to the partition. */
  async function remake(awayMs: number, from: number, to: number): Promise<void> {
    const made = kafka.cluster.topics.get(topic.name)!;
    kafka.cluster.topics.delete(topic.name);
    await kafka.clock.advance(awayMs);
    kafka.cluster.topics.set(topic.name, made);
    cut(0);
    await sendJobs(from, to);
  }
  async function sendJobs(from: number, to: number): Promise<void> {
    const three = kafka.process('three');
    const sender = openSender({
      ...around(three),
      self: { module: 'web', instance: 'web#three' },
      ns: 't',
      incarnation: incarnation(seededRandom(9)),
      reached: 'broker',
    });
    const jobsOf = Array.from({ length: to - from }, (_, i) => job(from + i));
    await kafka.run(sender.send(resize, jobsOf));
  }

  it('handles records below its committed offset when the topic outgrew that before a fetch', async () => {
    const { handled, submit, committed, taken } = await openQueue();
    await submit(0, 3);
    await kafka.until(() => committed() === 3);
    kafka.cluster.script = ({ name, client }) => (name === 'fetch' && client === 'one' ? { delayMs: 400 } : undefined);
    await remake(2_000, 3, 9);
    kafka.cluster.script = undefined;
    await kafka.until(() => handled.length === 9);
    await kafka.clock.advance(10_000);
    expect(handled.toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
    expect(committed()).toBe(6);
    await kafka.run(taken.close());
  });

  it('handles all its records when no consumer ran meanwhile', async () => {
    const { submit, committed, taken } = await openQueue();
    await submit(0, 5);
    await kafka.until(() => committed() === 5);
    await kafka.run(taken.close());
    await remake(2_000, 5, 12);
    const { handled, taken: next } = await openQueue();
    await kafka.until(() => handled.length === 7);
    await kafka.clock.advance(10_000);
    expect(handled.toSorted((a, b) => a - b)).toEqual([5, 6, 7, 8, 9, 10, 11]);
    expect(committed()).toBe(7);
    await kafka.run(next.close());
  });

  it('repeats and skips no record when the topic was only hidden for a second', async () => {
    const { handled, dropped, submit, committed, taken } = await openQueue();
    await submit(0, 5);
    await kafka.until(() => committed() === 5);
    const made = kafka.cluster.topics.get(topic.name)!;
    kafka.cluster.topics.delete(topic.name);
    await kafka.clock.advance(1_000);
    kafka.cluster.topics.set(topic.name, made);
    await submit(5, 8);
    await kafka.until(() => handled.length === 8);
    await kafka.clock.advance(10_000);
    expect([handled.toSorted((a, b) => a - b), dropped, committed()]).toEqual([[0, 1, 2, 3, 4, 5, 6, 7], [], 8]);
    await kafka.run(taken.close());
  });
});

describe('a tail after the log has lost records that it read', () => {
  async function read(tail: Tail, count: number): Promise<string[]> {
    const found: Stored[] = [];
    while (found.length < count) found.push(...(await kafka.run(tail.read(max))));
    return valuesOf(found);
  }
  const append = (one: KafkaProcess, ...values: string[]) =>
    kafka.run(
      one.log.append(
        topic.name,
        values.map((value) => record(value, partition)),
      ),
    );
  async function openTail() {
    const one = kafka.process('one');
    await kafka.run(one.log.ensure(topic));
    const tail = await kafka.run(one.log.tail(topic.name, 'start'));
    await append(one, 'a', 'b', 'c', 'd', 'e');
    expect(await read(tail, 5)).toEqual(['a', 'b', 'c', 'd', 'e']);
    return { one, tail };
  }

  it.each([
    ['immediately', 600],
    ['later', 10_000],
  ])('rejects with OutOfRangeError and returns each replacement that arrives %s once', async (_, afterMs) => {
    const { one, tail } = await openTail();
    cut(2);
    const told = kafka.watch(tail.read(max));
    await kafka.clock.advance(afterMs);
    await append(one, 'C', 'D', 'E', 'F');
    await kafka.until(() => told.settled);
    expect(told.error).toMatchObject({ name: 'OutOfRangeError', from: 5, end: 2, next: 2 });
    expect(await read(tail, 4)).toEqual(['C', 'D', 'E', 'F']);
  });

  it('returns all records of a recreated topic', async () => {
    const { one, tail } = await openTail();
    const told = kafka.watch(tail.read(max));
    const made = kafka.cluster.topics.get(topic.name)!;
    kafka.cluster.topics.delete(topic.name);
    await kafka.clock.advance(2_000);
    kafka.cluster.topics.set(topic.name, made);
    cut(0);
    const two = kafka.process('two');
    await append(two, 'A', 'B');
    await kafka.until(() => told.settled);
    expect(told.error).toMatchObject({ next: 0 });
    expect(await read(tail, 2)).toEqual(['A', 'B']);
    const again = kafka.watch(tail.read(max));
    cut(1); // an ordinary loss: the topic was not recreated again
    await kafka.clock.advance(10_000);
    await append(two, 'b');
    await kafka.until(() => again.settled);
    expect(again.error).toMatchObject({ next: 1 });
    expect(await read(tail, 1)).toEqual(['b']);
    await kafka.run(one.log.close());
  });
});
