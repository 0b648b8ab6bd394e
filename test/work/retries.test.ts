import { z } from 'zod';
import { BusError } from '../../src/base/errors';
import type { Job } from '../support/work-queue';
import { gates, jobs, loose, parked, workQueue, topic } from '../support/work-queue';

const fails = (message = 'no disk'): never => {
  throw new Error(message);
};

test('a failed message is retried with doubled waits, and parked after its last attempt', async () => {
  const r = workQueue();
  const p = r.process('a');
  const { resize } = jobs({ attempts: 4, backoffMs: 500 });
  await r.sender(p).send(resize, [{ n: 1 }]);
  const startMs = r.clock.now();
  const at: number[] = [];
  const queue = await r.take(p, resize, (_job, { attempt }) => {
    at.push(r.clock.now() - startMs);
    fails(`no disk ${attempt}`);
  });
  await r.clock.advance(20_000);
  expect(at).toEqual([0, 500, 1_500, 3_500]);
  expect(r.of('retried').map(({ attempt, delayMs }) => [attempt, delayMs])).toEqual([
    [1, 500],
    [2, 1_000],
    [3, 2_000],
  ]);
  const [record, ...more] = await r.parkedNow(p);
  expect(more).toEqual([]);
  expect(record?.note).toMatchObject({
    queue: 'photos.work',
    topic: topic.name,
    entry: 'photos.resize',
    key: '1',
    reason: 'attempt 4 of 4 failed: no disk 4',
    attemptCount: 4,
    parkedAtMs: startMs + 3_500,
    instance: 'photos#a',
    version: '1.2.3',
  });
  expect(record?.note.attempts.map(({ attempt, atMs, error }) => [attempt, atMs - startMs, error])).toEqual([
    [1, 0, 'no disk 1'],
    [2, 500, 'no disk 2'],
    [3, 1_500, 'no disk 3'],
    [4, 3_500, 'no disk 4'],
  ]);
  expect(record?.note.attempts[0]?.stack).toContain('retries.test');
  expect(queue.stats()).toMatchObject({ handled: 0, failed: 4, parked: 1, inBackoff: 0 });
  expect(await r.progress(p)).toEqual({ committed: 1, end: 1 });
  expect(r.of('parked')).toMatchObject([
    { queue: 'photos.work', attempts: 4, reason: 'attempt 4 of 4 failed: no disk 4' },
  ]);
});

test('a parked message keeps the causes of its errors, and its reason names them', async () => {
  const r = workQueue();
  const p = r.process('a');
  const { resize } = jobs({ attempts: 1 });
  await r.sender(p).send(resize, [{ n: 1 }]);
  await r.take(p, resize, () => {
    const refused = [8, 9].map((port) => new Error(`connect ECONNREFUSED 127.0.0.1:${port}`));
    throw new TypeError('fetch failed', { cause: new AggregateError(refused, 'no address answers') });
  });
  await r.clock.advance(1_000);
  const [record] = await r.parkedNow(p);
  expect(record?.note.attempts).toMatchObject([
    {
      error: expect.stringMatching(/^fetch failed; cause: no address answers; cause: .*:8; cause: .*:9$/),
      cause: {
        message: 'no address answers',
        errors: [{ message: 'connect ECONNREFUSED 127.0.0.1:8' }, { message: 'connect ECONNREFUSED 127.0.0.1:9' }],
      },
    },
  ]);
  expect(record?.note.reason).toContain('connect ECONNREFUSED 127.0.0.1:9');
});

test('a parked message has its original bytes and header', async () => {
  const r = workQueue();
  const p = r.process('a');
  const { resize } = jobs();
  await r.sender(p).send(resize, [{ n: 1, key: 'ü' }]);
  await r.take(p, resize, (_job, { park }) => park('a reason'));
  await r.clock.advance(100);
  const [record] = await r.parkedNow(p);
  const bounds = (await p.log.bounds(topic.name)).find(({ end }) => end > 0);
  const [original] = await p.log.peek(
    topic.name,
    { partition: bounds?.partition ?? -1, offset: 0 },
    { messages: 1, bytes: 1 },
  );
  expect(record?.value).toEqual(original?.value);
  expect(record?.headers['bus']).toBe(original?.headers['bus']);
  expect(Buffer.from(record?.key ?? []).toString()).toBe(`photos.work/${topic.name}/${bounds?.partition}/0`);
  expect(record?.note).toMatchObject({ reason: 'a reason', attemptCount: 1, key: 'ü' });
});

