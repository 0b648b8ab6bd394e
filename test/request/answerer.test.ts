import { z } from 'zod';
import { Failure } from '../../src/base/errors';
import { closable } from '../../src/base/lifecycle';
import { openNotices, type Notice } from '../../src/base/notices';
import { limits } from '../../src/base/limits';
import { defineModule, request } from '../../src/contract/contract';
import { openScopes } from '../../src/delivery/context';
import type { Run } from '../../src/delivery/deliver';
import { createLimiter } from '../../src/delivery/limiter';
import { decodeBody, encodeBody } from '../../src/format/codec';
import type { Envelope } from '../../src/format/envelope-fields';
import { parseEnvelope } from '../../src/format/envelope-parser';
import { virtualClock } from '../../src/memory';
import type { Packet } from '../../src/ports/messenger';
import { createAnswerer } from '../../src/request/answerer';
import { heavy } from '../heavy';

const maths = defineModule('maths', { double: request(z.number(), z.number()) });
const incarnation = '0123456789abcdef';

interface Reply {
  readonly envelope: Envelope;
  readonly value: unknown;
}

function open(concurrency = 100, perSecond?: number) {
  const virtual = virtualClock();
  let setMs = 0;
  let clockReads = 0;
  const read = (ms: number): number => {
    clockReads++;
    return ms;
  };
  const clock = { ...virtual, now: () => read(virtual.now() + setMs), mono: () => read(virtual.mono()) };
  /** Sets the wall clock of the instance. */
  const setClock = (byMs: number): void => void (setMs += byMs);
  const notices = openNotices();
  const heard: Notice[] = [];
  notices.watch((notice) => heard.push(notice));
  const replies: Reply[] = [];
  const started: number[] = [];
  const ends: (() => void)[] = [];
  const send = (_to: string, { line, body }: Packet): void => {
    const envelope = parseEnvelope(line);
    if ('bad' in envelope) throw new Error(envelope.bad);
    const decoded = decodeBody(body);
    replies.push({ envelope, value: decoded.ok ? decoded.value : decoded.reason });
  };
  const post = {
    address: 'here',
    receive() {},
    send,
    broadcast: async () => 0,
    join: async () => closable(async () => {}),
    close: async () => {},
    [Symbol.asyncDispose]: async () => {},
  };
  const answerer = createAnswerer({
    clock,
    notices,
    scopes: openScopes(),
    middleware: [],
    messenger: post,
    self: 'maths#1',
    messageBytesMax: 1_000_000,
  });
  const signals: AbortSignal[] = [];
  const run: Run = (body, { signal }): Promise<number> => {
    signals.push(signal);
    started.push(Number(body));
    return new Promise((resolve) => ends.push(() => resolve(Number(body) * 2)));
  };
  const serve = (): void =>
    answerer.add({ entry: maths.double, run, limiter: createLimiter({ concurrency, perSecond }) });
  serve();
  const ask = (position: number, input: unknown = position, more: Partial<Envelope> = {}): void =>
    answerer.request(
      {
        kind: 'request',
        entry: 'maths.double',
        id: `id${position}`,
        from: 'web#1',
        stamp: { incarnation, position },
        ...more,
      },
      encodeBody(input, 1_000_000),
      'there',
    );
  const probe = (position: number, id = `id${position}`): void =>
    answerer.probe(
      { kind: 'probe', entry: 'maths.double', id, from: 'web#1', stamp: { incarnation, position } },
      'there',
    );
  /** The states that were returned to probes. */
  const states = () => replies.flatMap(({ envelope }) => (envelope.status === 'state' ? envelope.code : []));
  return {
    clock,
    clockReads: () => clockReads,
    setClock,
    answerer,
    serve,
    replies,
    states,
    started,
    ends,
    signals,
    ask,
    probe,
    heard,
  };
}
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('a request that arrives twice is started once', async () => {
  const { ask, started, heard } = open();
  ask(1);
  ask(1);
  await turn();
  expect(started).toEqual([1]);
  expect(heard).toContainEqual(expect.objectContaining({ type: 'dropped', reason: 'it arrived twice' }));
});

