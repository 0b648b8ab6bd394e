/** `busbar drain` and the spool on real brokers: topics that are missing, smaller or deleted lose and park nothing. */
import { join } from 'node:path';
import { Kafka, logLevel } from 'kafkajs';
import { systemClock, systemRandom } from '../../src/base/clock';
import { BusError } from '../../src/base/errors';
import { openNotices } from '../../src/base/notices';
import { openKafkaLogOnly } from '../../src/kafka/open';
import type { Topic } from '../../src/ports/log';
import { kafkaSuite } from '../cluster/suite';
import { rows, shopCommand } from '../support/command';
import { until } from '../support/embedded-buses';
import { jobRecord, leaveSpool, openSpoolIn } from '../support/left-spool';

kafkaSuite('the drain of a spool on a cluster', (suite) => {
  let k: ReturnType<typeof shopCommand>;
  beforeEach(() => {
    k = shopCommand();
  });
  afterEach(() => k?.close());

  const topicOf = (module: string): Topic => {
    return { name: `${suite.namespace}.${module}.work`, partitions: 4, compacted: false, keepMs: null };
  };
  const dir = (): string => join(k.dir, 'spool');
  const drain = (more: Record<string, string> = {}) => {
    const args = ['drain', '--dir', dir(), '--ns', suite.namespace, '--brokers', suite.cluster.brokers];
    return k.run(args, { env: more });
  };
  function openLog() {
    const brokers = suite.cluster.brokers.split(',');
    const around = { clock: systemClock, random: systemRandom, notices: openNotices() };
    return openKafkaLogOnly({ ...around, ns: suite.namespace, name: 'test#1', brokers, topics: 'create' });
  }
  const admin = async <T>(run: (admin: ReturnType<Kafka['admin']>) => Promise<T>): Promise<T> => {
    const client = new Kafka({ brokers: suite.cluster.brokers.split(','), logLevel: logLevel.NOTHING }).admin();
    await client.connect();
    return run(client).finally(() => client.disconnect());
  };
  /** Returns the values in partition 0 of a topic. */
  async function values({ name }: Topic): Promise<readonly string[]> {
    const kafka = openLog();
    const { log } = kafka;
    try {
      if (!(await log.topics()).some((topic) => topic.name === name)) return [];
      const records = await log.peek(name, { partition: 0, offset: 0 }, { messages: 1_000, bytes: 1e6 });
      return records.map(({ value }) => Buffer.from(value ?? []).toString());
    } finally {
      await kafka.close();
    }
  }
  const bodies = (count: number): readonly string[] => Array.from({ length: count }, (_, n) => `{"n":${n + 1}}`);

  test('sends what waits in order, needs no ZooKeeper, and ends when it is empty', async () => {
    const topic = topicOf('shop');
    await leaveSpool(dir(), suite.namespace, topic, 0, 20);
    const sent = await drain();
    expect([sent.code, rows(sent.out)]).toMatchObject([0, [{ SENT: '20', LEFT: '0', REFUSED: '0' }]]);
    expect(await values(topic)).toEqual(bodies(20));
    expect(rows((await drain()).out)).toMatchObject([{ SENT: '0', LEFT: '0' }]);
    expect((await k.run(['spool', '--dir', dir()])).code).toBe(0);
  });

  test.each(['SIGINT', 'SIGKILL'] as const)(
    'is stopped by %s in the middle, and the next run sends the rest in order',
    async (signal) => {
      const topic = topicOf(signal.toLowerCase());
      const count = 60_000;
      const padding = 'x'.repeat(1_000);
      const away = new BusError('Unreachable', 'no answer', { outcome: 'not-sent', waitedMs: 1 });
      const { spool, close } = await openSpoolIn(dir(), suite.namespace, {
        ensure: () => Promise.reject(away),
        append: () => Promise.reject(away),
      });
      await spool.ensure(topic);
      for (let n = 0; n < count; n += 1_000) {
        const list = Array.from({ length: 1_000 }, (_, i) => jobRecord(n + i));
        await spool.append(
          topic.name,
          list.map((record) => ({ ...record, headers: { ...record.headers, padding } })),
        );
      }
      await close();

      const kafka = openLog();
      try {
        const args = ['drain', '--dir', dir(), '--ns', suite.namespace, '--brokers', suite.cluster.brokers];
        const running = k.start(args);
        const isThere = async (): Promise<boolean> =>
          (await kafka.log.topics()).some(({ name }) => name === topic.name);
        await until(
          async () => (await isThere()) && (await kafka.log.bounds(topic.name))[0]!.end > 0,
          60_000,
          'a list',
        );
        running.child.kill(signal);
        const { code, out } = await running.ended;
        const [{ SENT = '0', LEFT = '0' } = {}] = signal === 'SIGINT' ? rows(out) : [];
        if (signal === 'SIGINT') {
          expect([code, Number(SENT) + Number(LEFT)]).toEqual([130, count]);
          expect(Number(LEFT)).toBeGreaterThan(0);
        }
        const rest = await drain();
        const [{ SENT: sentThen = '' } = {}] = rows(rest.out);
        expect(rest.code).toBe(0);
        if (signal === 'SIGINT') expect(Number(sentThen)).toBe(Number(LEFT));

        const { end } = (await kafka.log.bounds(topic.name))[0]!;
        const numbers: number[] = [];
        for (let offset = 0; offset < end;) {
          const records = await kafka.log.peek(topic.name, { partition: 0, offset }, { messages: 5_000, bytes: 1e7 });
          for (const { value } of records) numbers.push((JSON.parse(String(value)) as { readonly n: number }).n);
          offset = (records.at(-1)?.offset ?? end) + 1;
        }
        let last = -1;
        const handled = numbers.filter((n) => n > last && (last = n) >= 0);
        expect(handled).toEqual(Array.from({ length: count }, (_, n) => n));
        if (signal === 'SIGINT') expect(numbers.length - count).toBeLessThanOrEqual(1_000); // a list in flight
      } finally {
        await kafka.close();
      }
    },
  );

  test("ends with the reason when topics: 'verify' does not create the topic, and keeps everything", async () => {
    const topic = topicOf('missing');
    await leaveSpool(dir(), suite.namespace, topic, 0, 3);
    const verified = await drain({ BUSBAR_TOPICS: 'verify' });
    expect([verified.code, rows(verified.out)]).toMatchObject([3, [{ SENT: '0', LEFT: '3', REFUSED: '0' }]]);
    expect(verified.err).toMatch(
      /3 messages cannot be sent: .* does not exist, and topics: 'verify' creates none\. Run/,
    );
    expect((await drain()).code).toBe(0);
    expect(await values(topic)).toEqual(bodies(3));
  });

  test('ends with the reason when the topic has fewer partitions, and keeps everything', async () => {
    const topic = topicOf('smaller');
    await admin((client) => client.createTopics({ topics: [{ topic: topic.name, numPartitions: 2 }] }));
    await leaveSpool(dir(), suite.namespace, topic, 0, 3);
    const { code, out, err } = await drain();
    expect([code, rows(out)]).toMatchObject([3, [{ SENT: '0', LEFT: '3', REFUSED: '0' }]]);
    expect(err).toMatch(/3 messages cannot be sent: .*partitions/);
    expect(await values(topic)).toEqual([]);
  });

  test('messages that wait for a topic that is deleted are sent after it was created again', async () => {
    const topic = topicOf('deleted');
    const kafka = openLog();
    const { spool, close } = await openSpoolIn(dir(), suite.namespace, kafka.log);
    try {
      await spool.ensure(topic);
      await spool.forwarded(topic.name, await spool.append(topic.name, [jobRecord(0)]), 60_000);
      await admin((client) => client.deleteTopics({ topics: [topic.name] }));
      for (let n = 1; n <= 10; n++) await spool.append(topic.name, [jobRecord(n)]);
      await until(async () => (await values(topic)).length >= 10, 60_000, 'the arrival');
      const arrived = (await values(topic)).filter((value, n, all) => all.indexOf(value) === n);
      expect(arrived.filter((value) => value !== '{"n":0}')).toEqual(bodies(10));
    } finally {
      await close();
      await kafka.close();
    }
    expect(JSON.parse((await k.run(['spool', '--dir', dir(), '-o', 'json'])).out)).toMatchObject({ parked: [] });
  });
});
