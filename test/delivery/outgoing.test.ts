import { BusError, Failure } from '../../src/base/errors';
import { defineModule, request, unchecked } from '../../src/contract/contract';
import { fingerprint } from '../../src/contract/fingerprint';
import { openOutgoing } from '../../src/delivery/outgoing';

const bank = defineModule('bank', { settle: request(unchecked<number>(), unchecked<number>()) });
const timeout = new BusError('Timeout', 'bank.settle: no answer', { reached: 'sent', timeoutMs: 10 });
const absent = new BusError('NoHandler', 'bank.settle: no instance', { module: 'bank', entry: 'bank.settle' });

function open() {
  let nowMs = 1_000_000;
  const outgoing = openOutgoing({ now: () => nowMs });
  const counter = outgoing.of(bank.settle);
  if (!counter) throw new Error('the first entry is always counted');
  const read = () => outgoing.read()[0];
  return { counter, read, now: () => nowMs, pass: (ms: number) => (nowMs += ms) };
}

test('counts outcomes by code, without calls that the sender aborted', () => {
  const { counter, read, now } = open();
  counter.succeeded(now(), 3);
  counter.took(now(), now() - 20);
  counter.failed(now(), new Failure('bank.settle', 'TooMuch', {}));
  for (const error of [timeout, timeout, absent, new Error('a schema threw')]) counter.failed(now(), error);
  counter.failed(now(), new BusError('Cancelled', 'aborted', { reason: 'x' }));
  expect(read()).toMatchObject({
    entry: 'bank.settle',
    kind: 'request',
    contract: fingerprint(bank),
    ok: 3,
    failures: 1,
    errors: { Timeout: 2, NoHandler: 1, HandlerFailed: 1 },
    tookMs: { p50Ms: 20, p99Ms: 20 },
  });
});

test('failing lasts from the first error to 30 s after the last one, with the successes in between', () => {
  const { counter, read, now, pass } = open();
  expect(read()?.failing).toBeNull();
  counter.failed(now(), timeout);
  const sinceMs = now();
  pass(20_000);
  counter.succeeded(now(), 2);
  counter.failed(now(), absent);
  expect(read()?.failing).toEqual({
    sinceMs,
    lastMs: sinceMs + 20_000,
    ok: 2,
    code: 'NoHandler',
    message: absent.message,
  });
  pass(29_999);
  expect(read()?.failing).not.toBeNull();
  pass(1);
  expect(read()?.failing).toBeNull();
  counter.failed(now(), timeout);
  expect(read()?.failing).toMatchObject({ sinceMs: now(), ok: 0 });
});
