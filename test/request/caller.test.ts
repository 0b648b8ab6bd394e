/** Requests of a caller to instances in known states: selection, probes, limits, and the end of each request. */
import { z } from 'zod';
import { BusError } from '../../src/base/errors';
import { closable } from '../../src/base/lifecycle';
import { openNotices } from '../../src/base/notices';
import { defineModule, request, unchecked } from '../../src/contract/contract';
import { openScopes } from '../../src/delivery/context';
import { encodeBody } from '../../src/format/codec';
import type { Envelope } from '../../src/format/envelope-fields';
import { parseEnvelope } from '../../src/format/envelope-parser';
import { printEnvelope } from '../../src/format/envelope-printer';
import { seededRandom, virtualClock } from '../../src/memory';
import type { Packet, Messenger } from '../../src/ports/messenger';
import type { Instance, Registry } from '../../src/ports/registry';
import { createCaller } from '../../src/request/caller';
import type { OpenCall } from '../../src/request/open-call';
import { errorReply } from '../../src/request/outcome';
import { openPeers } from '../../src/request/peers';
import { pickByKey } from '../../src/request/pick';
import { heavy } from '../heavy';
import { instanceOf } from '../support/instances';

const maths = defineModule('maths', {
  double: request(unchecked<number>(), unchecked<number>(), { idempotent: true }),
  checked: request(
    z.number().refine(async () => true),
    unchecked<number>(),
  ),
});

/**
 * An instance that `works` answers probes immediately and its requests much later. One that `refuses` answers with
 * Closed. A send to one that is `shut` throws Closed.
 */
type Behavior = 'answers' | 'works' | 'refuses' | 'silent' | 'dead' | 'full' | 'shut';

/** A caller of instances with the given `behavior`, and a record of the packets sent to each. */
function system(names: readonly string[], behavior: (name: string) => Behavior) {
  const virtual = virtualClock();
  let pauses = 0;
  const after: typeof virtual.after = (delayMs, run) => {
    if (delayMs === 0) pauses++;
    return virtual.after(delayMs, run);
  };
  const clock = { ...virtual, after };
  const notices = openNotices();
  const sent: { readonly to: string; readonly kind: string; readonly position: number | undefined }[] = [];
  let triesOfTurn = 0;
  let triesOfTurnMax = 0;
  const post = {
    send(to: string, { line }: Packet): void {
      const name = to.slice(3);
      const how = behavior(name);
      triesOfTurnMax = Math.max(triesOfTurnMax, ++triesOfTurn);
      if (triesOfTurn === 1) queueMicrotask(() => (triesOfTurn = 0));
      if (how === 'dead') throw new BusError('Unreachable', `${to} is dead`, { outcome: 'not-sent', waitedMs: 0 });
      if (how === 'shut') throw new BusError('Closed', 'this bus is closed', { outcome: 'not-sent', sinceMs: 0 });
      if (how === 'full') throw new BusError('Overloaded', `${to} is full`, { retryAfterMs: 1 });
      const envelope = parseEnvelope(line);
      if ('bad' in envelope) throw new Error(envelope.bad);
      sent.push({ to: name, kind: envelope.kind, position: envelope.stamp?.position });
      if (how === 'answers' || how === 'refuses' || (how === 'works' && envelope.kind === 'probe'))
        clock.after(1, () => answer(name, how, envelope));
    },
  };
  function answer(name: string, behaves: Behavior, { kind, entry, id, stamp }: Envelope): void {
    const { body, ...how } = replyOf(kind, behaves, stamp);
    const line = printEnvelope({ kind: 'reply', entry, id, from: name, ...how });
    const reply = parseEnvelope(line);
    if (!('bad' in reply)) caller.reply(reply, body, `at ${name}`);
  }
  let see: ((instances: readonly Instance[]) => void) | undefined;
  const registry: Pick<Registry, 'watch'> = {
    async watch(_module, seen) {
      see = seen;
      see(names.map((name) => instanceOf(name)));
      return closable(async () => undefined);
    },
  };
  const peers = openPeers<OpenCall>(registry as Registry, clock, notices);
  let position = 0;
  let ids = 0;
  const caller = createCaller({
    clock,
    random: seededRandom(3),
    notices,
    scopes: openScopes(),
    // The caller uses only these members of the two.
    messenger: post as unknown as Messenger,
    peers,
    self: 'web#1',
    incarnation: '0123456789abcdef',
    nextPosition: () => ++position,
    makeId: () => `id${++ids}`,
    messageBytesMax: 1_000_000,
    timeoutMs: () => 1_000,
  });
  /** Sends `count` requests, `atOnce` concurrently, and returns the codes with which they end. */
  async function ask(count: number, atOnce = 1, options = {}): Promise<string[]> {
    const ends: string[] = [];
    let left = count;
    const loop = async (): Promise<void> => {
      while (left-- > 0) {
        const code = await caller.ask(maths.double, 1, options).then(
          () => 'ok',
          (error: BusError) => error.code,
        );
        ends.push(code);
      }
    };
    const loops = Promise.all(Array.from({ length: atOnce }, loop));
    await clock.runUntil(() => ends.length === count, 3_600_000);
    await loops;
    return ends;
  }
  const requestsTo = (name: string): number => sent.filter((one) => one.to === name && one.kind === 'request').length;
  return {
    clock,
    caller,
    ask,
    sent,
    notices,
    requestsTo,
    isKnown: (name: string) => peers.at(`at ${name}`) !== undefined,
    /** Makes the registry list these instances only. */
    list: (listed: readonly string[]) => see?.(listed.map((name) => instanceOf(name))),
    nextDueMs: () => virtual.nextDueMs,
    pauses: () => pauses,
    triesOfTurnMax: () => triesOfTurnMax,
  };
}
function replyOf(kind: Envelope['kind'], how: Behavior, stamp: Envelope['stamp']) {
  const body = encodeBody(1, 100);
  if (kind === 'probe') return { status: 'state', code: 'running', stamp, body } as const;
  if (how !== 'refuses') return { status: 'ok', body } as const;
  return errorReply({ code: 'Closed', message: 'it is leaving', details: { outcome: 'not-sent', sinceMs: 0 } });
}

