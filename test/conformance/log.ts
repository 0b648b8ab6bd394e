/** The rules for every implementation of the log: order, completeness, exact bytes, bounds, and precise errors. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { isBusError } from '../../src/base/errors';
import { limits } from '../../src/base/limits';
import { OutOfRangeError, type Append, type Log, type Stored, type Tail, type Topic } from '../../src/ports/log';
import { bytes, rejection, suite, text, type TestPorts, type SuiteOptions } from '../support/conformance';

const max = { messages: 1_000, bytes: 10_000_000 };
const plain = (name: string, partitions = 2): Topic => ({ name, partitions, compacted: false, keepMs: null });
const record = (partition: number, value: string, key: string | null = null): Append => ({
  partition,
  key: key === null ? null : bytes(key),
  value: bytes(value),
  headers: {},
});
const values = (records: readonly Stored[]): (string | null)[] => records.map(({ value }) => text(value));

/** Reads until `count` records have arrived. */
async function readMany(tail: Tail, count: number): Promise<Stored[]> {
  const found: Stored[] = [];
  while (found.length < count) {
    const some = await tail.read(max);
    if (some.length === 0) throw new Error(`the tail ended after ${found.length} of ${count}`);
    found.push(...some);
  }
  return found;
}
const readAll = async (log: Log, topic: string, count: number): Promise<Stored[]> => {
  const tail = await log.tail(topic, 'start');
  const found = await readMany(tail, count);
  await tail.close();
  return found;
};

