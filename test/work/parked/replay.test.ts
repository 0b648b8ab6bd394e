import { BusError } from '../../../src/base/errors';
import { parseEnvelope } from '../../../src/format/envelope-parser';
import { findParked } from '../../../src/work/parked/find';
import { drop, replay } from '../../../src/work/parked/replay';
import type { MemoryProcess } from '../../../src/memory';
import { jobs, parked, workQueue, topic } from '../../support/work-queue';

const parts = (p: MemoryProcess) => ({ log: p.log, clock: p.clock, random: p.random, instance: 'busbar#op' });
const { resize } = jobs();

/** Six messages of two keys. Messages with an odd number are parked while `broken.is` is true. */
async function withParked() {
  const r = workQueue();
  const p = r.process('a');
  const broken = { is: true };
  const seen: string[] = [];
  const queue = await r.take(p, resize, ({ n, key }, { id, park }) => {
    if (broken.is && n % 2) park(`odd ${n}`);
    seen.push(`${key}${n} ${id}`);
  });
  const sent = await r.sender(p).send(
    resize,
    [1, 2, 3, 4, 5, 6].map((n) => ({ n, key: n < 4 ? 'x' : 'y' })),
  );
  await r.clock.advance(1_000);
  return { r, p, broken, seen, queue, ids: sent.map(({ id }) => id) };
}

test('findParked returns parked messages, oldest first, by queue, by id, and up to max', async () => {
  const { p, ids } = await withParked();
  const all = await findParked(p.log, parked.name);
  expect(all.map(({ note }) => note.reason).toSorted()).toEqual(['odd 1', 'odd 3', 'odd 5']);
  expect(all.map(({ record }) => record.offset)).toEqual([0, 1, 2]);
  const byId = await findParked(p.log, parked.name, { ids: new Set([ids[2] ?? '']) });
  expect(byId.map(({ note }) => note.reason)).toEqual(['odd 3']);
  expect(await findParked(p.log, parked.name, { queue: 'other' })).toEqual([]);
  expect(await findParked(p.log, parked.name, { queue: 'photos.work', max: 2 })).toHaveLength(2);
});

test('before compaction only the newest record of each key counts, and a tombstone removes it', async () => {
  const place = { queue: 'photos.work', topic: topic.name, partition: 0, offset: 0 };
  const rest = { entry: 'photos.resize', key: null, reason: 'no', attemptCount: 0, attempts: [], parkedAtMs: 0 };
  const note = (id: string) => JSON.stringify({ ...place, ...rest, id, instance: 'photos#1', version: '' });
  const record = (offset: number, key: string, id: string | null) => ({
    partition: 0,
    offset,
    timeMs: 0,
    key: Buffer.from(key),
    value: id === null ? null : Buffer.from('x'),
    headers: id === null ? {} : { parked: note(id) },
  });
  const records = [record(0, 'x', 'old'), record(1, 'y', 'gone'), record(2, 'x', 'new'), record(3, 'y', null)];
  const log = {
    ...workQueue().process('a').log,
    bounds: () => Promise.resolve([{ partition: 0, start: 0, end: 4 }]),
    peek: (_topic: string, { offset }: { offset: number }) => Promise.resolve(records.slice(offset, offset + 2)),
  };
  expect((await findParked(log, parked.name)).map(({ note: { id } }) => id)).toEqual(['new']);
});

test('replay sends the original bytes once, under the same id, in key order', async () => {
  const { r, p, broken, seen, queue, ids } = await withParked();
  broken.is = false;
  seen.length = 0;
  const found = await findParked(p.log, parked.name);
  expect(await replay(parts(p), found.toReversed())).toBe(3);
  await r.clock.advance(1_000);
  expect(new Set(seen)).toEqual(new Set([`x1 ${ids[0]}`, `x3 ${ids[2]}`, `y5 ${ids[4]}`]));
  expect(seen.filter((name) => name.startsWith('x'))).toEqual([`x1 ${ids[0]}`, `x3 ${ids[2]}`]);
  expect(queue.stats().handled).toBe(6);
  expect(await findParked(p.log, parked.name)).toEqual([]);
});

test('a replayed message that fails again is parked with a higher replay count', async () => {
  const { r, p } = await withParked();
  const before = await findParked(p.log, parked.name);
  await replay(parts(p), before);
  await r.clock.advance(1_000);
  const after = await findParked(p.log, parked.name);
  expect(after.map(({ note }) => note.id).toSorted()).toEqual(before.map(({ note }) => note.id).toSorted());
  expect(after.map(({ note }) => note.partition)).toEqual(
    after.map(({ note }) => before.find((one) => one.note.id === note.id)?.note.partition),
  );
  await replay(parts(p), after);
  await r.clock.advance(1_000);
  const rounds = (await findParked(p.log, parked.name)).map(({ record }) => parseEnvelope(record.headers['bus'] ?? ''));
  expect(rounds).toMatchObject([{ replay: 2 }, { replay: 2 }, { replay: 2 }]);
});