/** Returns a key whose requests are sent to the named one of instances a and b. */
function keyOf(name: string): string {
  const keys = Array.from({ length: 100 }, (_, n) => `key${n}`);
  return (
    keys.find((key) => pickByKey(['a', 'b'].map((name) => instanceOf(name)).map(idle), key)?.instance.name === name) ??
    ''
  );
}
const idle = (one: Instance) => ({ instance: one, load: 0, silentSinceMs: undefined });

const failures = (ends: readonly string[]): number => ends.filter((end) => end !== 'ok').length;

heavy('a frozen one of two instances receives only the first requests', async () => {
  const { ask, requestsTo } = system(['a', 'b'], (name) => (name === 'a' ? 'silent' : 'answers'));
  expect(failures(await ask(200))).toBeLessThanOrEqual(1);
  expect(requestsTo('a')).toBeLessThanOrEqual(1);
  const many = system(['a', 'b'], (name) => (name === 'a' ? 'silent' : 'answers'));
  expect(failures(await many.ask(2_000, 20))).toBeLessThanOrEqual(20);
});

test('a thawed instance is chosen again once it has answered a probe', async () => {
  let isFrozen = true;
  const { clock, ask, requestsTo } = system(['a', 'b'], (name) => (name === 'a' && isFrozen ? 'silent' : 'answers'));
  await ask(500, 20);
  await clock.advance(10_000);
  const before = requestsTo('a');
  expect(failures(await ask(100, 20))).toBe(0);
  expect(requestsTo('a')).toBe(before);
  isFrozen = false;
  await clock.advance(2_000);
  expect(failures(await ask(100, 20))).toBe(0);
  expect(requestsTo('a')).toBeGreaterThan(before + 30);
});

heavy('an instance with long handlers answers probes, and is chosen like any other', async () => {
  const { clock, caller, requestsTo } = system(['a', 'b'], () => 'works');
  for (let n = 0; n < 200; n++) {
    caller.ask(maths.double, 1, { timeoutMs: 3_600_000 }).catch(() => undefined);
    await clock.advance(100);
  }
  expect(requestsTo('a')).toBe(100);
  caller.close();
});

heavy('a request finds the only live instance among 2,000 without blocking the event loop', async () => {
  const names = Array.from({ length: 2_000 }, (_, n) => `dead${n}`);
  for (const options of [{}, { key: 'alps' }]) {
    const { ask, triesOfTurnMax } = system([...names, 'alive'], (name) => (name === 'alive' ? 'answers' : 'dead'));
    expect(await ask(1, 1, { ...options, timeoutMs: 60_000 })).toEqual(['ok']);
    expect(triesOfTurnMax()).toBeLessThanOrEqual(51);
  }
  const none = system(names, () => 'dead');
  expect(await none.ask(1)).toEqual(['Unreachable']);
  expect(none.triesOfTurnMax()).toBeLessThanOrEqual(51);
  expect(none.pauses()).toBeGreaterThanOrEqual(2_000 / 50 - 1);
});

test('the next request does not retry instances that were unreachable', async () => {
  const names = Array.from({ length: 100 }, (_, n) => `dead${n}`);
  let tries = 0;
  const { ask } = system([...names, 'alive'], (name) => {
    tries++;
    return name === 'alive' ? 'answers' : 'dead';
  });
  await ask(100);
  expect(tries).toBeLessThan(100 + 100 + 10);
});

