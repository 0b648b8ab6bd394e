/** Remedies of errors: they must match the cause, and name options that can be changed. */
import { z } from 'zod';
import { BusError, isBusError, type AnyBusError } from '../../src/base/errors';
import { limits } from '../../src/base/limits';
import { explain } from '../../src/cli/exit';
import { broadcast, defineModule, request, unchecked, work } from '../../src/contract/contract';
import { openBus } from '../../src/index';
import { testBus } from '../../src/testing';

const Any = unchecked<unknown>();
const m = defineModule('m', {
  r: request(z.object({}), z.object({ ok: z.boolean() }), { failures: { No: z.object({ why: z.string() }) } }),
  any: request(Any, Any),
  w: work(Any),
  b: broadcast(Any),
});
type Fail = (code: string, data: unknown) => never;

/** Returns the error of a request with the given handler. */
async function ending(r: (fail: Fail) => unknown, entry: 'r' | 'any' = 'r', input: unknown = {}): Promise<AnyBusError> {
  const bus = testBus(m);
  await bus.serve(m, {
    r: (_, { fail }) => r(fail as unknown as Fail) as { ok: boolean },
    any: (_, { fail }) => r(fail as unknown as Fail),
    w: () => undefined,
    b: () => undefined,
  });
  const asked: Promise<unknown> = entry === 'r' ? bus.request(m.r, input as never) : bus.request(m.any, input);
  const error = await caught(asked);
  await bus.close();
  return error;
}
async function caught(promise: Promise<unknown>): Promise<AnyBusError> {
  try {
    await promise;
  } catch (error) {
    if (isBusError(error)) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

test('the remedy of Timeout states whether the request can have been done', () => {
  const timeout = (reached: 'not-sent' | 'running') => new BusError('Timeout', 'late', { reached, timeoutMs: 5 });
  expect(timeout('not-sent').remedy).toMatch(/^The request was not sent, so it was not done\./);
  expect(timeout('running').remedy).toMatch(/^The request can have been done\./);
});

test('explain names --timeout in place of timeoutMs', () => {
  const error = new BusError('Timeout', 'no answer within 5 ms (timeoutMs)', { reached: 'sent', timeoutMs: 5 });
  expect(error.remedy).toContain('timeoutMs');
  expect(explain(error)).toBe(
    'busbar: no answer within 5 ms (--timeout)\n' +
      'The request can have been done. Raise --timeout, or find what is slow.',
  );
});

test("a reply that breaks the contract is Invalid and names the responder's instance", async () => {
  const error = await ending(() => ({ ok: 'yes' }));
  expect(error).toMatchObject({ code: 'Invalid', details: { side: 'reply', instance: expect.stringMatching(/^m#/) } });
  expect(error.message).toMatch(/^reply of m\.r: ok: .*; the value is from the handler at m#\w+$/);
  expect(error.remedy).toBe(
    'Repair the handler that the message names, or deploy one version of the contract at both ends.',
  );
});

test("a failure with undeclared data is Invalid and names the responder's instance", async () => {
  const error = await ending((fail) => fail('No', { why: 3 }));
  expect(error.message).toMatch(/^failure of m\.r: why: .*; the value is from the handler at m#\w+$/);
});

test('invalid input is attributed to the caller', async () => {
  const error = await ending(() => ({ ok: true }), 'r', 5);
  expect(error.message).toMatch(/^input of m\.r: /);
  expect(error.remedy).toBe('Send what the contract describes.');
});

test('an undeclared failure is HandlerFailed and named', async () => {
  const error = await ending((fail) => fail('Nope', {}));
  expect(error.code).toBe('HandlerFailed');
  expect(error.message).toMatch(/^m\.r: its handler at m#\w+ failed: failure 'Nope' is not declared in the contract$/);
});

test('the error of an unserializable body names its entry and side', async () => {
  expect((await ending(() => () => 1, 'any')).message).toMatch(
    /^reply of m\.any cannot be sent: function cannot be sent; the value is from the handler at m#\w+$/,
  );
  const fn = () => 1;
  expect((await ending(() => 1, 'any', fn)).message).toBe('input of m.any cannot be sent: function cannot be sent');
  const bus = testBus(m);
  expect((await caught(bus.submit(m.w, { a: fn }))).message).toMatch(/^input of m\.w cannot be sent: a: /);
  expect((await caught(bus.broadcast(m.b, { a: fn }))).message).toMatch(/^input of m\.b cannot be sent: a: /);
  await bus.close();
});

test('the error of an oversized body names entry and side, without an exhausted option', async () => {
  const big = 'x'.repeat(limits.messageBytesMax + 1);
  const input = await ending(() => 1, 'any', big);
  expect(input.message).toMatch(
    /^input of m\.any has \d+ bytes or more, the limit is 1000000 \(which cannot be raised\)$/,
  );
  expect(input.remedy).toBe('Store the bytes elsewhere and send a reference.');
  expect((await ending(() => big, 'any')).message).toMatch(
    /^reply of m\.any has .*; the value is from the handler at m#\w+$/,
  );
});

test('a Config error has a remedy of its own', async () => {
  // @ts-expect-error: a Config error requires a remedy
  const bare = new BusError('Config', 'm', { faults: [] });
  const bus = testBus(m);
  const faults = [
    await caught(bus.request(m.w as never, {} as never)),
    await caught(bus.request(m.r, {} as never, { timeoutMs: -1 })),
    await caught(bus.serve(m, {} as never)),
    await caught(bus.listen(m.r as never, () => {})),
    await caught(bus.set('m.nothing.paused', true)),
    await caught((async () => defineModule('M', {}))()),
    await caught(openBus({ module: 'm', drainMs: -1 })),
    await caught(openBus({ module: 'm', transport: 'kafka' })),
    await caught(openBus({} as never)),
  ];
  await bus.close();
  expect(faults.filter(({ code }) => code !== 'Config')).toEqual([]);
  const remedies = faults.map(({ remedy }) => remedy);
  expect(remedies.filter((remedy) => remedy === bare.remedy || !/^[A-Z].*\.$/s.test(remedy))).toEqual([]);
});