test("'in-order' blocks the key during the wait, 'aside' does not, and neither blocks other keys", async () => {
  const orders: Record<string, string[]> = {};
  for (const retry of ['in-order', 'aside'] as const) {
    const r = workQueue();
    const p = r.process('a');
    const { resize } = jobs({ retry, backoffMs: 1_000 });
    const sends = ['a1', 'a2', 'b1', 'a3', 'b2'].map((name) => ({ n: Number(name[1]), key: name.charAt(0) }));
    await r.sender(p).send(resize, sends);
    const order: string[] = (orders[retry] = []);
    await r.take(p, resize, ({ n, key }, { attempt }) => {
      order.push(`${key}${n}`);
      if (key === 'a' && n === 1 && attempt === 1) fails();
    });
    await r.clock.advance(5_000);
    expect(await r.progress(p)).toEqual({ committed: 5, end: 5 });
  }
  const of = (retry: string, key: string) => orders[retry]?.filter((name) => name.startsWith(key));
  expect(of('in-order', 'a')).toEqual(['a1', 'a1', 'a2', 'a3']);
  expect(of('aside', 'a')).toEqual(['a1', 'a2', 'a3', 'a1']);
  for (const retry of ['in-order', 'aside']) expect(of(retry, 'b')).toEqual(['b1', 'b2']);
  expect(orders['in-order']?.slice(-3)).toEqual(['a1', 'a2', 'a3']);
});

test('a body that its schema rejects is parked immediately, with the field', async () => {
  const r = workQueue();
  const p = r.process('a');
  await r.sender(p).send(jobs().resize, [{ n: 1 }, { n: 2 }]);
  const strict = jobs({}, z.object({ n: z.number().min(2) }));
  const seen: number[] = [];
  await r.take(p, strict.resize, ({ n }) => void seen.push(n));
  await r.clock.advance(10);
  expect(seen).toEqual([2]);
  const [record] = await r.parkedNow(p);
  expect(record?.note).toMatchObject({
    attemptCount: 1,
    reason: expect.stringMatching(/^input of photos.resize: n: /),
  });
});

test.each<[string, () => unknown]>([
  ['an object without a prototype', () => Object.create(null)],
  ['an error whose message is not a string', () => Object.assign(new Error('x'), { message: 42, stack: 7 })],
  [
    'a revoked Proxy',
    () => {
      const { proxy, revoke } = Proxy.revocable({}, {});
      revoke();
      return proxy;
    },
  ],
])('a handler that throws %s is retried and parked, and the next message is handled', async (_what, thrown) => {
  const r = workQueue();
  const p = r.process('a');
  const { resize } = jobs({ attempts: 2 });
  await r.sender(p).send(
    resize,
    [1, 2].map((n) => ({ n, key: 'k' })),
  );
  const seen: number[] = [];
  await r.take(p, resize, async ({ n }) => {
    seen.push(n);
    if (n === 1) throw thrown();
  });
  await r.clock.advance(60_000);
  expect(seen).toEqual([1, 1, 2]);
  expect((await r.parkedNow(p)).map(({ note }) => note.attempts.map(({ error }) => typeof error))).toEqual([
    ['string', 'string'],
  ]);
});

test('an Invalid thrown within the handler is retried', async () => {
  const r = workQueue();
  const p = r.process('a');
  const { resize } = jobs();
  await r.sender(p).send(resize, [{ n: 1 }]);
  const attempts: number[] = [];
  await r.take(p, resize, (_job, { attempt }) => {
    attempts.push(attempt);
    if (attempt === 1) throw new BusError('Invalid', 'input of other.entry', { side: 'input', issues: [] });
  });
  await r.clock.advance(5_000);
  expect(attempts).toEqual([1, 2]);
});

