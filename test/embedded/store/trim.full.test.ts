import fs, { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock, systemRandom, type Clock } from '../../../src/base/clock';
import { BusError } from '../../../src/base/errors';
import { openStore, type Change, type Store } from '../../../src/disk/lmdb';
import { Appender } from '../../../src/embedded/store/append';
import { behind, keyOf, kinds, partitionKey, PlaceKeys } from '../../../src/embedded/store/keys';
import { encodeCommit } from '../../../src/embedded/store/commit-format';
import { decodeRecord } from '../../../src/embedded/store/record-format';
import { Topics } from '../../../src/embedded/store/topics';
import { Trimmer } from '../../../src/embedded/store/trim';
import { virtualClock } from '../../../src/memory';
import type { Append, GroupOfTopic } from '../../../src/ports/log';

let dir: string;
let store: Store;
let nowMs = 1_000_000;
const clock: Clock = { ...systemClock, now: () => nowMs };
const largest = { changes: 0 };
const groups: GroupOfTopic[] = [];

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'busbar-trim-'));
  const real = await openStore(dir, { clock, durable: false });
  largest.changes = 0;
  groups.splice(0);
  store = {
    ...real,
    write(guard, changes: readonly Change[], kind) {
      largest.changes = Math.max(largest.changes, changes.length);
      return real.write(guard, changes, kind);
    },
  };
});
afterEach(async () => {
  await store.release();
  rmSync(dir, { recursive: true, force: true });
});

async function open(topic: { compacted: boolean; keepMs: number | null }, heldBytesMax = 1024 ** 3) {
  const topics = new Topics(store);
  await topics.ensure({ name: 't', partitions: 1, ...topic });
  const appender = new Appender({ store, topics, clock, random: systemRandom, appended: () => undefined });
  const dropped: { what: string; reason: string }[] = [];
  const drop = (what: string, reason: string): void => void dropped.push({ what, reason });
  const trimmer = new Trimmer(store, topics, clock, systemRandom, {
    groups: () => groups,
    failed: () => undefined,
    dropped: drop,
    heldBytesMax,
  });
  const put = (...records: [key: string, value: string | null][]): Promise<unknown> =>
    appender.append(
      't',
      records.map(([key, value]): Append => ({
        partition: 0,
        key: Buffer.from(key),
        value: value === null ? null : Buffer.from(value),
        headers: {},
      })),
    );
  /** Returns keys and values in the order in which they are stored. */
  const there = (): string[] => {
    const prefix = keyOf(kinds.record, []);
    const all: string[] = [];
    store.refresh();
    store.scan(prefix, behind(prefix), (_, { value }) => {
      const { key, value: body } = decodeRecord(value, 0, 0);
      return (
        all.push(`${Buffer.from(key ?? []).toString()}=${body === null ? 'gone' : Buffer.from(body).toString()}`) > 0
      );
    });
    return all;
  };
  const count = (kind: 'newest' | 'tombstone'): number => {
    const prefix = keyOf(kinds[kind], []);
    let found = 0;
    store.refresh();
    store.scan(prefix, behind(prefix), () => (found += 1) > 0);
    return found;
  };
  const start = (): number => {
    store.refresh();
    return topics.bounds('t', 0).start;
  };
  const keys = new PlaceKeys(kinds.record, 't', 0);
  /** Returns the bytes of the topic as they are counted, and the sum of its records. */
  const bytes = (): { counted: number; stored: number } => {
    store.refresh();
    const { start: from, end } = topics.bounds('t', 0);
    let stored = 0;
    for (let offset = from; offset < end; offset++) stored += store.view(keys.at(offset))?.length ?? 0;
    return { counted: topics.storedBytes('t'), stored };
  };
  return { trimmer, put, there, count, start, dropped, bytes, keys };
}

describe('the bytes of a topic', () => {
  const many = (from: number): [string, string][] =>
    Array.from({ length: 1_200 }, (_, n) => [`${from + n}`, 'x'.repeat((from + n) % 50)]);

  it('are counted down by each removal, in steps and in part', async () => {
    const { trimmer, put, bytes } = await open({ compacted: false, keepMs: null });
    await put(...many(0));
    await put(...many(1_200));
    expect(bytes().counted).toBe(bytes().stored);
    for (const before of [1, 700, 1_201, 1_999]) {
      expect(await trimmer.below('t', 0, before)).toBeGreaterThan(0);
      expect(bytes().counted).toBe(bytes().stored);
    }
    await trimmer.below('t', 0, 9_999);
    expect(bytes()).toEqual({ counted: 0, stored: 0 });
  });

  it('are counted by a look at each record where the last one does not have the sum', async () => {
    const { trimmer, put, bytes, keys } = await open({ compacted: false, keepMs: null });
    await put(['a', '1'], ['b', '22'], ['c', '333'], ['d', '4444']);
    store.refresh();
    const value = store.entry(keys.at(1))?.value ?? null;
    await store.write(null, [{ key: keys.at(1), value }]); // as an earlier version wrote it
    await trimmer.below('t', 0, 2);
    expect(bytes().counted).toBe(bytes().stored);
    await trimmer.below('t', 0, 3);
    expect(bytes().counted).toBe(bytes().stored);
  });

  it('are read from the last record of a removal, without a look at the others', async () => {
    const { trimmer, put, bytes } = await open({ compacted: false, keepMs: null });
    await put(...many(0));
    const view = jest.spyOn(store, 'view');
    await trimmer.below('t', 0, 1_000);
    expect(view).not.toHaveBeenCalled();
    view.mockRestore();
    expect(bytes().counted).toBe(bytes().stored);
  });
});

