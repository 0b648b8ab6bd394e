import { createHash } from 'node:crypto';
import { BusError } from '../../../src/base/errors';
import type { MemoryProcess } from '../../../src/memory';
import { findParked, type Parked } from '../../../src/work/parked/find';
import { drop, replay } from '../../../src/work/parked/replay';
import { jobs, parked, workQueue, topic, type Job } from '../../support/work-queue';

const { resize } = jobs({ attempts: 1 });
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
const parts = (p: MemoryProcess) => ({ log: p.log, clock: p.clock, random: p.random, instance: 'busbar#op' });
const body = (job: Job & { readonly pad?: string }): Uint8Array => Buffer.from(JSON.stringify(job));
const record = (id: string, value: Uint8Array, partition = 3) => {
  const bus = `1 work photos.resize ${id} web#a -`;
  return { partition, key: Buffer.from('k'), value, headers: { bus } };
};
const large = body({ n: 1, key: 'k', pad: 'x'.repeat(100_000) });

/** A queue whose parked topic accepts at most `bytes` a record, and whose odd jobs fail while `broken.is` is true. */
async function withSmallParkedTopic(bytes: number) {
  const limit = { bytes };
  const r = workQueue({ recordBytesMax: (name) => (name === parked.name ? limit.bytes : 4_000_000) });
  const p = r.process('a');
  const broken = { is: true };
  const seen: number[] = [];
  const queue = await r.take(p, resize, ({ n }) => {
    if (broken.is && n % 2) throw new Error(`odd ${n}`);
    seen.push(n);
  });
  return { r, p, queue, seen, limit, broken };
}

test('a message too large for the parked topic is parked as a stub', async () => {
  const { r, p, queue, seen } = await withSmallParkedTopic(20_000);
  await r.append(p, record('large', large), record('small', body({ n: 2, key: 'k' })));
  await r.clock.advance(1_000);
  expect(seen).toEqual([2]);
  expect(queue.stats()).toMatchObject({ parked: 1, handled: 1, waiting: 0 });
  expect((await r.progress(p)).committed).toBe(2);
  const [stub, ...more] = await r.parkedNow(p);
  expect(more).toEqual([]);
  expect(stub?.note).toMatchObject({
    id: 'large',
    entry: 'photos.resize',
    topic: topic.name,
    partition: 3,
    offset: 0,
    reason: 'attempt 1 of 1 failed: odd 1',
    attemptCount: 1,
    attempts: [{ attempt: 1, error: 'odd 1' }],
    stub: { bytes: large.length, sha256: sha256(large), refusal: expect.stringMatching(/the limit is 20000/) },
  });
  expect(Buffer.from(stub?.value ?? [])).toEqual(Buffer.from(large.subarray(0, 1_024)));
  expect(r.of('log')).toMatchObject([{ level: 'warn', message: expect.stringMatching(/^large .* stub .*\/3\/0$/) }]);
  expect(r.of('state')).toEqual([]);
});

test('a stub omits its first bytes and attempts when they do not fit', async () => {
  const { r, p, seen } = await withSmallParkedTopic(1_500);
  await r.append(p, record('large', large), record('small', body({ n: 2, key: 'k' })));
  await r.clock.advance(1_000);
  expect(seen).toEqual([2]);
  const [stub] = await r.parkedNow(p);
  expect(stub?.note).toMatchObject({ id: 'large', stub: { bytes: large.length, sha256: sha256(large) } });
  expect(stub?.value).toHaveLength(0);
});

test('a parked topic too small for stubs is reported, and a higher limit repairs it', async () => {
  const { r, p, seen, limit, queue } = await withSmallParkedTopic(100);
  await r.append(p, record('large', large), { ...record('small', body({ n: 2 })), key: Buffer.from('other') });
  await r.clock.advance(60_000);
  expect(seen).toEqual([2]);
  expect(queue.stats().parked).toBe(0);
  expect(r.of('state')).toMatchObject([{ ok: false, reason: expect.stringMatching(/^large could not be parked yet/) }]);
  limit.bytes = 4_000_000;
  await r.clock.advance(5_000);
  expect(r.of('state')).toMatchObject([{ ok: false }, { ok: true }]);
  const [whole] = await r.parkedNow(p);
  expect(whole?.note['stub']).toBeUndefined();
  expect(whole?.value).toHaveLength(large.length);
});

test('a queue is reported as recovered only when the last delayed message was parked', async () => {
  const { r, p, limit, queue } = await withSmallParkedTopic(100);
  await r.append(p, record('large', large));
  await r.clock.advance(1_000);
  limit.bytes = 4_000_000;
  await r.append(p, { ...record('small', body({ n: 3 })), key: Buffer.from('other') });
  await r.clock.advance(1_000);
  expect(queue.stats().parked).toBe(1);
  limit.bytes = 100; // before the next try of the delayed message
  await r.clock.advance(20_000);
  expect(r.of('state')).toMatchObject([{ ok: false, reason: expect.stringMatching(/^large could not be parked yet/) }]);
  limit.bytes = 4_000_000;
  await r.clock.advance(5_000);
  expect(queue.stats().parked).toBe(2);
  expect(r.of('state')).toMatchObject([{ ok: false }, { ok: true }]);
});

