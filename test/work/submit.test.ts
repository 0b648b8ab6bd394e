import { z } from 'zod';
import { BusError } from '../../src/base/errors';
import { limits } from '../../src/base/limits';
import { openNotices, type Notice } from '../../src/base/notices';
import { defineModule, event, unchecked, work } from '../../src/contract/contract';
import { openScopes, type Scope } from '../../src/delivery/context';
import type { Envelope } from '../../src/format/envelope-fields';
import { parseEnvelope } from '../../src/format/envelope-parser';
import { partitionOf } from '../../src/format/partition';
import { decodeBody } from '../../src/format/codec';
import { memoryWorld, virtualClock, type MemoryWorld } from '../../src/memory';
import { PartialAppendError, type Stored } from '../../src/ports/log';
import { openSender } from '../../src/work/submit';
import type { MessagePlace, Sender, SenderParts } from '../../src/work/types';
import type { AnyEntry, Schema } from '../../src/contract/types';
import { heavy } from '../heavy';
import { gates, jobs, workQueue, type Job } from '../support/work-queue';

const { resize, sharpen, added } = defineModule('photos', {
  resize: work(z.object({ id: z.string(), width: z.string().transform(Number) }), {
    key: ({ width }) => `w${width * 2}`,
  }),
  sharpen: work(unchecked<unknown>(), { queue: 'slow' }),
  added: event(unchecked<{ n: number }>()),
});

afterEach(() => jest.restoreAllMocks());

function open(more: Partial<SenderParts> = {}) {
  const clock = virtualClock();
  const world: MemoryWorld = memoryWorld({ clock });
  const process = world.process('a');
  const appends: number[] = [];
  const log = {
    ...process.log,
    append: (...args: Parameters<typeof process.log.append>) => (
      appends.push(args[1].length),
      process.log.append(...args)
    ),
  };
  const scopes = openScopes();
  const sender = openSender({
    clock,
    random: world.random,
    notices: openNotices(),
    scopes,
    log,
    self: { module: 'web', instance: 'web#0001' },
    ns: 't',
    incarnation: '0123456789abcdef',
    reached: 'disk',
    ...more,
  });
  /** Returns the records of a topic in the order of their stamps. */
  async function sent(topic: string): Promise<(Stored & { readonly envelope: Envelope; readonly body: unknown })[]> {
    const found: (Stored & { envelope: Envelope; body: unknown })[] = [];
    for (let partition = 0; partition < 12; partition++) {
      for (const record of await process.log.peek(topic, { partition, offset: 0 }, { messages: 10_000, bytes: 1e9 })) {
        const envelope = parseEnvelope(record.headers['bus'] ?? '');
        if ('bad' in envelope) throw new Error(envelope.bad);
        const body = decodeBody(record.value ?? new Uint8Array());
        found.push({ ...record, envelope, body: body.ok && body.value });
      }
    }
    return found.sort((a, b) => (a.envelope.stamp?.position ?? 0) - (b.envelope.stamp?.position ?? 0));
  }
  return { clock, world, process, sender, scopes, appends, sent };
}

test('a message carries its original input, with the key and partition of its checked body', async () => {
  const { sender, sent, clock } = open();
  const [answer] = await sender.send(resize, [{ id: 'a', width: '21' }]);
  const [record] = await sent('t.photos.work');
  const place = { topic: 't.photos.work', partition: record?.partition, offset: record?.offset };
  expect(answer).toEqual({ id: record?.envelope.id, reached: 'disk', place });
  expect(record?.body).toEqual({ id: 'a', width: '21' });
  expect(Buffer.from(record?.key ?? []).toString()).toBe('w42');
  expect(record?.partition).toBe(partitionOf(Buffer.from('w42'), 12));
  expect(record?.envelope).toMatchObject({
    kind: 'work',
    entry: 'photos.resize',
    from: 'web#0001',
    sentMs: clock.now(),
    stamp: { incarnation: '0123456789abcdef', position: 1 },
  });
});

test('the id decides the partition of a keyless message; own queues have own topics', async () => {
  const { sender, sent } = open();
  const answers = await sender.send(sharpen, [1, 2, 3]);
  await sender.send(added, [{ n: 1 }]);
  const records = await sent('t.photos.work.slow');
  expect(records.map(({ envelope }) => envelope.id)).toEqual(answers.map(({ id }) => id));
  for (const { key, partition, envelope } of records) {
    expect([key, partition]).toEqual([null, partitionOf(Buffer.from(envelope.id), 12)]);
  }
  expect((await sent('t.photos.events')).map(({ envelope }) => envelope.kind)).toEqual(['event']);
});