export function conformsToLog(name: string, openPorts: () => Promise<TestPorts>, options: SuiteOptions = {}): void {
  const testMs = options.testMs ?? 60_000;
  suite(`${name}: log`, openPorts, options, (run) => {
    async function open(partitions = 2, more: Partial<Topic> = {}): Promise<{ log: Log; topic: string }> {
      const { log } = await run.process();
      const topic = run.name('topic');
      await log.ensure({ ...plain(topic, partitions), ...more });
      return { log, topic };
    }
    const test = (title: string, run: () => Promise<void>): void => it(title, run, testMs);

    test('keeps the order of each partition, and of overlapping calls', async () => {
      const { log, topic } = await open();
      const appends = Array.from({ length: 200 }, (_, n) =>
        log.append(topic, [record(n % 2, `a${n}`), record(n % 2, `b${n}`)]),
      );
      const places = (await Promise.all(appends)).flat();
      const found = await readAll(log, topic, 400);
      for (const partition of [0, 1]) {
        const mine = found.filter((one) => one.partition === partition);
        const sent = Array.from({ length: 200 }, (_, n) => n).filter((n) => n % 2 === partition);
        expect(values(mine)).toEqual(sent.flatMap((n) => [`a${n}`, `b${n}`]));
        const offsets = mine.map(({ offset }) => offset);
        expect(offsets).toEqual([...offsets].sort((a, b) => a - b));
        expect(places.filter((place) => place.partition === partition).map(({ offset }) => offset)).toEqual(offsets);
      }
    });

    test('keeps the order of each of ten appenders that write at once', async () => {
      const { topic } = await open(1);
      const appenders = await run.processes(10);
      await Promise.all(
        appenders.flatMap(({ log }, who) =>
          Array.from({ length: 50 }, (_, n) => log.append(topic, [record(0, `${who}:${n}`)])),
        ),
      );
      const found = values(await readAll(appenders[0]!.log, topic, 500));
      for (let who = 0; who < 10; who++) {
        const mine = found.filter((value) => value?.startsWith(`${who}:`));
        expect(mine).toEqual(Array.from({ length: 50 }, (_, n) => `${who}:${n}`));
      }
    });

    test('keeps keys, values and headers unchanged, and distinguishes null from empty', async () => {
      const { log, topic } = await open(1);
      const all = Uint8Array.from({ length: 256 }, (_, n) => n);
      const records: Append[] = [
        { partition: 0, key: null, value: null, headers: {} },
        { partition: 0, key: new Uint8Array(), value: new Uint8Array(), headers: { bus: '' } },
        { partition: 0, key: all, value: all, headers: { bus: 'ligne é 漢 🚌', traceparent: '00-1-2-01' } },
      ];
      await log.append(topic, records);
      const found = await readAll(log, topic, 3);
      expect(found.map(({ key, value, headers }) => ({ key: asArray(key), value: asArray(value), headers }))).toEqual(
        records.map(({ key, value, headers }) => ({ key: asArray(key), value: asArray(value), headers })),
      );
      for (const { timeMs } of found) expect(timeMs).toBeGreaterThan(Date.UTC(2020, 0, 1));
    });

    test('keeps an appended record when its buffers change after the call', async () => {
      const { log, topic } = await open(1);
      const value = bytes('before');
      const appended = log.append(topic, [{ ...record(0, ''), value }]);
      value.fill(0);
      await appended;
      expect(values(await readAll(log, topic, 1))).toEqual(['before']);
      const [first] = await log.peek(topic, { partition: 0, offset: 0 }, max);
      first!.value!.fill(0);
      expect(values(await log.peek(topic, { partition: 0, offset: 0 }, max))).toEqual(['before']);
    });

    test('accepts records up to the limit, and rejects larger ones before anything is written', async () => {
      const { log, topic } = await open(1);
      const large = Buffer.alloc(limits.messageBytesMax + 60_000, 'a pattern of odd length.');
      await log.append(topic, [{ ...record(0, '', 'key'), value: large, headers: { bus: 'x'.repeat(8_000) } }]);
      const tooLarge = { ...record(0, ''), value: new Uint8Array(16_000_000) };
      const error = await rejection(log.append(topic, [record(0, 'small'), tooLarge]));
      expect(isBusError(error, 'TooLarge')).toBe(true);
      await log.append(topic, [record(0, 'after')]);
      const found = await readAll(log, topic, 2);
      expect(Buffer.compare(found[0]!.value!, large)).toBe(0);
      expect(text(found[1]!.value)).toBe('after');
    });

    test('loses no record between the bounds and a tail that starts there', async () => {
      const { log, topic } = await open();
      for (let round = 0; round < 10; round++) {
        const bounds = await log.bounds(topic);
        const appends = Array.from({ length: 10 }, (_, n) => log.append(topic, [record(n % 2, `${round}:${n}`)]));
        const from = bounds.map(({ partition, end }) => ({ partition, offset: end }));
        const tail = await log.tail(topic, from);
        await Promise.all(appends);
        const found = values(await readMany(tail, 10));
        expect(new Set(found)).toEqual(new Set(Array.from({ length: 10 }, (_, n) => `${round}:${n}`)));
        await tail.close();
      }
    });

    test('delivers every record after the opening of a tail at the end, without a gap', async () => {
      const { log, topic } = await open(1);
      for (let round = 0; round < 10; round++) {
        const during = Array.from({ length: 10 }, (_, n) => log.append(topic, [record(0, `${round}:during:${n}`)]));
        const tail = await log.tail(topic, 'end');
        const places = (await Promise.all([...during, log.append(topic, [record(0, `${round}:after`)])])).flat();
        const found: Stored[] = [];
        while (text(found.at(-1)?.value ?? null) !== `${round}:after`) found.push(...(await tail.read(max)));
        const offsets = found.map(({ offset }) => offset);
        expect(places.slice(-offsets.length).map(({ offset }) => offset)).toEqual(offsets);
        await tail.close();
      }
    });

    test('reads from the start, from the end and from offsets', async () => {
      const { log, topic } = await open(1);
      const places = await log.append(
        topic,
        ['a', 'b', 'c'].map((value) => record(0, value)),
      );
      const [start, end, middle] = await Promise.all([
        log.tail(topic, 'start'),
        log.tail(topic, 'end'),
        log.tail(topic, [places[1]!]),
      ]);
      await log.append(topic, [record(0, 'd')]);
      expect(values(await readMany(start, 4))).toEqual(['a', 'b', 'c', 'd']);
      expect(values(await readMany(end, 1))).toEqual(['d']);
      expect(values(await readMany(middle, 3))).toEqual(['b', 'c', 'd']);
    });

    test('wakes a tail that waits in another process', async () => {
      const { log, topic } = await open();
      const reader = await run.process();
      const tail = await reader.log.tail(topic, 'end');
      const waiting = tail.read(max);
      await log.append(topic, [record(1, 'wake up')]);
      expect(values(await waiting)).toEqual(['wake up']);
    });

    test('returns at most the requested records and bytes, but at least one record', async () => {
      const { log, topic } = await open(1);
      const kilobyte = 'x'.repeat(1_000);
      await log.append(
        topic,
        Array.from({ length: 50 }, () => record(0, kilobyte)),
      );
      const tail = await log.tail(topic, 'start');
      expect(await tail.read({ messages: 7, bytes: 1_000_000 })).toHaveLength(7);
      const few = await tail.read({ messages: 100, bytes: 5_000 });
      expect(few.length).toBeGreaterThanOrEqual(1);
      expect(few.length).toBeLessThanOrEqual(6);
      expect(await tail.read({ messages: 100, bytes: 10 })).toHaveLength(1);
      expect(await log.peek(topic, { partition: 0, offset: 0 }, { messages: 3, bytes: 1_000_000 })).toHaveLength(3);
    });

    test('bounds the memory of a slow reader', async () => {
      const { log, topic } = await open(1);
      const reader = await run.process();
      const tail = await reader.log.tail(topic, 'start');
      const batch = Array.from({ length: 20 }, () => record(0, 'x'.repeat(50_000)));
      const batches = run.ports.recordsOutside ? 60 : 5;
      const beforeBytes = heldBytes();
      for (let n = 0; n < batches; n++) {
        await log.append(topic, batch);
        expect((await tail.read({ messages: 2, bytes: 200_000 })).length).toBeLessThanOrEqual(2);
      }
      if (run.ports.recordsOutside) expect(heldBytes() - beforeBytes).toBeLessThan(40_000_000);
    });

    test('rejects a tail read of trimmed records with the range, and continues at the start', async () => {
      const { log, topic } = await open(1);
      const tail = await log.tail(topic, 'start');
      await log.append(
        topic,
        ['a', 'b', 'c', 'd'].map((value) => record(0, value)),
      );
      expect(await tail.read({ messages: 1, bytes: 1_000 })).toHaveLength(1);
      const late = await log.tail(topic, [{ partition: 0, offset: 0 }]);
      await log.trim(topic, 0, 3);
      const error = await rejection(late.read(max));
      expect(error).toBeInstanceOf(OutOfRangeError);
      expect(error).toMatchObject({ topic, partition: 0, from: 0, start: 3 });
      expect(values(await late.read(max))).toEqual(['d']);
      expect((await log.bounds(topic))[0]).toEqual({ partition: 0, start: 3, end: 4 });
    });

    test('rejects a tail read beyond the end of the log, and continues at the end', async () => {
      const { log, topic } = await open(1);
      await log.append(topic, [record(0, 'a'), record(0, 'b')]);
      const tail = await log.tail(topic, [{ partition: 0, offset: 50 }]);
      const error = await rejection(tail.read(max));
      expect(error).toBeInstanceOf(OutOfRangeError);
      expect(error).toMatchObject({ partition: 0, from: 50, start: 0, end: 2, next: 2 });
      await log.append(topic, [record(0, 'c')]);
      expect(values(await readMany(tail, 1))).toEqual(['c']);
    });

    test('closing a tail resolves waiting and later reads with no records', async () => {
      const { log, topic } = await open();
      const tail = await log.tail(topic, 'end');
      const waiting = tail.read(max);
      await tail.close();
      expect(await waiting).toEqual([]);
      expect(await tail.read(max)).toEqual([]);
    });

    test('closing the log ends every tail, and rejects later calls with Closed', async () => {
      const { log, topic } = await open();
      const tail = await log.tail(topic, 'end');
      const waiting = tail.read(max);
      await log.close();
      expect(await waiting).toEqual([]);
      for (const call of [log.append(topic, [record(0, 'x')]), log.bounds(topic), log.tail(topic, 'end')]) {
        expect(isBusError(await rejection(call), 'Closed')).toBe(true);
      }
      await log.close();
    });

    test('keeps the newest record of each key of a compacted topic', async () => {
      const { log, topic } = await open(1, { compacted: true });
      for (let round = 0; round < 3; round++) {
        await log.append(
          topic,
          ['a', 'b', 'c'].map((key) => record(0, `${key}${round}`, key)),
        );
      }
      await log.append(topic, [{ ...record(0, '', 'b'), value: null }]);
      const newest = async (): Promise<(string | null)[]> => {
        const found = await log.peek(topic, { partition: 0, offset: 0 }, max);
        const keyed = new Map(found.map(({ key, value }) => [text(key), text(value)]));
        return ['a', 'b', 'c'].map((key) => keyed.get(key) ?? null);
      };
      expect(await newest()).toEqual(['a2', null, 'c2']);
      expect((await log.bounds(topic))[0]?.end).toBe(10);
    });

    if (!options.compactsLater) {
      test('removes older records of each key of a compacted topic', async () => {
        const { log, topic } = await open(1, { compacted: true });
        for (let round = 0; round < 20; round++) {
          await log.append(
            topic,
            ['a', 'b'].map((key) => record(0, `${key}${round}`, key)),
          );
        }
        const left = () => log.peek(topic, { partition: 0, offset: 0 }, max);
        await run.wait(async () => (await left()).length === 2, 'only the newest are left');
        expect(values(await left())).toEqual(['a19', 'b19']);
        const tail = await log.tail(topic, 'start');
        expect((await readMany(tail, 2)).map(({ offset }) => offset)).toEqual([38, 39]);
      });
    }

    test('rejects a record without a key for a compacted topic before anything is written', async () => {
      const { log, topic } = await open(1, { compacted: true });
      const error = await rejection(log.append(topic, [record(0, 'a', 'key'), record(0, 'b')]));
      expect(isBusError(error, 'Config')).toBe(true);
      expect((await log.bounds(topic))[0]?.end).toBe(0);
    });

    test('rejects missing topics and partitions with Config', async () => {
      const { log, topic } = await open(2);
      const absent = run.name('absent');
      for (const call of [
        log.append(absent, [record(0, 'x')]),
        log.append(topic, [record(0, 'x'), record(2, 'x')]),
        log.tail(absent, 'start'),
        log.bounds(absent),
        log.join('g', absent, { onAssigned: () => undefined, onRevoked: async () => undefined }),
      ]) {
        expect(isBusError(await rejection(call), 'Config')).toBe(true);
      }
      expect((await log.bounds(topic)).map(({ end }) => end)).toEqual([0, 0]);
      expect((await log.topics()).some(({ name: one }) => one === absent)).toBe(false);
    });

    test('rejects an existing topic with another number of partitions with Config', async () => {
      const { log, topic } = await open(2);
      expect(await log.ensure(plain(topic, 2))).toMatchObject({ name: topic, partitions: 2 });
      const error = await rejection(log.ensure(plain(topic, 3)));
      expect(isBusError(error, 'Config')).toBe(true);
      expect(String(error)).toContain(topic);
      expect((await log.topics()).find((one) => one.name === topic)).toMatchObject({ partitions: 2, compacted: false });
    });

    test('creates a topic once when many processes ensure it at the same time', async () => {
      const processes = await run.processes(5);
      const topic = run.name('topic');
      await Promise.all(processes.map(({ log }) => log.ensure(plain(topic, 3))));
      await Promise.all(processes.map(({ log }, n) => log.append(topic, [record(n % 3, `${n}`)])));
      expect(new Set(values(await readAll(processes[0]!.log, topic, 5)))).toEqual(new Set(['0', '1', '2', '3', '4']));
    });

    test('does not change state by reading bounds, records and groups', async () => {
      const { log, topic } = await open(2);
      await log.append(topic, [record(0, 'a'), record(0, 'b'), record(1, 'c')]);
      const tail = await log.tail(topic, 'start');
      const look = async (): Promise<unknown> => [
        await log.bounds(topic),
        values(await log.peek(topic, { partition: 0, offset: 1 }, max)),
        await log.peek(topic, { partition: 1, offset: 1 }, max),
        await log.committedOffsets('nobody', topic),
        (await log.groups()).filter((one) => one.topic === topic),
      ];
      const first = await look();
      expect(first).toEqual([
        [
          { partition: 0, start: 0, end: 2 },
          { partition: 1, start: 0, end: 1 },
        ],
        ['b'],
        [],
        [],
        [],
      ]);
      expect(await look()).toEqual(first);
      expect(await readMany(tail, 3)).toHaveLength(3);
    });
  });
}

const asArray = (value: Uint8Array | null): number[] | null => value && [...value];

/** Returns the bytes in use after garbage collection. */
function heldBytes(): number {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void; // the flag defines this function
  // A collection frees memory of buffers concurrently, and the next one waits until that has ended.
  collect();
  collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}