test('at most concurrency requests run at once, and the rest in arrival order', async () => {
  const { ask, started, ends } = open(2);
  for (let i = 1; i <= 4; i++) ask(i);
  await turn();
  expect(started).toEqual([1, 2]);
  ends[0]?.();
  await turn();
  expect(started).toEqual([1, 2, 3]);
});

test('perSecond lets one second of requests start at once, and the next when due', async () => {
  const { ask, started, clock } = open(100, 2);
  for (let i = 1; i <= 4; i++) ask(i);
  await turn();
  expect(started).toEqual([1, 2]);
  await clock.advance(499);
  expect(started).toEqual([1, 2]);
  await clock.advance(2);
  expect(started).toEqual([1, 2, 3]);
});

heavy('a request beyond the waiting limit is answered Overloaded with retryAfterMs', async () => {
  const { ask, replies } = open(1);
  for (let i = 1; i <= limits.waitingRequestsMax + 2; i++) ask(i);
  await turn();
  expect(replies).toMatchObject([
    { envelope: { status: 'error', code: 'Overloaded' }, value: { details: { retryAfterMs: 250 } } },
  ]);
});

heavy('a refusal costs constant time, and expired requests are searched at most every 100 ms', async () => {
  const { clock, clockReads, ask, replies, heard } = open(1);
  const deadlineMs = clock.now() + 1_000;
  for (const one of [1, 2]) ask(one);
  for (let i = 3; i <= limits.waitingRequestsMax + 1; i++) ask(i, i, { deadlineMs: deadlineMs + i });
  const refused = (count: number): number => {
    const [from, before] = [replies.length, clockReads()];
    for (let i = 0; i < count; i++) ask(20_000 + replies.length);
    expect(replies.slice(from).map(({ envelope }) => envelope.code)).toEqual(Array(count).fill('Overloaded'));
    return clockReads() - before;
  };
  expect(refused(1_000)).toBeLessThan(10 * 1_000);
  // Some have expired behind one that has not: the next search finds them, and as many can wait again.
  await clock.advance(1_500);
  ask(40_000);
  expect(heard.filter(({ type }) => type === 'dropped')).toHaveLength(498);
  expect(replies).toHaveLength(1_000);
});

heavy('waiting requests are bounded in bytes, and expired ones release theirs', async () => {
  const { clock, ask, answerer, replies } = open(1);
  ask(1);
  const large = 'x'.repeat(900_000);
  const some = Math.floor(limits.waitingBytesMax / (large.length + 5)); // five bytes hold its length
  const deadlineMs = clock.now() + 100;
  for (let i = 2; i < 2 + some; i++) ask(i, large, { deadlineMs });
  expect(replies).toEqual([]);
  ask(2 + some, large, { deadlineMs });
  expect(replies).toMatchObject([
    {
      envelope: { code: 'Overloaded' },
      value: { message: expect.stringContaining(`of ${limits.waitingBytesMax} bytes`) },
    },
  ]);
  await clock.advance(100);
  for (let i = 3 + some; i < 3 + 2 * some; i++) ask(i, large);
  expect(replies).toHaveLength(1);
  expect([...answerer.active()]).toHaveLength(1 + some);
});

test('an expired waiting request is dropped when the next one arrives', async () => {
  const { clock, ask, answerer, heard } = open(1);
  ask(1);
  for (const position of [2, 3]) ask(position, position, { deadlineMs: clock.now() + 100 });
  await clock.advance(100);
  ask(4);
  expect([...answerer.active()].map(({ envelope }) => envelope.id)).toEqual(['id1', 'id4']);
  expect(heard.filter(({ type }) => type === 'dropped')).toHaveLength(2);
});

test('a request whose deadline has passed is never started', async () => {
  const { ask, started, clock, ends } = open(1);
  ask(1, 1, { deadlineMs: clock.now() });
  ask(2);
  ask(3, 3, { deadlineMs: clock.now() + 100 });
  await clock.advance(101);
  ends[0]?.();
  await turn();
  expect(started).toEqual([2]);
});

