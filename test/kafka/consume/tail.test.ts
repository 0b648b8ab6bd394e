import { OutOfRangeError, type Stored, type Tail } from '../../../src/ports/log';
import type { Notice } from '../../../src/base/notices';
import { Fetcher } from '../../../src/kafka/consume/fetcher';
import { openTail } from '../../../src/kafka/consume/tail';
import type { FetchRequest } from '../../../src/kafka/protocol/types';
import { FakeKafka, Holder, max, never, record, valuesOf } from '../../support/fake-kafka-log';

let kafka: FakeKafka;
beforeEach(() => (kafka = new FakeKafka()));
afterEach(() => kafka.close());

async function read(tail: Tail, count: number): Promise<Stored[]> {
  const found: Stored[] = [];
  while (found.length < count) found.push(...(await kafka.run(tail.read(max))));
  return found;
}
/** Returns node, connection, number of partitions and maximum wait of each fetch so far. */
const fetches = () =>
  kafka.cluster.asked('fetch').map(({ node, channel, args }) => {
    const { partitions, maxWaitMs } = args[0] as FetchRequest;
    return { node, channel, partitions: partitions.length, maxWaitMs };
  });

describe('a tail', () => {
  it('fetches all partitions of a leader in one request, on the connection for tails', async () => {
    const { log, topic } = await kafka.open(9);
    const tail = await kafka.run(log.tail(topic, 'start'));
    const reading = kafka.watch(tail.read(max));
    await kafka.clock.advance(400);
    expect(fetches().toSorted((a, b) => a.node - b.node)).toEqual(
      [1, 2, 3].map((node) => ({ node, channel: 'tails', partitions: 3, maxWaitMs: 500 })),
    );
    await kafka.run(log.append(topic, [record('a', 4)]));
    await kafka.clock.advance(5);
    expect(valuesOf(reading.value)).toEqual(['a']);
  });

  it('fetches nothing before the first read, and closes without waiting for a fetch', async () => {
    const { log, topic } = await kafka.open();
    const tail = await kafka.run(log.tail(topic, 'start'));
    await kafka.clock.advance(1_000);
    expect(fetches()).toEqual([]);
    const reading = kafka.watch(tail.read(max));
    await kafka.clock.advance(100);
    const beganMs = kafka.clock.mono();
    await kafka.run(tail.close());
    await kafka.run(log.close());
    expect(reading).toMatchObject({ settled: true, value: [] });
    expect(kafka.clock.mono()).toBe(beganMs);
  });

  it('is rejected with Closed when the log closes during opening, like a joining member', async () => {
    const { topic } = await kafka.open();
    kafka.cluster.script = () => ({ delayMs: 100 });
    const one = kafka.process('two');
    const tail = kafka.watch(one.log.tail(topic, 'end'));
    const member = kafka.watch(one.log.join('g', topic, new Holder()));
    await kafka.clock.advance(50);
    await kafka.run(one.log.close());
    await kafka.until(() => tail.settled && member.settled);
    expect([tail.error, member.error]).toMatchObject([{ code: 'Closed' }, { code: 'Closed' }]);
    await kafka.clock.advance(60_000);
    expect(kafka.cluster.asked('joinGroup')).toEqual([]);
  });

  it('leaves a leader that does not know of its replacement within 32 s', async () => {
    const { log, topic } = await kafka.open();
    const tail = await kafka.run(kafka.process('reader').log.tail(topic, 'start'));
    const reading = kafka.watch(tail.read(max));
    await kafka.clock.advance(1_000);
    kafka.cluster.cutOff = 1;
    kafka.cluster.lead(topic, 0, 2);
    await kafka.run(log.append(topic, [record('new')]));
    await kafka.clock.advance(32_000);
    expect(valuesOf(reading.value)).toEqual(['new']);
  });

  it('skips and repeats no record while leaders move, die and freeze', async () => {
    const { log, topic } = await kafka.open(3);
    const reader = kafka.process('reader');
    const tail = await kafka.run(reader.log.tail(topic, 'start'));
    const found: Stored[] = [];
    let reading = true;
    const loop = (async () => {
      while (reading) found.push(...(await tail.read(max)));
    })();
    let sent = 0;
    const send = async (): Promise<void> => {
      for (let n = 0; n < 20; n++) await kafka.run(log.append(topic, [record(`${sent}`, sent++ % 3)]), 120_000);
    };
    const { cluster } = kafka;
    await send();
    cluster.lead(topic, 0, 2);
    await send();
    cluster.kill(2);
    await send();
    cluster.start(2);
    cluster.lead(topic, 1, 2);
    await send();
    cluster.freeze(2);
    cluster.moveFrom(2);
    await send();
    cluster.thaw(2);
    cluster.lead(topic, 2, 2);
    await send();
    await kafka.until(() => found.length >= sent);
    reading = false;
    await kafka.run(Promise.all([tail.close(), loop]));
    for (let partition = 0; partition < 3; partition++) {
      const offsets = found.filter((one) => one.partition === partition).map(({ offset }) => offset);
      expect(offsets).toEqual(Array.from({ length: cluster.partition({ topic, partition }).end }, (_, n) => n));
    }
  });

  it('reads from the new leader within 200 ms after the old one died', async () => {
    const { log, topic } = await kafka.open();
    const tail = await kafka.run(log.tail(topic, 'start'));
    const reading = kafka.watch(tail.read(max));
    await kafka.clock.advance(100);
    kafka.cluster.kill(1);
    await kafka.run(log.append(topic, [record('a')]));
    const beganMs = kafka.clock.mono();
    await kafka.until(() => reading.settled);
    expect(kafka.clock.mono() - beganMs).toBeLessThan(200);
  });

  it('returns to each of several tails of one partition all records behind its own offset', async () => {
    const { log, topic } = await kafka.open();
    for (let n = 0; n < 10; n++) await kafka.run(log.append(topic, [record(`${n}`)]));
    const early = await kafka.run(log.tail(topic, 'start'));
    const late = await kafka.run(log.tail(topic, 'end'));
    const middle = await kafka.run(log.tail(topic, [{ partition: 0, offset: 5 }]));
    const waiting = kafka.watch(late.read({ messages: 1, bytes: 1 }));
    const [all, some] = [await read(early, 10), await read(middle, 5)];
    expect([valuesOf(all).length, valuesOf(some)[0]]).toEqual([10, '5']);
    const reads = [early, middle].map((tail) => kafka.watch(tail.read(max)));
    await kafka.clock.advance(2_000); // one request now serves all three
    await kafka.run(log.append(topic, [record('new')]));
    const beganMs = kafka.clock.mono();
    await kafka.until(() => waiting.settled && reads.every(({ settled }) => settled));
    expect(kafka.clock.mono() - beganMs).toBeLessThan(50);
    const news = [...reads, waiting].map(({ value }) => value?.[0]);
    expect(news.map((one) => valuesOf(one && [one]))).toEqual([['new'], ['new'], ['new']]);
    news[0]!.value!.fill(0);
    expect(news.slice(1).map((one) => valuesOf(one && [one]))).toEqual([['new'], ['new']]);
  });

  it('reads existing records without waiting for the long poll of another tail', async () => {
    const { log, topic } = await kafka.open();
    await kafka.run(log.append(topic, [record('a')]));
    const idle = await kafka.run(log.tail(topic, 'end'));
    void idle.read(max);
    await kafka.clock.advance(100);
    const fresh = await kafka.run(log.tail(topic, 'start'));
    const beganMs = kafka.clock.mono();
    expect(valuesOf(await read(fresh, 1))).toEqual(['a']);
    expect(kafka.clock.mono() - beganMs).toBeLessThan(20);
  });

  it('rejects with OutOfRangeError when its offset was trimmed, and continues at the start', async () => {
    const { log, topic } = await kafka.open();
    for (let n = 0; n < 4; n++) await kafka.run(log.append(topic, [record(`${n}`)]));
    const tail = await kafka.run(log.tail(topic, [{ partition: 0, offset: 1 }]));
    await kafka.run(log.trim(topic, 0, 3));
    const error = await kafka.refusal(tail.read(max));
    expect(error).toBeInstanceOf(OutOfRangeError);
    expect(error).toMatchObject({ from: 1, start: 3 });
    expect(valuesOf(await read(tail, 1))).toEqual(['3']);
  });

  it('rejects with OutOfRangeError only when the end of the log stays below its offset', async () => {
    const { log, topic, heard } = await kafka.open();
    await kafka.run(log.append(topic, [record('a'), record('b')]));
    const tail = await kafka.run(log.tail(topic, [{ partition: 0, offset: 2 }]));
    const partition = kafka.cluster.partition({ topic, partition: 0 });
    partition.end = 1;
    const reading = kafka.watch(tail.read(max));
    await kafka.clock.advance(2_000);
    expect(reading.settled).toBe(false);
    partition.end = 2;
    kafka.cluster.lead(topic, 0, 2);
    await kafka.run(log.append(topic, [record('c')]));
    await kafka.until(() => reading.settled);
    expect(valuesOf(reading.value)).toEqual(['c']);
    // The topic was deleted and recreated.
    Object.assign(partition, { records: [], start: 0, end: 0 });
    expect(await kafka.refusal(tail.read(max))).toBeInstanceOf(OutOfRangeError);
    expect(heard.some((notice) => notice.type === 'log' && notice.message.includes('the topic recreated'))).toBe(true);
    await kafka.run(log.append(topic, [record('d')]));
    expect(valuesOf(await read(tail, 1))).toEqual(['d']);
  });

  it('skips a batch that cannot be decoded, with a notice', async () => {
    const { log, topic, heard } = await kafka.open();
    await kafka.run(log.append(topic, [record('a'), record('bad'), record('c')]));
    kafka.cluster.spoil = { topic, partition: 0, offset: 1, until: 2, code: 'UNDECODABLE' };
    const tail = await kafka.run(log.tail(topic, 'start'));
    expect(valuesOf(await read(tail, 2))).toEqual(['a', 'c']);
    expect(heard.find(({ type }) => type === 'dropped')).toMatchObject({ what: `${topic}/0/1-1` });
    expect(valuesOf(await kafka.run(log.peek(topic, { partition: 0, offset: 1 }, max)))).toEqual(['c']);
  });

  it('returns an error that no retry resolves to the reader, which alone reports it', async () => {
    const { log, topic, heard } = await kafka.open();
    await kafka.run(log.append(topic, [record('a')]));
    kafka.cluster.faultOfReads = 'INVALID_REQUEST';
    const tail = await kafka.run(log.tail(topic, 'start'));
    for (let n = 0; n < 5; n++) expect(String(await kafka.refusal(tail.read(max)))).toContain('INVALID_REQUEST');
    await kafka.clock.advance(5_000);
    expect(heard.filter(({ type }) => type === 'state')).toEqual([]);
    kafka.cluster.faultOfReads = undefined;
    await kafka.refusal(tail.read(max)); // received before
    expect(valuesOf(await read(tail, 1))).toEqual(['a']);
  });

  const reads = (tail: Tail) => {
    const [found, errors]: [string[], unknown[]] = [[], []];
    void (async () => {
      for (let n = 0; n < 100; n++) {
        await tail.read(max).then(
          (records) => found.push(...valuesOf(records)),
          (error: unknown) => errors.push(error),
        );
      }
    })();
    return { found, errors };
  };

  it.each([3, 2 ** 29 + 5])(
    'reads damaged records once they arrive intact, although the damage seemed to end at %d',
    async (until) => {
      const { log, topic, heard } = await kafka.open();
      const values = Array.from({ length: 10 }, (_, n) => `${n}`);
      await kafka.run(
        log.append(
          topic,
          values.map((value) => record(value)),
        ),
      );
      const tail = await kafka.run(log.tail(topic, 'start'));
      kafka.cluster.spoil = { topic, partition: 0, offset: 2, until };
      const { found, errors } = reads(tail);
      await kafka.clock.advance(30_000);
      expect(found).toEqual(['0', '1']);
      expect(states(heard)).toEqual([[`reading ${topic}`, false, expect.stringContaining('bad bytes')]]);
      kafka.cluster.spoil = undefined;
      await kafka.clock.advance(5_000);
      expect([found, errors]).toEqual([values, []]);
      expect(states(heard).slice(1)).toEqual([[`reading ${topic}`, true, expect.any(String)]]);
      expect(heard.filter(({ type }) => type === 'dropped')).toEqual([]);
      await kafka.run(tail.close());
    },
  );

  it('skips a damaged record with a notice only after it was damaged for a minute', async () => {
    const { log, topic, heard } = await kafka.open();
    await kafka.run(
      log.append(
        topic,
        ['a', 'b', 'c', 'd'].map((value) => record(value)),
      ),
    );
    const tail = await kafka.run(log.tail(topic, 'start'));
    kafka.cluster.spoil = { topic, partition: 0, offset: 1, until: 2 };
    const { found } = reads(tail);
    await kafka.until(() => heard.some(({ type }) => type === 'dropped'), 70_000);
    expect(kafka.clock.mono()).toBeGreaterThan(60_000);
    kafka.cluster.spoil = { topic, partition: 0, offset: 2, until: 3 };
    await kafka.clock.advance(50_000);
    kafka.cluster.spoil = undefined;
    await kafka.clock.advance(5_000);
    expect(found).toEqual(['a', 'c', 'd']);
    expect(heard.filter(({ type }) => type === 'dropped')).toMatchObject([{ what: `${topic}/0/1-1` }]);
    await kafka.run(tail.close());
  });

  it('skips a damaged record of an inbox after two seconds, since callers wait behind it', async () => {
    const { log, topic } = await kafka.open();
    await kafka.run(
      log.append(
        topic,
        ['a', 'b', 'c'].map((value) => record(value)),
      ),
    );
    const metadata = kafka.view('inbox');
    await kafka.run(metadata.findTopic(topic));
    const fetcher = new Fetcher(metadata, 'inbox');
    const tail = openTail(fetcher, [{ topic, partition: 0, offset: 0 }], () => undefined);
    const { found } = reads(tail);
    kafka.cluster.spoil = { topic, partition: 0, offset: 1, until: 2 };
    await kafka.clock.advance(1_500);
    expect(found).toEqual(['a']);
    await kafka.clock.advance(1_500);
    expect(found).toEqual(['a', 'c']);
    await kafka.run(fetcher.close());
    await kafka.run(tail.close());
    metadata.close();
  });

  it('retries a peek at a damaged record, and skips it only if the damage persists', async () => {
    const { log, topic } = await kafka.open();
    await kafka.run(log.append(topic, [record('a'), record('b')]));
    kafka.cluster.spoil = { topic, partition: 0, offset: 0, until: 1 };
    const look = () => log.peek(topic, { partition: 0, offset: 0 }, max);
    expect(valuesOf(await kafka.run(look()))).toEqual(['b']);
    const seen = kafka.watch(look());
    await kafka.clock.advance(5);
    kafka.cluster.spoil = undefined;
    await kafka.until(() => seen.settled);
    expect(valuesOf(seen.value)).toEqual(['a', 'b']);
  });

  it('skips a batch of an unsupported compression, while a group stays at it', async () => {
    const { log, topic, heard } = await kafka.open();
    await kafka.run(
      log.append(
        topic,
        ['a', 'b', 'c'].map((value) => record(value)),
      ),
    );
    kafka.cluster.spoil = { topic, partition: 0, offset: 1, until: 2, code: 'UNSUPPORTED_COMPRESSION_TYPE' };
    const tail = await kafka.run(log.tail(topic, 'start'));
    expect(valuesOf(await read(tail, 2))).toEqual(['a', 'c']);
    expect(heard.filter(({ type }) => type === 'dropped')).toMatchObject([{ what: `${topic}/0/1-1` }]);
    const holder = new Holder();
    await kafka.run(log.join('g', topic, holder));
    await kafka.until(() => holder.owned.has(0));
    const owned = holder.owned.get(0)!;
    for (let n = 0; n < 3; n++) {
      expect(await kafka.refusal(owned.read(1, max, never))).toMatchObject({ code: 'Config' });
    }
    kafka.cluster.spoil = undefined; // a Node version that supports it
    expect(valuesOf(await kafka.run(owned.read(1, max, never)))).toEqual(['b', 'c']);
    expect(heard.filter(({ type }) => type === 'dropped')).toHaveLength(1);
  });

  it('stops fetching while its reader does not read, and continues with the next read', async () => {
    const { log, topic } = await kafka.open();
    for (let n = 0; n < 40; n++) await kafka.run(log.append(topic, [record('x'.repeat(100_000))]));
    const tail = await kafka.run(log.tail(topic, 'start'));
    const [first] = await kafka.run(tail.read({ messages: 1, bytes: 1 }));
    expect(first?.offset).toBe(0);
    await kafka.clock.advance(5_000);
    const fetched = fetches().length;
    await kafka.clock.advance(5_000);
    expect(fetches().length).toBe(fetched);
    expect(fetched).toBeLessThan(4);
    expect(await read(tail, 39)).toHaveLength(39);
  });

  it('rejects a read with NotAllowed without the right, and retries with the next read', async () => {
    const { log, topic } = await kafka.open();
    kafka.faults('fetch', { error: 'TOPIC_AUTHORIZATION_FAILED' });
    const tail = await kafka.run(log.tail(topic, 'start'));
    expect(await kafka.refusal(tail.read(max))).toMatchObject({ code: 'NotAllowed' });
    await kafka.run(log.append(topic, [record('a')]));
    expect(valuesOf(await read(tail, 1))).toEqual(['a']);
  });

  const states = (heard: readonly Notice[]) =>
    heard.flatMap((notice) => (notice.type === 'state' ? [[notice.part, notice.ok, notice.reason]] : []));

  it('gives a slow broker more time, requests fewer bytes from it, and reports its state', async () => {
    const { log, topic, heard } = await kafka.open();
    await kafka.run(log.append(topic, [record('a')]));
    kafka.cluster.script = ({ name }) => (name === 'fetch' ? { delayMs: 6_000 } : undefined);
    const tail = await kafka.run(log.tail(topic, 'start'));
    const reading = kafka.watch(tail.read(max));
    await kafka.until(() => reading.settled, 30_000);
    expect(valuesOf(reading.value)).toEqual(['a']);
    const [first, second] = kafka.cluster.asked('fetch').map(({ args }) => (args[0] as FetchRequest).bytesMax);
    expect(second).toBeLessThan(first! / 2);
    expect(states(heard)).toEqual([
      [`reading ${topic}`, false, expect.stringContaining(`${topic}/0 could not be read`)],
      [`reading ${topic}`, true, expect.any(String)],
    ]);
    // When the broker is fast again, the original size is requested.
    kafka.cluster.script = undefined;
    for (let n = 0; n < 6; n++) {
      await kafka.run(log.append(topic, [record(`${n}`)]));
      await read(tail, 1);
    }
    expect((kafka.cluster.asked('fetch').at(-1)!.args[0] as FetchRequest).bytesMax).toBe(first);
  });

  it('reads from the new leader before the request to the slow old one times out', async () => {
    const { log, topic } = await kafka.open();
    await kafka.run(log.append(topic, [record('a')]));
    kafka.cluster.script = ({ name, node }) => (name === 'fetch' && node === 1 ? 'never' : undefined);
    const tail = await kafka.run(log.tail(topic, 'start'));
    const reading = kafka.watch(tail.read(max));
    await kafka.clock.advance(9_000); // the third request has a timeout of 8.5 s
    kafka.cluster.lead(topic, 0, 2);
    await kafka.until(() => reading.settled, 2_500);
    expect(valuesOf(reading.value)).toEqual(['a']);
  });

  it.each([
    [
      'a broker cannot read its log',
      (on: boolean) => (kafka.cluster.faultOfReads = on ? 'CORRUPT_MESSAGE' : undefined),
      'reading',
      'a.b.work/0,1,2,3',
    ],
    [
      'a broker fails',
      (on: boolean) => (kafka.cluster.faultOfReads = on ? 'UNKNOWN_SERVER_ERROR' : undefined),
      'reading',
      'a.b.work/0,1,2,3',
    ],
    ['its topic is not visible', (on: boolean) => seen(!on), 'topic', 'topic a.b.work does not exist'],
  ])('reports once that no record arrives because %s, and once its recovery', async (_, make, part, said) => {
    const { log, topic, heard } = await kafka.open(4);
    const tail = await kafka.run(log.tail(topic, 'start'));
    const reading = kafka.watch(tail.read(max));
    await kafka.clock.advance(100);
    make(true);
    await kafka.clock.advance(1_500);
    expect(states(heard)).toEqual([]); // not reported yet: it can be over in a moment
    await kafka.clock.advance(8_000);
    expect(states(heard)).toEqual([[`${part} ${topic}`, false, expect.stringContaining(said)]]);
    make(false);
    await kafka.run(log.append(topic, [record('a')]));
    await kafka.until(() => reading.settled);
    await kafka.clock.advance(2_000);
    expect(states(heard).slice(1)).toEqual([[`${part} ${topic}`, true, expect.any(String)]]);
  });
  /** Hides the topic, as when the right DESCRIBE is revoked, or shows it again. */
  function seen(isSeen: boolean): void {
    kafka.cluster.faultOfTopics = isSeen ? undefined : 'UNKNOWN_TOPIC_OR_PARTITION';
    for (let partition = 0; partition < 4; partition++) kafka.cluster.lead('a.b.work', partition, isSeen ? 2 : null);
  }

  it('limits its requests while no broker is up, and reads within seconds of their return', async () => {
    const { log, topic, heard } = await kafka.open();
    const tail = await kafka.run(log.tail(topic, 'start'));
    const reading = kafka.watch(tail.read(max));
    await kafka.clock.advance(100);
    for (const node of [1, 2, 3]) kafka.cluster.kill(node);
    await kafka.clock.advance(1_000);
    const before = kafka.cluster.requests.length;
    await kafka.clock.advance(30_000);
    expect(kafka.cluster.requests.length - before).toBeLessThan(150);
    for (const node of [1, 2, 3]) kafka.cluster.start(node);
    kafka.cluster.lead(topic, 0, 2);
    await kafka.run(log.append(topic, [record('back')]));
    await kafka.until(() => reading.settled, 2_000);
    expect(valuesOf(reading.value)).toEqual(['back']);
    const states = heard.flatMap((notice) => (notice.type === 'state' ? [notice.ok] : []));
    expect(states).toEqual([false, true]);
  });
});