test('unreadable bodies and headers are parked unchanged while their neighbors are handled', async () => {
  const r = workQueue();
  const p = r.process('a');
  const { resize } = jobs();
  const key = Buffer.from('k');
  const bad = { partition: 3, key, value: Buffer.from([0xc1, 1, 2]), headers: {} };
  await r.append(p, bad, { ...bad, headers: { bus: '1 work photos.resize' } });
  await r.sender(p).send(resize, [{ n: 1 }, { n: 2 }]);
  const seen: number[] = [];
  const queue = await r.take(p, resize, ({ n }) => void seen.push(n));
  await r.clock.advance(100);
  expect(new Set(seen)).toEqual(new Set([1, 2]));
  const records = await r.parkedNow(p);
  expect(records.map(({ note }) => [note.id, note.entry, note.reason])).toEqual([
    [`${topic.name}/3/0`, 'photos.resize', expect.stringMatching(/^its body cannot be decoded: /)],
    [`${topic.name}/3/1`, '', expect.stringMatching(/^its header cannot be decoded: it has fewer than six words/)],
  ]);
  for (const { value } of records) expect(Buffer.from(value ?? [])).toEqual(Buffer.from([0xc1, 1, 2]));
  expect(queue.stats()).toMatchObject({ parked: 2, handled: 2 });
  expect((await r.progress(p)).committed).toBe(4);
});

test('numbers and keys that JavaScript cannot represent exactly are parked with their path', async () => {
  const r = workQueue();
  const p = r.process('a');
  const { resize } = jobs();
  const put = (value: Uint8Array) => ({ partition: 3, key: Buffer.from('k'), value, headers: {} });
  const int64 = [0xcf, 0, 0x20, 0, 0, 0, 0, 0, 1];
  await r.append(
    p,
    put(Buffer.from('{"n": {"id": 9007199254740993}}')),
    put(Buffer.from('{"n": [0.12345678901234567890]}')),
    put(Buffer.from('{"n": 1, "n": 2}')),
    put(Uint8Array.of(0x81, 0xa1, 0x6e, 0x81, 0xa2, 0x69, 0x64, ...int64)),
    put(Buffer.from('7')),
    put(Buffer.from('{"n": 9007199254740991}')),
  );
  const seen: unknown[] = [];
  await r.take(p, resize, ({ n }) => void seen.push(n));
  await r.clock.advance(100);
  expect(seen).toEqual([9007199254740991]);
  expect((await r.parkedNow(p)).map(({ note }) => note.reason)).toEqual([
    expect.stringContaining('n.id: the whole number 9007199254740993'),
    expect.stringContaining('n.0: the number 0.12345678901234567890'),
    expect.stringContaining('n: the key "n" twice'),
    expect.stringContaining('in n.id: an integer beyond 2^53'),
    expect.stringContaining('55 in MessagePack and 7 in JSON'),
  ]);
});

test("a foreign producer's record gets its id from its offset and the only entry", async () => {
  const r = workQueue();
  const p = r.process('a');
  const { resize } = loose();
  await r.append(p, { partition: 2, key: null, value: Buffer.from([0x81, 0xa1, 0x6e, 7]), headers: { other: 'x' } }); // {n: 7}
  const seen: unknown[] = [];
  await r.take(p, resize, (job, { id, from }) => void seen.push(job, id, from));
  await r.clock.advance(10);
  expect(seen).toEqual([{ n: 7 }, `${topic.name}/2/0`, { module: '', instance: '' }]);
});