test('messages of one turn are sent in one append, in call order with rising stamps', async () => {
  const { sender, appends, sent } = open();
  await sender.send(sharpen, [0]); // the topic exists from now on
  appends.length = 0;
  await Promise.all([1, 2, 3].map((n) => sender.send(sharpen, [n, `${n}b`])));
  expect(appends).toEqual([6]);
  const records = await sent('t.photos.work.slow');
  expect(records.map(({ body }) => body)).toEqual([0, 1, '1b', 2, '2b', 3, '3b']);
  expect(records.map(({ envelope }) => envelope.stamp?.position)).toEqual([1, 2, 3, 4, 5, 6, 7]);
});

test('calls that share an append each get the places of their own messages', async () => {
  const { sender, appends, sent } = open();
  await sender.send(sharpen, [0]);
  appends.length = 0;
  const all = (await Promise.all([[1], [2, 3, 4], [5]].map((bodies) => sender.send(sharpen, bodies)))).flat();
  expect(appends).toEqual([5]);
  const records = (await sent('t.photos.work.slow')).slice(1);
  expect(all.map(({ id }) => id)).toEqual(records.map(({ envelope }) => envelope.id));
  expect(all.map(({ place }) => place)).toEqual(
    records.map(({ partition, offset }) => ({ topic: 't.photos.work.slow', partition, offset })),
  );
});

test('the last place of each partition is known, also of the stored part of a failed list', async () => {
  const { sender, process } = open();
  expect(await sender.lastPlaces()).toEqual([]);
  const answers = [
    ...(await sender.send(sharpen, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16])),
    ...(await sender.send(added, [{ n: 1 }])),
  ];
  const last = new Map(
    answers.flatMap(({ place }) => (place ? [[`${place.topic}/${place.partition}`, place] as const] : [])),
  );
  const byName = (a: MessagePlace, b: MessagePlace): number =>
    a.topic === b.topic ? a.partition - b.partition : a.topic < b.topic ? -1 : 1;
  expect(await sender.lastPlaces()).toEqual([...last.values()].toSorted(byName));

  const refusal = new BusError('TooLarge', 'too large for it', { bytes: 2, limitBytes: 1 });
  const places = [{ partition: 2, offset: 7 }, undefined, { partition: 2, offset: 5 }];
  const append = () => Promise.reject(new PartialAppendError(refusal, new Map([[1, refusal]]), 3, places));
  const partial = open({ log: { ...process.log, append } }).sender;
  await expect(partial.send(sharpen, [1, 2, 3], 'list')).rejects.toMatchObject({ code: 'TooLarge' });
  expect(await partial.lastPlaces()).toEqual([{ topic: 't.photos.work.slow', partition: 2, offset: 7 }]);
});

test('the last places reject with Closed when the spool is closed before the servers have them', async () => {
  const close: (() => void)[] = [];
  const { process, sender, clock } = open({
    spool: {
      reached: 'disk',
      ensure: (topic) => process.log.ensure(topic),
      append: (topic, records) => process.log.append(topic, records),
      forwarded: () => new Promise((resolve) => close.push(() => resolve(undefined))),
    },
  });
  await sender.send(sharpen, [1, 2]);
  const places = sender.lastPlaces();
  places.catch(() => undefined); // awaited below
  await sender.close();
  await clock.advance(300);
  for (const end of close) end();
  await expect(places).rejects.toMatchObject({ code: 'Closed', details: { outcome: 'not-sent', sinceMs: 300 } });
  await expect(sender.send(sharpen, [3])).rejects.toMatchObject({ code: 'Closed', details: { sinceMs: 300 } });
});

heavy('one append has at most 1,000 messages of different calls', async () => {
  const { sender, appends, sent } = open();
  await sender.send(sharpen, [0]);
  appends.length = 0;
  await Promise.all(Array.from({ length: 1_100 }, (_, n) => sender.send(sharpen, [n + 1])));
  expect(appends).toEqual([1_000, 100]);
  expect((await sent('t.photos.work.slow')).map(({ body }) => body)).toEqual(
    Array.from({ length: 1_101 }, (_, n) => n),
  );
});

