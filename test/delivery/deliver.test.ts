import { z } from 'zod';
import { sleep } from '../../src/base/clock';
import { openNotices, type Notice } from '../../src/base/notices';
import { defineModule, request } from '../../src/contract/contract';
import { currentScope, DeliveryContext, openScopes, type Facts } from '../../src/delivery/context';
import { deliver, type DeliverParts, type Outcome, type Run } from '../../src/delivery/deliver';
import type { Middleware } from '../../src/delivery/middleware';
import { virtualClock } from '../../src/memory';

const { double } = defineModule('maths', {
  double: request(z.object({ n: z.number(), unit: z.string().default('m') }), z.number()),
});

function open(middleware: readonly Middleware[] = [], deadline = Infinity) {
  const clock = virtualClock();
  const notices = openNotices();
  const told: Notice[] = [];
  notices.watch((notice) => told.push(notice));
  const parts: DeliverParts = { clock, notices, scopes: openScopes(), middleware };
  const facts: Facts = {
    id: 'm1',
    entry: 'maths.double',
    attempt: 2,
    deadline,
    from: { module: 'web', instance: 'web#1' },
    baggage: { tenant: 'acme' },
    traceparent: undefined,
  };
  const context = new DeliveryContext(facts, clock, notices);
  const run = async (body: unknown, handler: Run): Promise<Outcome> =>
    deliver(parts, double, facts, body, handler, context);
  return { clock, context, facts, run, told, parts };
}

test('a handler receives the body transformed by its schema', async () => {
  const bodies: unknown[] = [];
  const { run } = open();
  expect(await run({ n: 2 }, (body) => bodies.push(body))).toEqual({ ok: true, value: 1 });
  expect(bodies).toEqual([{ n: 2, unit: 'm' }]);
});

test('a synchronous handler returns its outcome without a promise', () => {
  const { parts, facts, context } = open();
  const outcome = (handler: Run) => deliver(parts, double, facts, { n: 2 }, handler, context);
  expect(outcome(() => 4)).toEqual({ ok: true, value: 4 });
  expect(
    outcome(() => {
      throw new Error('full');
    }),
  ).toMatchObject({ ok: false, by: 'handler' });
  expect(outcome(() => Promise.resolve(4))).toBeInstanceOf(Promise);
});

test('a body that breaks its schema does not reach the handler', async () => {
  const { run } = open();
  const handler = jest.fn();
  expect(await run({ n: 'two' }, handler)).toMatchObject({ ok: false, by: 'check', error: { code: 'Invalid' } });
  expect(handler).not.toHaveBeenCalled();
});

test.each([
  [99, 'is called', { ok: true, value: 4 }, 1],
  [100, 'is not called', { ok: false, by: 'check', error: { code: 'Timeout', details: { reached: 'waiting' } } }, 0],
])('a handler whose body check took %d of its 100 ms %s', async (tookMs, _what, outcome, calls) => {
  const { parts, facts, context, clock } = open([], virtualClock().now() + 100);
  const slowly = z.object({ n: z.number() }).refine(() => sleep(clock, tookMs).then(() => true));
  const slow = defineModule('maths', { double: request(slowly, z.number()) });
  const handler = jest.fn(() => 4);
  const delivered = deliver(parts, slow.double, facts, { n: 2 }, handler, context);
  await clock.advance(100);
  expect(await delivered).toMatchObject(outcome);
  expect(handler).toHaveBeenCalledTimes(calls);
});

test('a call that is aborted while its body is checked starts neither middleware nor handler', async () => {
  const { parts, facts, context, clock } = open();
  const slowly = z.object({ n: z.number() }).refine(() => sleep(clock, 50).then(() => true));
  const slow = defineModule('maths', { double: request(slowly, z.number()) });
  const [around, handler] = [jest.fn(), jest.fn()];
  const delivered = deliver({ ...parts, middleware: [around] }, slow.double, facts, { n: 2 }, handler, context);
  context.abort('closed');
  await clock.advance(50);
  expect(await delivered).toEqual({ ok: false, by: 'check', error: 'closed' });
  expect([around, handler].map(({ mock }) => mock.calls)).toEqual([[], []]);
});

test('a call that is aborted while a middleware waits does not start the handler', async () => {
  const { clock, context, run } = open([(_, next) => sleep(clock, 50).then(next)]);
  const handler = jest.fn();
  const delivered = run({ n: 2 }, handler);
  context.abort('closed');
  await clock.advance(50);
  expect(await delivered).toEqual({ ok: false, by: 'handler', error: 'closed' });
  expect(handler).not.toHaveBeenCalled();
});

test('middleware wraps the handler, the first outermost, and receives the checked body', async () => {
  const steps: unknown[] = [];
  const around =
    (name: string): Middleware =>
    async ({ body, entry }, next) => {
      steps.push(`${name} ${entry.name} ${JSON.stringify(body)}`);
      const settled = await next();
      steps.push(`${name} ends`);
      return settled;
    };
  const { run } = open([around('outer'), around('inner')]);
  expect(await run({ n: 2, unit: 'km' }, () => steps.push('handler') && 4)).toEqual({ ok: true, value: 4 });
  expect(steps).toEqual([
    'outer maths.double {"n":2,"unit":"km"}',
    'inner maths.double {"n":2,"unit":"km"}',
    'handler',
    'inner ends',
    'outer ends',
  ]);
});

test('a middleware that throws fails the delivery before the handler', async () => {
  const { run } = open([
    () => {
      throw new Error('no tenant');
    },
  ]);
  const handler = jest.fn();
  expect(await run({ n: 2 }, handler)).toMatchObject({ ok: false, by: 'handler', error: { message: 'no tenant' } });
  expect(handler).not.toHaveBeenCalled();
});

test('the scope that calls inherit exists in the handler and closes afterwards', async () => {
  const { run, parts } = open([], 5_000_000_000_000);
  let after: (() => unknown) | undefined;
  await run({ n: 2 }, () => {
    const inside = currentScope(parts.scopes);
    expect(inside).toMatchObject({ id: 'm1', deadline: 5_000_000_000_000, baggage: { tenant: 'acme' } });
    after = () => inside?.open;
  });
  expect(after?.()).toBe(false);
});

test('the end of an attempt is reported with its number and error', async () => {
  const { run, told } = open();
  await run({ n: 2 }, () => {
    throw new Error('broken');
  });
  expect(told).toEqual([expect.objectContaining({ type: 'handled', attempt: 2, outcome: 'failed', error: 'broken' })]);
});

test('the signal aborts at the deadline, also when it is first read later', async () => {
  const { clock, context } = open([], virtualClock().now() + 100);
  await clock.advance(60);
  const { signal } = context;
  expect(signal.aborted).toBe(false);
  await clock.advance(40);
  expect(signal.reason).toMatchObject({ code: 'Timeout' });
});

test('a signal read after the delivery was cancelled is already aborted', () => {
  const { context } = open();
  context.abort('taken back');
  expect(context.signal.reason).toBe('taken back');
});

test('fail, park, progress and log can be destructured from the context', () => {
  const { context, told } = open();
  const { fail, park, progress, log } = context;
  expect(() => fail('TooBig', { limit: 1 })).toThrow(expect.objectContaining({ code: 'TooBig', data: { limit: 1 } }));
  expect(() => park('never')).toThrow('never');
  progress(`at ${'x'.repeat(500)}`);
  expect(context.note).toHaveLength(200);
  log.warn('slow', { ms: 3 });
  expect(told).toEqual([
    { type: 'log', level: 'warn', message: 'slow', fields: { ms: 3, entry: 'maths.double', id: 'm1' } },
  ]);
});