test('messages of another kind or without an entry are parked unchanged', async () => {
  const r = workQueue();
  const p = r.process('a');
  const { resize } = loose();
  const bus = '1 request photos.resize id-1 web#1 -';
  const value = Buffer.from([0x81, 0xa1, 0x6e, 7]); // {n: 7}
  const record = { partition: 2, key: null, value, headers: { theirs: 'x' } };
  await r.append(p, record, { ...record, headers: { bus } });
  const handling = { entry: resize, run: () => undefined };
  const entries = new Map([resize.name, 'photos.sharpen'].map((name) => [name, handling]));
  await r.take(p, resize, () => undefined, { entries });
  await r.clock.advance(10);
  const records = await r.parkedNow(p);
  expect(records.map(({ note }) => note.reason)).toEqual([
    'no header names its entry',
    'a request cannot be handled from a queue',
  ]);
  expect(records.map(({ headers }) => Object.keys(headers).toSorted())).toEqual([['parked'], ['bus', 'parked']]);
});

test.each([true, false])('a park of unknown outcome (done: %s) is retried before the message settles', async (done) => {
  const r = workQueue();
  const p = r.process('a');
  const { resize } = jobs({ attempts: 1 });
  await r.sender(p).send(resize, [{ n: 1 }]);
  r.world.faults = ({ call, topic: to, n }) =>
    call === 'append' && to === parked.name && n <= 3
      ? { error: new BusError('Unreachable', 'no answer', { outcome: 'not-sent', waitedMs: 1 }), done }
      : undefined;
  const queue = await r.take(p, resize, () => fails());
  await r.clock.advance(50);
  expect(queue.stats()).toMatchObject({ parked: 0, failed: 1 });
  await r.clock.advance(10_000);
  expect(await r.parkedNow(p)).toHaveLength(1);
  expect(queue.stats()).toMatchObject({ parked: 1 });
  expect((await r.progress(p)).committed).toBe(1);
  expect(r.of('state')).toMatchObject([
    { part: 'queue photos.work', ok: false },
    { part: 'queue photos.work', ok: true },
  ]);
});

test('a message whose park is not confirmed is not committed when its process dies', async () => {
  const r = workQueue();
  const [a, b] = [r.process('a'), r.process('b')];
  const { resize } = jobs({ attempts: 1 });
  await r.sender(a).send(resize, [{ n: 1 }]);
  r.world.faults = ({ process, call, topic: to }) =>
    process === 'a' && call === 'append' && to === parked.name ? { delayMs: 60_000 } : undefined;
  await r.take(a, resize, () => fails());
  await r.clock.advance(5_000);
  a.crash();
  await r.take(b, resize, () => fails());
  await r.clock.advance(5_000);
  expect(await r.parkedNow(b)).toHaveLength(1);
});

test('the note of a parked message is bounded and keeps the last 20 attempts', async () => {
  const r = workQueue();
  const p = r.process('a');
  const { resize } = jobs({ attempts: 60, backoffMs: 1 });
  await r.sender(p).send(resize, [{ n: 1 }]);
  await r.take(p, resize, () => fails('ü'.repeat(5_000)));
  await r.clock.advance(3_600_000);
  const [record] = await r.parkedNow(p);
  expect(Buffer.byteLength(record?.headers['parked'] ?? '')).toBeLessThanOrEqual(60_000);
  expect(record?.note.attemptCount).toBe(60);
  expect(record?.note.attempts.map(({ attempt }) => attempt)).toEqual(Array.from({ length: 20 }, (_, n) => 41 + n));
});

test('a retried message set aside waits for the running message of its key', async () => {
  const r = workQueue();
  const p = r.process('a');
  const { resize } = jobs({ retry: 'aside', backoffMs: 100 });
  await r.sender(p).send(resize, [
    { n: 1, key: 'k' },
    { n: 2, key: 'k' },
  ]);
  const { wait, open } = gates();
  const log: string[] = [];
  await r.take(p, resize, async ({ n }: Job, { attempt }) => {
    log.push(`${n} starts`);
    if (n === 1 && attempt === 1) fails();
    if (n === 2) await wait('two');
    log.push(`${n} ends`);
  });
  await r.clock.advance(1_000);
  expect(log).toEqual(['1 starts', '2 starts']);
  open('two');
  await r.clock.advance(1_000);
  expect(log).toEqual(['1 starts', '2 starts', '2 ends', '1 starts', '1 ends']);
});