test('a denied append to the parked topic is reported, and retried with the whole message', async () => {
  const { r, p, queue } = await withSmallParkedTopic(4_000_000);
  let refusals = 0;
  r.world.faults = ({ call, topic: to }) =>
    call === 'append' && to === parked.name && ++refusals <= 3
      ? { error: new BusError('NotAllowed', 'no right to write', { what: 'Write' }), done: false }
      : undefined;
  await r.append(p, record('large', large));
  await r.clock.advance(14_000);
  expect(refusals).toBe(3);
  expect(r.of('state')).toMatchObject([{ ok: false, reason: expect.stringMatching(/no right to write/) }]);
  await r.clock.advance(5_000);
  expect(queue.stats().parked).toBe(1);
  expect((await r.parkedNow(p))[0]?.note['stub']).toBeUndefined();
});

test('a key too large for the note is kept byte for byte, and replayed', async () => {
  const { r, p, broken } = await withSmallParkedTopic(4_000_000);
  const key = Buffer.alloc(100_000, 0xff);
  await r.append(p, { ...record('odd', body({ n: 1 })), key });
  await r.clock.advance(1_000);
  broken.is = false;
  expect(await replay(parts(p), await findParked(p.log, parked.name))).toBe(1);
  const [, again] = await p.log.peek(topic.name, { partition: 3, offset: 0 }, { messages: 9, bytes: 1e9 });
  expect(again?.key && key.equals(again.key)).toBe(true);
  expect(Object.keys(again?.headers ?? {})).toEqual(['bus']);
});

describe('replay and drop', () => {
  /** A stub of `large` and a neighbor that is parked whole. */
  async function withStub() {
    const all = await withSmallParkedTopic(20_000);
    await all.r.append(all.p, record('large', large), record('odd', body({ n: 3, key: 'k' })));
    await all.r.clock.advance(1_000);
    all.broken.is = false;
    const found = await findParked(all.p.log, parked.name);
    expect(found.map(({ note }) => [note.id, note.stub?.bytes])).toEqual([
      ['large', large.length],
      ['odd', undefined],
    ]);
    return { ...all, found };
  }

  test('replay of a stub rereads the whole message from its original offset', async () => {
    const { r, p, seen, found } = await withStub();
    expect(await replay(parts(p), found)).toBe(2);
    await r.clock.advance(1_000);
    expect(seen).toEqual([1, 3]);
    const again = await p.log.peek(topic.name, { partition: 3, offset: 2 }, { messages: 9, bytes: 1e9 });
    expect(again.map(({ value }) => sha256(value ?? Buffer.of()))).toEqual(
      [large, body({ n: 3, key: 'k' })].map(sha256),
    );
    expect(await findParked(p.log, parked.name)).toEqual([]);
  });

  test('replay reports a stub whose original was trimmed, and replays its neighbors', async () => {
    const { r, p, seen, found } = await withStub();
    await p.log.trim(topic.name, 3, 1);
    const failed: [string, unknown][] = [];
    expect(await replay(parts(p), found, ({ note }, error) => void failed.push([note.id, error]))).toBe(1);
    await r.clock.advance(1_000);
    expect(seen).toEqual([3]);
    expect(failed).toMatchObject([['large', { name: 'OriginalGoneError' }]]);
    expect(String(failed[0]?.[1])).toMatch(/t\.photos\.work\/3\/0 is no longer in the log/);
    const left = await findParked(p.log, parked.name);
    expect(left.map(({ note }) => note.id)).toEqual(['large']);
    await expect(replay(parts(p), left)).rejects.toThrow(/no longer in the log/);
  });

  test('replay of a stub rejects when its offset holds another message', async () => {
    const { p, found } = await withStub();
    const [stub] = found;
    if (!stub) throw new Error('there is a stub');
    const elsewhere: Parked = { ...stub, note: { ...stub.note, offset: 1 } };
    await expect(replay(parts(p), [elsewhere])).rejects.toThrow(/contains another message now/);
  });

  test('a message that its topic now rejects stays parked, and its neighbors are replayed', async () => {
    const { r, p, seen, found } = await withStub();
    const refusal = new BusError('TooLarge', 'too large', { bytes: 2, limitBytes: 1 });
    const log: typeof p.log = {
      ...p.log,
      append: async (name, records) => {
        if (name === topic.name && records.some(({ value }) => (value?.length ?? 0) > 50_000)) throw refusal;
        return p.log.append(name, records);
      },
    };
    const failed: [string, unknown][] = [];
    const report = ({ note }: Parked, error: unknown) => void failed.push([note.id, error]);
    expect(await replay({ ...parts(p), log }, found, report)).toBe(1);
    await r.clock.advance(1_000);
    expect(seen).toEqual([3]);
    expect(failed).toEqual([['large', refusal]]);
  });

  test('drop removes a stub', async () => {
    const { p, found } = await withStub();
    expect(await drop(parts(p), found)).toBe(2);
    expect(await findParked(p.log, parked.name)).toEqual([]);
  });
});