test.each([-600_000, 600_000])(
  'no waiting request starts after its deadline when the clock is set by %d ms',
  async (setMs) => {
    const { ask, started, clock, setClock, ends } = open(1);
    ask(1);
    ask(2, 2, { deadlineMs: clock.now() + 3_000 });
    setClock(setMs);
    await clock.advance(3_000);
    ends[0]?.();
    await turn();
    expect(started).toEqual([1]);
  },
);

test('a failure whose name cannot be sent is HandlerFailed, and its request has ended', async () => {
  const { ask, answerer, replies } = open();
  const name = 'x'.repeat(201);
  // A valid contract cannot declare this failure.
  const entry = {
    ...maths.double,
    name: 'maths.fail',
    schemas: { ...maths.double.schemas, failures: { [name]: z.number() } },
  };
  const run: Run = async () => {
    throw new Failure('maths.fail', name, 1);
  };
  answerer.add({ entry, run, limiter: createLimiter({ concurrency: 1 }) });
  for (const position of [1, 2]) ask(position, 1, { entry: 'maths.fail' });
  await turn();
  expect(replies.map(({ envelope }) => envelope.code)).toEqual(['HandlerFailed', 'HandlerFailed']);
  expect(answerer.busy).toBe(false);
});

test('a request for an unserved entry is Incompatible, so that the caller tries another instance', () => {
  const { ask, replies } = open();
  ask(1, 1, { entry: 'maths.halve' });
  expect(replies).toMatchObject([
    { envelope: { code: 'Incompatible' }, value: { details: { entry: 'maths.halve', instance: 'maths#1' } } },
  ]);
});

test('an unreadable body is Invalid and starts nothing', async () => {
  const { answerer, replies, started } = open();
  answerer.request({ kind: 'request', entry: 'maths.double', id: 'x', from: 'web#1' }, Uint8Array.of(0xc1), 'there');
  await turn();
  expect(started).toEqual([]);
  expect(replies).toMatchObject([{ envelope: { code: 'Invalid' } }]);
});

test('a probe returns whether a request waits, runs, was answered or is unknown', async () => {
  const { ask, probe, replies, states, ends } = open(1);
  ask(1);
  ask(2);
  await turn();
  probe(1);
  probe(2);
  ends[0]?.();
  await turn();
  probe(1);
  probe(9);
  expect(replies.map(({ envelope }) => envelope.status)).toContain('ok');
  expect(states()).toEqual(['running', 'waiting', 'answered', 'unknown']);
});

test('when a caller seems dead, its running requests abort and waiting ones can be resent', async () => {
  const { ask, probe, answerer, replies, states, started, ends, signals } = open(1);
  ask(1);
  ask(2);
  await turn();
  answerer.gone('there');
  expect(signals[0]?.aborted).toBe(true);
  probe(2);
  ends[0]?.();
  await turn();
  expect(replies.at(-1)).toMatchObject({ envelope: { id: 'id1', status: 'ok' }, value: 2 });
  probe(1);
  expect(states()).toEqual(['unknown', 'answered']);
  ask(3, 2, { id: 'id2' });
  await turn();
  expect(started).toEqual([1, 2]);
  probe(3, 'id2');
  ends[1]?.();
  await turn();
  probe(3, 'id2');
  expect(states().slice(2)).toEqual(['running', 'answered']);
});

test('an expired request is unknown to probes, so it can be sent again', async () => {
  const { clock, ask, probe, states, started } = open();
  ask(1, 1, { deadlineMs: clock.now() });
  probe(1);
  ask(2, 1, { id: 'id1', deadlineMs: clock.now() + 1_000 });
  await turn();
  probe(2, 'id1');
  expect(started).toEqual([1]);
  expect(states()).toEqual(['unknown', 'running']);
});