test('a message that waits for its schema is not overtaken by later ones', async () => {
  const { clock, sender, sent } = open();
  const slow = z.number().refine(async (n) => {
    if (n === 1) await new Promise<void>((resolve) => void clock.after(100, resolve));
    return n !== 2;
  });
  const { job } = defineModule('slow', { job: work(slow) });
  const answers = [1, 2, 3].map((n) => sender.send(job, [n]));
  const refused = answers[1]?.catch((error: unknown) => error);
  await clock.advance(200);
  expect(await refused).toMatchObject({ code: 'Invalid' });
  await Promise.all([answers[0], answers[2]]);
  expect((await sent('t.slow.work')).map(({ body }) => body)).toEqual([1, 3]);
});

test('one invalid input rejects its whole call, but no other call', async () => {
  const { sender, sent } = open();
  const good = { id: 'a', width: '1' };
  // The body breaks the contract deliberately.
  const bad = sender.send(resize, [good, { id: 'b' }]);
  const fine = sender.send(resize, [good]);
  await expect(bad).rejects.toMatchObject({ code: 'Invalid', message: expect.stringContaining('width') });
  await fine;
  expect(await sent('t.photos.work')).toHaveLength(1);
});

test('oversized bodies and keys are TooLarge, unserializable bodies and invalid keys Invalid', async () => {
  const { sender } = open({ messageBytesMax: 1_000 });
  await expect(sender.send(sharpen, ['x'.repeat(1_000)])).rejects.toMatchObject({
    code: 'TooLarge',
    details: { limitBytes: 1_000 },
  });
  await expect(sender.send(sharpen, [{ deep: { f: () => 1 } }])).rejects.toMatchObject({
    code: 'Invalid',
    message: expect.stringContaining('deep.f'),
  });
  const keyed = (key: (body: unknown) => string) =>
    defineModule('keyed', { job: work(unchecked<unknown>(), { key }) }).job;
  // @ts-expect-error an untyped caller can write this
  const noText = keyed(() => 7);
  await expect(sender.send(noText, [1])).rejects.toMatchObject({
    code: 'Invalid',
    message: 'key of keyed.job returned number, not a string',
  });
  const throws = keyed(() => {
    throw new Error('no id');
  });
  await expect(sender.send(throws, [1])).rejects.toMatchObject({
    code: 'Invalid',
    message: 'key of keyed.job threw: no id',
  });
  await expect(
    sender.send(
      keyed(() => 'k'.repeat(1_025)),
      [1],
    ),
  ).rejects.toMatchObject({ code: 'TooLarge' });
});

test('oversized baggage rejects only its own message', async () => {
  const { sender, scopes, sent } = open();
  await sender.send(sharpen, [0]);
  const scope: Scope = {
    id: 'cause-1',
    deadline: Infinity,
    baggage: { text: 'x'.repeat(5_000) },
    traceparent: undefined,
    open: true,
  };
  const large = scopes.run(scope, () => sender.send(sharpen, [1]));
  const fine = sender.send(sharpen, [2]);
  await expect(large).rejects.toMatchObject({ code: 'TooLarge' });
  await fine;
  expect((await sent('t.photos.work.slow')).map(({ body }) => body)).toEqual([0, 2]);
});

test('a message that the log rejects fails its own call only', async () => {
  const { process } = open();
  const refusal = new BusError('TooLarge', 'too large for it', { bytes: 2, limitBytes: 1 });
  const failed = new Map([1, 3].map((place) => [place, refusal]));
  const places = [10, undefined, 12, undefined, 14].map((offset) =>
    offset === undefined ? undefined : { partition: 3, offset },
  );
  const append = () => Promise.reject(new PartialAppendError(refusal, failed, 5, places));
  const { sender } = open({ log: { ...process.log, append } });
  const sends = [[0], [1], [2, 3], [4]].map((bodies) => sender.send(sharpen, bodies).catch((error: unknown) => error));
  const [before, guilty, list, behind] = await Promise.all(sends);
  const at = (offset: number) => [
    { id: expect.any(String), reached: 'disk', place: { topic: 't.photos.work.slow', partition: 3, offset } },
  ];
  expect([before, behind]).toEqual([at(10), at(14)]);
  expect(guilty).toBe(refusal);
  expect(list).toMatchObject({
    code: 'TooLarge',
    message: expect.stringContaining('1 of 2 records were not appended'),
  });
});

test('a message resolves without a place when the log reports none', async () => {
  const { process } = open();
  const refusal = new BusError('TooLarge', 'too large for it', { bytes: 2, limitBytes: 1 });
  const append = () => Promise.reject(new PartialAppendError(refusal, new Map([[1, refusal]]), 2));
  const { sender } = open({ log: { ...process.log, append } });
  const [stored, refused] = [[1], [2]].map((bodies) => sender.send(sharpen, bodies));
  await expect(refused).rejects.toBe(refusal);
  expect(await stored).toEqual([{ id: expect.any(String), reached: 'disk' }]);
});