describe.each([
  ['heavy traffic', 20, 10_000],
  ['light traffic', 3_000, 120_000],
])('under %s', (_name, everyMs, forMs) => {
  test.each([
    ['before its first request', 0],
    ['after it answered requests', 20],
  ])('an instance that is unreachable %s is retried, and chosen once it is reachable', async (_when, earlier) => {
    let isDead = false;
    let tries = 0;
    const { clock, ask, requestsTo } = system(['a', 'b'], (name) => {
      if (name === 'a') tries++;
      return name === 'a' && isDead ? 'dead' : 'answers';
    });
    const askFor = async (ms: number): Promise<void> => {
      for (const untilMs = clock.mono() + ms; clock.mono() < untilMs; await clock.advance(everyMs))
        expect(await ask(1)).toEqual(['ok']);
    };
    await ask(earlier);
    isDead = true;
    tries = 0;
    await askFor(forMs);
    expect(tries).toBeGreaterThan(4);
    expect(tries).toBeLessThan((forMs / 1_000) * 2.1); // a request and a probe each second
    isDead = false;
    await askFor(forMs / 4);
    const before = requestsTo('a');
    await askFor(forMs);
    expect(requestsTo('a') - before).toBeGreaterThan((forMs / everyMs) * 0.3);
  });
});

test('a request tries no more instances once the registry no longer lists them', async () => {
  const names = Array.from({ length: 200 }, (_, n) => `dead${n}`);
  let tries = 0;
  const { ask, list } = system(names, () => {
    if (++tries === 1) queueMicrotask(() => list([]));
    return 'dead';
  });
  expect(await ask(1)).toEqual(['Unreachable']);
  expect(tries).toBeLessThanOrEqual(51);
});

test('a closed caller probes no instance and reports nothing', async () => {
  let isShut = false;
  const { caller, ask, sent, notices, clock, nextDueMs } = system(['a', 'b'], (name) => {
    if (isShut) return 'shut';
    return name === 'a' ? 'silent' : 'dead';
  });
  const codes: string[] = [];
  for (let n = 0; n < 10; n++) caller.ask(maths.double, 1).catch(({ code }: BusError) => codes.push(code));
  await clock.advance(10);
  isShut = true;
  const sentBefore = sent.length;
  const dropped: unknown[] = [];
  notices.watch((notice) => notice.type === 'dropped' && dropped.push(notice));
  caller.close();
  expect(await ask(1)).toEqual(['Closed']);
  expect(codes).toEqual(Array(10).fill('Closed'));
  await clock.advance(60_000);
  expect(dropped).toEqual([]);
  expect(sent).toHaveLength(sentBefore);
  expect(nextDueMs()).toBeUndefined();
});

test('a request whose input is being checked when its caller closes is Closed, not sent', async () => {
  const { clock, caller, sent, nextDueMs } = system(['a'], () => 'silent');
  const end = caller.ask(maths.checked, 1).catch((error: unknown) => error);
  caller.close();
  await clock.advance(10_000);
  expect(await end).toMatchObject({ code: 'Closed', details: { outcome: 'not-sent' } });
  expect(sent).toEqual([]);
  expect(nextDueMs()).toBeUndefined();
});

test('an unlisted instance is forgotten when its last request is refused or it dies', async () => {
  for (const death of [false, true]) {
    let how: Behavior = 'answers';
    const { clock, caller, ask, isKnown, list } = system(['a', 'b'], (name) => (name === 'a' ? how : 'answers'));
    await ask(20);
    how = death ? 'silent' : 'refuses';
    const ends = [1, 2].map(() => caller.ask(maths.double, 1, { key: keyOf('a') }));
    list(['b']);
    expect(isKnown('a')).toBe(true);
    if (death) caller.gone('at a');
    await clock.advance(10);
    expect(await Promise.all(ends)).toEqual([1, 1]);
    expect(isKnown('a')).toBe(false);
  }
});

test('an instance with a full send queue is skipped, or reported as Overloaded if alone', async () => {
  const { ask } = system(['a', 'b'], (name) => (name === 'a' ? 'full' : 'answers'));
  expect(failures(await ask(50))).toBe(0);
  const none = system(['a'], () => 'full');
  expect(await none.ask(1)).toEqual(['Overloaded']);
});

heavy('probes are bounded in number, and each waiting request is probed in time', async () => {
  const { clock, caller, sent } = system(['a'], () => 'silent');
  const asked = Array.from({ length: 5_000 }, () => caller.ask(maths.double, 1, { timeoutMs: 60_000 }));
  asked.forEach((one) => one.catch(() => undefined));
  await clock.advance(11_000);
  const probes = sent.filter(({ kind }) => kind === 'probe');
  expect(probes.length).toBeLessThan(11 * 1_010);
  expect(new Set(probes.map(({ position }) => position)).size).toBe(5_000);
  caller.close();
});

heavy('bodies of unanswered requests are bounded in bytes', async () => {
  const { clock, caller } = system(['a'], () => 'silent');
  const large = 'x'.repeat(900_000);
  const codes: string[] = [];
  for (let n = 0; n < 300; n++) {
    caller.ask(maths.double, large, { timeoutMs: 1_000 }).catch((error: BusError) => codes.push(error.code));
  }
  await clock.advance(1);
  expect(codes).toEqual(Array(2).fill('Overloaded')); // 298 of them are below 256 MiB
  await clock.advance(1_000);
  expect(codes.filter((code) => code === 'Timeout')).toHaveLength(298);
  caller.ask(maths.double, large).catch((error: BusError) => codes.push(`again ${error.code}`));
  await clock.advance(1);
  expect(codes).not.toContain('again Overloaded');
  caller.close();
});