test('a cancelled waiting request never starts, and a running one is aborted without reply', async () => {
  const { ask, answerer, started, replies, ends } = open(1);
  ask(1);
  ask(2);
  await turn();
  answerer.cancel({ kind: 'cancel', entry: 'maths.double', id: 'id2', from: 'web#1' });
  answerer.cancel({ kind: 'cancel', entry: 'maths.double', id: 'id1', from: 'web#1' });
  ends[0]?.();
  await turn();
  expect(started).toEqual([1]);
  expect(replies).toEqual([]);
});

describe('a request whose body is still being checked', () => {
  /** Sends a request and checks its body until `check` is called. */
  function checking() {
    const opened = open();
    let check = (): void => undefined;
    const slow = z.number().refine(() => new Promise<boolean>((resolve) => (check = () => resolve(true))));
    const { double } = defineModule('maths', { double: request(slow, z.number()) });
    const run = (body: unknown): number => opened.started.push(Number(body));
    opened.answerer.add({ entry: double, run, limiter: createLimiter({ concurrency: 1 }) });
    opened.ask(1);
    return { ...opened, check: () => (check(), turn()) };
  }

  test.each([
    ['its entry was closed', 'close', ['Closed']],
    ['the instance is leaving', 'drain', ['Closed']],
    ['its caller seems dead', 'gone', []],
    ['its caller cancelled it', 'cancel', []],
  ] as const)('is not started after %s, and its caller can resend it', async (_what, how, codes) => {
    const { clock, answerer, started, replies, states, check, ask, probe } = checking();
    let stopping: Promise<void> | undefined;
    if (how === 'close') stopping = answerer.close(['maths.double'], 100);
    if (how === 'drain') stopping = answerer.drain(100);
    if (how === 'gone') answerer.gone('there');
    if (how === 'cancel') answerer.cancel({ kind: 'cancel', entry: 'maths.double', id: 'id1', from: 'web#1' });
    await clock.advance(100);
    await stopping;
    await check();
    expect(started).toEqual([]);
    expect(replies.map(({ envelope: { code } }) => code)).toEqual(codes);
    if (stopping) return;
    probe(1);
    expect(states()).toEqual(['unknown']);
    ask(2); // the only place is free again
    await check();
    expect(started).toEqual([2]);
  });
});

test('drain answers waiting requests with Closed and waits for running ones', async () => {
  const { ask, answerer, replies, ends } = open(1);
  ask(1);
  ask(2);
  let drained = false;
  const draining = answerer.drain(10_000).then(() => (drained = true));
  await turn();
  expect(replies).toMatchObject([{ envelope: { id: 'id2', code: 'Closed' } }]);
  expect(drained).toBe(false);
  ask(3);
  expect(replies[1]).toMatchObject({ envelope: { id: 'id3', code: 'Closed' } });
  ends[0]?.();
  await draining;
  expect(replies[2]).toMatchObject({ envelope: { id: 'id1', status: 'ok' }, value: 2 });
});

test('drain waits for a handler of a re-served entry, and aborts it after drainMs', async () => {
  const { clock, ask, answerer, signals, serve } = open(1);
  ask(1);
  const closing = answerer.close(['maths.double'], 100);
  await clock.advance(100);
  await closing;
  serve();
  let drained = false;
  const draining = answerer.drain(10_000).then(() => (drained = true));
  await clock.advance(9_999);
  expect(drained).toBe(false);
  await clock.advance(1);
  await draining;
  expect(signals[0]?.reason).toMatchObject({ code: 'Cancelled', details: { reason: 'closed' } });
});

test('drain waits for a running request after earlier ones were answered', async () => {
  const { ask, answerer, replies, ends } = open(1);
  ask(1);
  await turn();
  ends[0]?.();
  await turn();
  ask(2);
  let drained = false;
  const draining = answerer.drain(10_000).then(() => (drained = true));
  await turn();
  expect(drained).toBe(false);
  ends[1]?.();
  await draining;
  expect(replies.map(({ envelope }) => envelope.status)).toEqual(['ok', 'ok']);
});