describe('the error of a list has the index and id of the failed body', () => {
  const slow: Schema = {
    '~standard': {
      version: 1,
      vendor: 'test',
      validate: async (value) => (value === 'bad' ? { issues: [{ message: 'no' }] } : { value }),
    },
  };
  const { late, keyed } = defineModule('lists', {
    late: work(slow),
    keyed: work(unchecked<string>(), { key: (text) => (text === 'bad' ? (undefined as never) : text) }),
  });
  const good = { id: 'a', width: '21' };
  it.each([
    ['breaks its schema', resize, [good, good, { id: 1, width: '2' }, good], 2, 'Invalid'],
    ['breaks an asynchronous schema', late, ['a', 'bad', 'c'], 1, 'Invalid'],
    ['cannot be sent', sharpen, [1, () => 1], 1, 'Invalid'],
    ['is too large', sharpen, [1, 2, 'x'.repeat(1_000_001)], 2, 'TooLarge'],
    ['has no key', keyed, ['a', 'b', 'c', 'bad'], 3, 'Invalid'],
  ] as const)('when a body %s', async (_what, entry, bodies, index, code) => {
    const { sender, sent } = open();
    await sender.send(entry, [bodies[0]]);
    const topic = entry === sharpen ? 't.photos.work.slow' : `t.${entry.name.split('.')[0]}.work`;
    const before = await sent(topic);
    const error: unknown = await sender.send(entry, bodies, 'list').catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code, details: { index, id: expect.stringMatching(/^[0-9a-z]{26}$/) } });
    const { details, message } = error as BusError<'Invalid'>;
    expect(message).toContain(`body ${index} of ${bodies.length} (counted from 0, id ${details.id})`);
    expect(await sent(topic)).toEqual(before); // no message of the list was sent
  });

  it('when the log rejects a body, while the other bodies are stored', async () => {
    const { process } = open();
    const refusal = new BusError('TooLarge', 'the topic takes less', { bytes: 2, limitBytes: 1 });
    const append = () => Promise.reject(new PartialAppendError(refusal, new Map([[2, refusal]]), 3));
    const { sender } = open({ log: { ...process.log, append } });
    const error: unknown = await sender.send(sharpen, [1, 2, 3], 'list').catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'TooLarge', details: { index: 2, id: expect.any(String) } });
  });

  it('when the baggage does not fit', async () => {
    const { sender, scopes, sent } = open();
    await sender.send(sharpen, [0]);
    const baggage = { text: 'x'.repeat(5_000) };
    const scope: Scope = { id: 'cause-1', deadline: Infinity, baggage, traceparent: undefined, open: true };
    const sending = scopes.run(scope, () => sender.send(sharpen, [1, 2], 'list'));
    await expect(sending).rejects.toMatchObject({ code: 'TooLarge', details: { index: 0, id: expect.any(String) } });
    expect(await sent('t.photos.work.slow')).toHaveLength(1);
  });

  it('except the error of a single message', async () => {
    const { sender } = open();
    const error: unknown = await sender.send(sharpen, [() => 1]).catch((thrown: unknown) => thrown);
    expect((error as BusError<'Invalid'>).details).not.toHaveProperty('index');
  });
});

test('a list with more messages than the limit is TooLarge and not retryable', async () => {
  const { sender, appends } = open();
  const list = Array.from({ length: limits.sendingMax + 1 }, () => 1);
  await expect(sender.send(sharpen, list, 'list')).rejects.toMatchObject({
    code: 'TooLarge',
    retryable: false,
    details: { messages: 100_001, limitMessages: 100_000 },
    remedy: expect.stringContaining('Divide the list'),
  });
  expect(appends).toEqual([]);
});