describe('removing by age', () => {
  it('removes only records that are older than the retention time of the topic', async () => {
    const { trimmer, put, there, start } = await open({ compacted: false, keepMs: 60_000 });
    await put(['a', '1'], ['b', '2']);
    nowMs += 40_000;
    await put(['c', '3']);
    await trimmer.sweep();
    expect(there()).toEqual(['a=1', 'b=2', 'c=3']);
    nowMs += 20_001;
    await trimmer.sweep();
    expect(there()).toEqual(['c=3']);
    expect(start()).toBe(2);
    nowMs += 60_000;
    await trimmer.sweep();
    expect(there()).toEqual([]);
    expect(start()).toBe(3);
  });

  it('keeps every record of a topic without a retention time', async () => {
    const { trimmer, put, there } = await open({ compacted: false, keepMs: null });
    await put(['a', '1']);
    nowMs += 1e12;
    await trimmer.sweep();
    expect(there()).toEqual(['a=1']);
  });
});

describe('removing by age records that a group has not read', () => {
  /** A group that has committed this offset, or nothing when it is null. */
  async function group(name: string, offset: number | null): Promise<void> {
    if (!groups.some((one) => one.group === name)) groups.push({ group: name, topic: 't' });
    const key = partitionKey(kinds.commit, [name, 't'], 0);
    if (offset !== null) await store.write(null, [{ key, value: encodeCommit({ offset, state: new Uint8Array() }) }]);
  }

  it('waits for the group with the lowest offset, however old the records are', async () => {
    const { trimmer, put, there, dropped } = await open({ compacted: false, keepMs: 60_000 });
    await put(['a', '1'], ['b', '2'], ['c', '3']);
    await group('fast', 3);
    await group('slow', 1);
    nowMs += 10 * 365 * 86_400_000;
    await trimmer.sweep();
    expect(there()).toEqual(['b=2', 'c=3']);
    await group('slow', 3);
    await trimmer.sweep();
    expect([there(), dropped]).toEqual([[], []]);
  });

  it('reads the groups once for all partitions, and only the offsets of their commits', async () => {
    const topics = new Topics(store);
    await topics.ensure({ name: 't', partitions: 4, compacted: false, keepMs: 60_000 });
    await group('g', 7);
    const read = jest.fn(() => groups);
    const copied = jest.spyOn(store, 'entry');
    const trimmer = new Trimmer(store, topics, clock, systemRandom, {
      groups: read,
      failed: () => undefined,
      dropped: () => undefined,
      heldBytesMax: 1024 ** 3,
    });
    await trimmer.sweep();
    trimmer.close();
    expect(read).toHaveBeenCalledTimes(1);
    const commitKey = partitionKey(kinds.commit, ['g', 't'], 0);
    expect(copied.mock.calls.filter(([key]) => commitKey.equals(key))).toEqual([]);
  });

  it('waits for a group that has not committed yet', async () => {
    const { trimmer, put, there } = await open({ compacted: false, keepMs: 60_000 });
    await put(['a', '1']);
    await group('new', null);
    nowMs += 60_001;
    await trimmer.sweep();
    expect(there()).toEqual(['a=1']);
  });

  it('does not wait for a group of another topic', async () => {
    const { trimmer, put, there } = await open({ compacted: false, keepMs: 60_000 });
    await put(['a', '1']);
    groups.push({ group: 'other', topic: 'u' });
    nowMs += 60_001;
    await trimmer.sweep();
    expect(there()).toEqual([]);
  });

  it('drops the oldest expired records with a notice when more bytes wait than the limit', async () => {
    const { trimmer, put, there, dropped } = await open({ compacted: false, keepMs: 60_000 }, 100_000);
    const large = 'x'.repeat(10_000);
    for (let n = 0; n < 30; n++) await put([`${n}`, large]);
    await group('gone', 0);
    await trimmer.sweep();
    expect(there()).toHaveLength(30);
    nowMs += 60_001;
    for (let n = 0; n < 30; n++) await put([`new${n}`, large]);
    await trimmer.sweep();
    const left = there().map((line) => line.split('=')[0]);
    expect(left.slice(-30)).toEqual(Array.from({ length: 30 }, (_, n) => `new${n}`));
    const old = left.slice(0, -30);
    expect(old.length).toBeGreaterThan(5);
    expect(old.length).toBeLessThanOrEqual(10);
    expect(old.at(-1)).toBe('29');
    expect(dropped).toEqual([
      {
        what: `t/0/0-${29 - old.length}`,
        reason: expect.stringMatching(/^gone did not receive them, and more than 97\.7 KiB/),
      },
    ]);
  });
});