test('replay repeats an append of unknown outcome, and its messages are handled once', async () => {
  const { r, p, broken, seen } = await withParked();
  broken.is = false;
  seen.length = 0;
  let failures = 2;
  r.world.faults = ({ call, topic: to }) =>
    call === 'append' && to === topic.name && failures-- > 0
      ? { error: new BusError('Unreachable', 'no answer', { outcome: 'not-sent', waitedMs: 1 }), done: true }
      : undefined;
  const done = replay(parts(p), await findParked(p.log, parked.name));
  await r.clock.advance(60_000);
  expect(await done).toBe(3);
  expect(seen).toHaveLength(3);
  expect(r.of('dropped').map(({ reason }) => reason)).toEqual(Array.from({ length: 6 }, () => 'repeated'));
});

test('replay rejects with Unreachable and leaves messages parked when the log does not answer', async () => {
  const { r, p } = await withParked();
  r.world.faults = ({ call }) => (call === 'append' ? 'drop' : undefined);
  const done = replay(parts(p), await findParked(p.log, parked.name)).catch((error: unknown) => error);
  await r.clock.advance(600_000);
  expect(await done).toMatchObject({ code: 'Unreachable', message: expect.stringContaining('5 tries') });
  r.world.faults = undefined;
  expect(await findParked(p.log, parked.name)).toHaveLength(3);
});

test('drop removes a parked message without handling it', async () => {
  const { r, p, seen } = await withParked();
  seen.length = 0;
  const [first, ...rest] = await findParked(p.log, parked.name);
  expect(await drop(parts(p), first ? [first] : [])).toBe(1);
  await r.clock.advance(1_000);
  expect((await findParked(p.log, parked.name)).map(({ note }) => note.id)).toEqual(rest.map(({ note }) => note.id));
  expect(seen).toEqual([]);
});

test("a foreign producer's record is replayed with its exact key and id", async () => {
  const r = workQueue();
  const p = r.process('a');
  const key = Buffer.from([0xff, 0x00, 0xfe]);
  await r.append(p, { partition: 7, key, value: Buffer.from([0x81, 0xa1, 0x6e, 1]), headers: { theirs: 'x' } });
  const ids: string[] = [];
  await r.take(p, resize, (_job, { id, park }) => (ids.push(id), ids.length < 2 ? park('once') : undefined));
  await r.clock.advance(100);
  await replay(parts(p), await findParked(p.log, parked.name));
  await r.clock.advance(100);
  expect(ids).toEqual([`${topic.name}/7/0`, `${topic.name}/7/0`]);
  const [, again] = await p.log.peek(topic.name, { partition: 7, offset: 0 }, { messages: 9, bytes: 1e6 });
  expect(Buffer.from(again?.key ?? [])).toEqual(key);
});

test('replay sends an unreadable record exactly as it was received', async () => {
  const r = workQueue();
  const p = r.process('a');
  await r.append(p, { partition: 7, key: null, value: Buffer.from([0xc1]), headers: { bus: '1 of a kind' } });
  await r.take(p, resize, () => undefined);
  await r.clock.advance(100);
  await replay(parts(p), await findParked(p.log, parked.name));
  await r.clock.advance(100);
  const [first, again] = await p.log.peek(topic.name, { partition: 7, offset: 0 }, { messages: 9, bytes: 1e6 });
  expect([again?.key, again?.value, again?.headers]).toEqual([first?.key, first?.value, first?.headers]);
  expect(await findParked(p.log, parked.name)).toHaveLength(1);
});

describe('the note of a parked record', () => {
  const whole = {
    queue: 'photos.work',
    topic: topic.name,
    partition: 0,
    offset: 7,
    id: 'id',
    entry: 'photos.resize',
    key: null,
    reason: 'no',
    attemptCount: 1,
    attempts: [{ attempt: 1, atMs: 1, error: 'no', instance: 'photos#1' }],
    parkedAtMs: 1,
    instance: 'photos#1',
    version: '',
  };
  const found = async (note: unknown): Promise<number> => {
    const { log } = workQueue().process('a');
    await log.ensure(parked);
    const headers = { parked: typeof note === 'string' ? note : JSON.stringify(note) };
    await log.append(parked.name, [{ partition: 0, key: Buffer.from('k'), value: Buffer.from('x'), headers }]);
    return (await findParked(log, parked.name)).length;
  };

  it('is read when every field has its type', async () => {
    expect(await found(whole)).toBe(1);
    expect(await found({ ...whole, key: 'k', keyBase64: 'aw==', more: true })).toBe(1);
  });

  it.each([
    ['is not JSON', '{"queue":'],
    ['is null', 'null'],
    ['is a list', '[]'],
    ['lacks its topic', { ...whole, topic: undefined }],
    ['refers to a topic of another namespace', { ...whole, topic: 'other.photos.work' }],
    ['refers to a topic without messages', { ...whole, topic: 't.inbox' }],
    ['has a string as its partition', { ...whole, partition: '0' }],
    ['has a negative offset', { ...whole, offset: -1 }],
    ['has an object as its key', { ...whole, key: {} }],
    ['has invalid attempts', { ...whole, attempts: [null] }],
    ['has an attempt without its error', { ...whole, attempts: [{ attempt: 1, atMs: 1, instance: '' }] }],
    ['has no time', { ...whole, parkedAtMs: null }],
  ])('is skipped when it %s', async (_, note) => {
    expect(await found(note)).toBe(0);
  });
});