test('a list with more bytes than the limit is TooLarge, and not encoded further', async () => {
  jest.replaceProperty(limits, 'sendingBytesMax', 10_000 as never);
  const { sender, appends } = open();
  const encoded: number[] = [];
  const bodyOf = (n: number) => ({
    get text() {
      encoded.push(n);
      return 'x'.repeat(1_000);
    },
  });
  const list = Array.from({ length: 100 }, (_, n) => bodyOf(n));
  const slow = {
    '~standard': { version: 1 as const, vendor: 'test', validate: async (value: unknown) => ({ value }) },
  };
  for (const entry of [sharpen, defineModule('late', { late: work(slow) }).late]) {
    encoded.length = 0;
    await expect(sender.send(entry, list, 'list')).rejects.toMatchObject({
      code: 'TooLarge',
      retryable: false,
      message: expect.stringContaining('a list of 100 messages'),
      details: { bytes: expect.any(Number), limitBytes: 10_000 },
      remedy: expect.stringContaining('Divide the list'),
    });
    expect(Math.max(...encoded)).toBeLessThan(11);
  }
  expect(appends).toEqual([]);
  await sender.send(sharpen, list.slice(0, 9), 'list');
});

heavy('a list of exactly the maximum length is sent', async () => {
  const { sender, appends } = open();
  await sender.send(
    sharpen,
    Array.from({ length: limits.sendingMax }, () => 1),
    'list',
  );
  expect(appends).toEqual([limits.sendingMax]);
});

test('a key with an unpaired surrogate is Invalid', async () => {
  const { keyed } = defineModule('halves', { keyed: work(unchecked<string>(), { key: (text) => text }) });
  const { sender } = open();
  await expect(sender.send(keyed, ['a\ud800'])).rejects.toMatchObject({
    code: 'Invalid',
    message: expect.stringContaining('half of a surrogate pair'),
  });
});

test('a message sent within a handler carries its cause, baggage and trace', async () => {
  const { sender, scopes, sent } = open();
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
  const scope: Scope = { id: 'cause-1', deadline: Infinity, baggage: { tenant: 'x' }, traceparent, open: true };
  await scopes.run(scope, () => sender.send(sharpen, [1]));
  const [record] = await sent('t.photos.work.slow');
  expect(record?.envelope).toMatchObject({ cause: 'cause-1', baggage: { tenant: 'x' } });
  expect(record?.headers['traceparent']).toBe(traceparent);
});

test('an append of unknown outcome is Unreachable, and later messages are sent', async () => {
  const { world, sender, sent } = open();
  world.faults = ({ call, n }) =>
    call === 'append' && n === 1
      ? { error: new BusError('Unreachable', 'no answer', { outcome: 'unknown', waitedMs: 1 }), done: true }
      : undefined;
  await expect(sender.send(sharpen, [1])).rejects.toMatchObject({
    code: 'Unreachable',
    details: { outcome: 'unknown' },
    retryable: false,
  });
  await sender.send(sharpen, [2]);
  expect(await sent('t.photos.work.slow')).toHaveLength(2);
});

test('a failed topic creation rejects the waiting messages, and the next message retries it', async () => {
  const { world, sender } = open();
  world.faults = ({ call, n }) => (call === 'ensure' && n === 1 ? 'drop' : undefined);
  const answers = [sender.send(sharpen, [1]), sender.send(sharpen, [2])];
  for (const answer of answers) {
    await expect(answer).rejects.toMatchObject({
      code: 'Unreachable',
      details: { outcome: 'not-sent' },
      retryable: true,
    });
  }
  await expect(sender.send(sharpen, [3])).resolves.toHaveLength(1);
});