describe('removing below an offset', () => {
  it('removes records in steps of at most 501 changes, up to the offset', async () => {
    const { trimmer, put, there, start } = await open({ compacted: false, keepMs: null });
    const records = Array.from({ length: 2_600 }, (_, n): [string, string] => ['k', `${n}`]);
    for (let from = 0; from < records.length; from += 500) await put(...records.slice(from, from + 500));
    largest.changes = 0;
    await trimmer.below('t', 0, 2_598);
    expect(there()).toEqual(['k=2598', 'k=2599']);
    expect(start()).toBe(2_598);
    expect(largest.changes).toBeLessThanOrEqual(501);
  });

  it('stops at the end of the log, and never moves the start back', async () => {
    const { trimmer, put, start } = await open({ compacted: false, keepMs: null });
    await put(['a', '1']);
    await trimmer.below('t', 0, 1_000);
    expect(start()).toBe(1);
    await trimmer.below('t', 0, 0);
    expect(start()).toBe(1);
  });
});

describe('on a disk that is nearly full', () => {
  const diskBytes = 32 * 1024 ** 2;
  const blockBytes = 4_096;
  const fault = { code: 'DiskFull', details: { outcome: 'not-sent' } };

  /** A disk that holds only the data file. */
  function smallDisk(): jest.SpyInstance {
    const disk = fs.statfsSync(dir);
    return jest.spyOn(fs, 'statfsSync').mockImplementation(() => {
      const freeBytes = Math.max(0, diskBytes - fs.statSync(join(dir, 'data.mdb')).size);
      const [bavail, blocks] = [Math.floor(freeBytes / blockBytes), diskBytes / blockBytes];
      return Object.assign(disk, { type: 0xef53, bsize: blockBytes, bavail, blocks });
    });
  }

  test('commits and trims are made where appends are refused, and a trim reports no state of its own', async () => {
    const faults: string[] = [];
    const watching = await openStore(dir, {
      clock,
      durable: false,
      onChange: (now) => void faults.push(now?.reason ?? 'works'),
    });
    const disk = smallDisk();
    try {
      const { trimmer, put, start } = await open({ compacted: false, keepMs: null });
      const large = Array.from({ length: 4 }, (_, n): [string, string] => [`${n}`, 'x'.repeat(10_000)]);
      const fill = async (): Promise<void> => {
        for (let n = 0; n < 10_000; n += 1) await put(...large);
      };
      await expect(fill()).rejects.toMatchObject(fault);
      expect(faults).toHaveLength(1);
      largest.changes = 0;
      expect(await trimmer.below('t', 0, 600)).toBe(600);
      expect([start(), largest.changes]).toEqual([600, 501]);
      const state = new Uint8Array(65_536);
      const key = partitionKey(kinds.commit, ['g', 't'], 0);
      expect(await store.write(null, [{ key, value: encodeCommit({ offset: 600, state }) }])).toBe(true);
      await expect(put(...large)).rejects.toMatchObject(fault);
      expect(faults.every((reason) => reason.includes('are needed'))).toBe(true);
      expect(faults.length).toBeLessThanOrEqual(2); // one for each append that was refused
    } finally {
      disk.mockRestore();
      await watching.release();
    }
  });

  test('old tombstones are removed where appends are refused', async () => {
    const { trimmer, put, there } = await open({ compacted: true, keepMs: null });
    const keys = Array.from({ length: 300 }, (_, n) => `${n}`);
    await put(...keys.map((key): [string, string | null] => [key, null]));
    nowMs += 3_600_001;
    const writing = { ...store };
    store.write = (guard, changes, kind) =>
      changes.length <= 24
        ? writing.write(guard, changes, kind)
        : Promise.reject(
            new BusError('DiskFull', 'full', {
              outcome: 'not-sent',
              path: dir,
              freeBytes: 0,
              neededBytes: 1,
            }),
          );
    await trimmer.sweep();
    expect(there()).toEqual([]);
  });

  test('a trim of one record that has no room rejects, and is reported', async () => {
    const { trimmer, put, start } = await open({ compacted: false, keepMs: null });
    await put(['a', '1'], ['b', '2']);
    const kinds: unknown[] = [];
    store.write = (_, changes, kind) => {
      kinds.push(`${changes.length} ${kind}`);
      return Promise.reject(
        new BusError('DiskFull', 'full', { outcome: 'not-sent', path: dir, freeBytes: 0, neededBytes: 1 }),
      );
    };
    await expect(trimmer.below('t', 0, 2)).rejects.toMatchObject({ code: 'DiskFull' });
    expect(kinds.at(-1)).toBe('2 undefined');
    expect(kinds.slice(0, -1).every((kind) => String(kind).endsWith('divisible'))).toBe(true);
    expect(start()).toBe(0);
  });
});