test('at most sendingMax messages wait for an unresponsive log', async () => {
  jest.replaceProperty(limits, 'sendingMax', 10 as never);
  const { world, sender } = open();
  await sender.send(sharpen, [0]);
  world.faults = ({ call }) => (call === 'append' ? { delayMs: 1e6 } : undefined);
  void sender.send(sharpen, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
  void sender.send(sharpen, [10]);
  const details = { limit: 10, waiting: 10 };
  await expect(sender.send(sharpen, [11])).rejects.toMatchObject({ code: 'Overloaded', details });
});

/** Sends 120 messages of 900 KB, and returns counts of their outcomes, which change as they resolve. */
async function sendLarge(sender: Sender, entry: AnyEntry): Promise<Record<string, number>> {
  const ends: Record<string, number> = { waiting: 120 };
  const count = (end: string): void => {
    ends[end] = (ends[end] ?? 0) + 1;
    ends['waiting']!--;
  };
  for (let n = 0; n < 120; n++) {
    sender.send(entry, ['x'.repeat(900_000)]).then(
      () => count('sent'),
      (error: BusError) => count(error.code),
    );
  }
  await new Promise((resolve) => setImmediate(resolve));
  return ends;
}
/** Messages within the byte limit: 900,000 letters and 5 bytes for their length each. */
const largeMax = Math.floor(limits.sendingBytesMax / 900_005);

heavy('messages that wait for a new topic are bounded in bytes, and more are Overloaded', async () => {
  const { clock, world, sender } = open();
  world.faults = ({ call }) => (call === 'ensure' ? { delayMs: 5_000 } : undefined);
  const { text } = defineModule('texts', { text: work(unchecked<string>()) });
  expect(await sendLarge(sender, text)).toEqual({ waiting: largeMax, Overloaded: 120 - largeMax });
  await expect(sender.send(text, ['x'.repeat(900_000)])).rejects.toMatchObject({
    code: 'Overloaded',
    details: { waiting: largeMax, bytes: largeMax * 900_005, limitBytes: limits.sendingBytesMax },
  });
  await clock.advance(10_000);
  await expect(sender.send(text, ['x'])).resolves.toHaveLength(1);
});

heavy('messages that wait for an asynchronous schema are also bounded in bytes', async () => {
  const { clock, sender } = open();
  const slow = { '~standard': { version: 1 as const, vendor: 'test', validate: (value: unknown) => checked(value) } };
  const checked = (value: unknown): Promise<{ value: unknown }> =>
    new Promise((resolve) => clock.after(5_000, () => resolve({ value })));
  const { text } = defineModule('texts', { text: work(slow) });
  const ends = await sendLarge(sender, text);
  expect(ends).toEqual({ waiting: largeMax, Overloaded: 120 - largeMax });
  await clock.advance(10_000);
  expect(ends).toMatchObject({ waiting: 0, sent: largeMax });
});

test('close waits for pending appends, and rejects new messages with Closed', async () => {
  const { clock, world, sender, sent } = open();
  world.faults = ({ call }) => (call === 'append' ? { delayMs: 500 } : undefined);
  const answer = sender.send(sharpen, [1]);
  let closed = false;
  const closing = sender.close().then(() => (closed = true));
  await expect(sender.send(sharpen, [2])).rejects.toMatchObject({ code: 'Closed' });
  await clock.advance(400);
  expect(closed).toBe(false);
  await clock.advance(200);
  await Promise.all([answer, closing]);
  expect(await sent('t.photos.work.slow')).toHaveLength(1);
});

test('each stored message emits one notice', async () => {
  const notices = openNotices();
  const told: Notice[] = [];
  notices.watch((notice) => told.push(notice));
  const { sender } = open({ notices });
  const answers = await sender.send(added, [{ n: 1 }, { n: 2 }]);
  expect(told).toEqual(answers.map(({ id }) => ({ type: 'sent', kind: 'event', entry: 'photos.added', id })));
});

test('a second rejected body of a list causes no unhandled rejection', async () => {
  const r = workQueue();
  const { wait, open } = gates();
  const schema: Schema<Job> = {
    '~standard': {
      version: 1,
      vendor: 'test',
      validate: (job) =>
        (job as Job).n === 1 // only jobs are sent here
          ? wait('later').then(() => ({ issues: [{ message: 'late' }] }))
          : { issues: [{ message: 'at once' }] },
    },
  };
  const uncaught: unknown[] = [];
  const hear = (error: unknown): void => void uncaught.push(error);
  process.on('unhandledRejection', hear);
  const sending = r.sender(r.process('a')).send(jobs({}, schema).resize, [{ n: 1 }, { n: 2 }]);
  await expect(sending).rejects.toThrow('at once');
  open('later');
  await new Promise((resolve) => setImmediate(resolve)); // Node reports unhandled rejections only then
  process.off('unhandledRejection', hear);
  expect(uncaught).toEqual([]);
});

test('a message that waits for an asynchronous schema counts as pending until rejected', async () => {
  jest.replaceProperty(limits, 'sendingMax', 10 as never);
  const r = workQueue();
  const { wait, open } = gates();
  const schema: Schema<Job> = {
    '~standard': {
      version: 1,
      vendor: 'test',
      validate: () => wait('check').then(() => ({ issues: [{ message: 'no' }] })),
    },
  };
  const sender = r.sender(r.process('a'));
  const { resize: slow } = jobs({}, schema);
  const first = sender.send(
    slow,
    Array.from({ length: 10 }, (_, n) => ({ n })),
  );
  await expect(sender.send(slow, [{ n: 10 }])).rejects.toMatchObject({ code: 'Overloaded', details: { waiting: 10 } });
  open('check');
  await expect(first).rejects.toMatchObject({ code: 'Invalid' });
  await expect(sender.send(slow, [{ n: 10 }])).rejects.toMatchObject({ code: 'Invalid' });
});