describe('a compacted topic', () => {
  it('keeps only the newest record of each key, also of keys repeated in one call', async () => {
    const { put, there, count } = await open({ compacted: true, keepMs: null });
    await put(['a', '1'], ['b', '1'], ['a', '2']);
    await put(['b', '2'], ['c', '1']);
    expect(there()).toEqual(['a=2', 'b=2', 'c=1']);
    expect(count('newest')).toBe(3);
  });

  it('keeps a tombstone for an hour, then removes the key', async () => {
    const { trimmer, put, there, count } = await open({ compacted: true, keepMs: null });
    await put(['a', '1'], ['b', '1'], ['c', '1']);
    await put(['a', null], ['c', null]);
    await put(['c', 'again']);
    nowMs += 3_600_000;
    await trimmer.sweep();
    expect(there()).toEqual(['b=1', 'a=gone', 'c=again']);
    expect(count('tombstone')).toBe(1);
    nowMs += 1;
    await trimmer.sweep();
    expect(there()).toEqual(['b=1', 'c=again']);
    expect([count('newest'), count('tombstone')]).toEqual([2, 0]);
    await put(['a', 'back']);
    expect(there()).toEqual(['b=1', 'c=again', 'a=back']);
  });
});

describe('a sweep that fails', () => {
  it('is reported once while the reason is the same, and again after a success', async () => {
    const time = virtualClock();
    let failure = '';
    const broken: Store = {
      ...store,
      forgetDeadReaders() {
        if (failure !== '') throw new Error(failure);
      },
    };
    const reported: string[] = [];
    const trimmer = new Trimmer(broken, new Topics(store), time, systemRandom, {
      groups: () => groups,
      failed: (reason) => void reported.push(reason),
      dropped: () => undefined,
      heldBytesMax: 1024 ** 3,
    });
    for (const next of ['EIO', 'EIO', 'EROFS', '', 'EROFS']) {
      failure = next;
      await time.advance(120_000);
    }
    trimmer.close();
    expect(reported).toEqual(['EIO', 'EROFS', 'EROFS']);
  });
});

describe('the retention of an existing topic', () => {
  const topicOf = (keepMs: number | null) => ({ name: 't', partitions: 1, compacted: false, keepMs });

  test('is raised by a process that needs a longer one, and never lowered', async () => {
    const [one, other] = [new Topics(store), new Topics(store)];
    await one.ensure(topicOf(1_000));
    await other.ensure(topicOf(1_000));
    expect(await other.ensure(topicOf(5_000))).toMatchObject({ keepMs: 5_000 });
    expect(await one.ensure(topicOf(3_000))).toMatchObject({ keepMs: 5_000 }); // its own copy still has 1,000
    expect(await one.ensure(topicOf(500))).toMatchObject({ keepMs: 5_000 });
    expect(one.all()).toEqual([topicOf(5_000)]);
  });

  test('is the longest of all when processes raise it at the same time', async () => {
    const all = Array.from({ length: 5 }, () => new Topics(store));
    await Promise.all(all.map((topics) => topics.ensure(topicOf(1_000))));
    await Promise.all(all.map((topics, n) => topics.ensure(topicOf(2_000 + ((n * 3) % 5)))));
    expect(all[0]?.all()).toEqual([topicOf(2_004)]);
  });

  test('stays null when records are kept until they are trimmed', async () => {
    const topics = new Topics(store);
    await topics.ensure(topicOf(null));
    expect(await topics.ensure(topicOf(5_000))).toEqual(topicOf(null));
    expect(topics.all()).toEqual([topicOf(null)]);
  });

  test('applies to the next sweep of a process that opened the topic before', async () => {
    const { trimmer, put } = await open({ compacted: false, keepMs: 1_000 });
    await put(['a', 'x']);
    await new Topics(store).ensure(topicOf(5_000));
    nowMs += 2_000;
    await trimmer.sweep();
    expect(new Topics(store).bounds('t', 0)).toMatchObject({ start: 0, end: 1 });
    nowMs += 4_000;
    await trimmer.sweep();
    expect(new Topics(store).bounds('t', 0)).toMatchObject({ start: 1, end: 1 });
  });
});
