import { getEventListeners } from 'node:events';
import { sleep } from '../../src/base/clock';
import { aborted, allEnded, closable, onAbort, runAll, teardown } from '../../src/base/lifecycle';
import { virtualClock } from '../../src/memory/clock';

describe('onAbort', () => {
  it('runs each callback once, in order, except those removed', () => {
    const controller = new AbortController();
    const ran: number[] = [];
    const run = (): void => void ran.push(ran.length);
    onAbort(controller.signal, run);
    const ignore = onAbort(controller.signal, () => void ran.push(-1));
    onAbort(controller.signal, run);
    ignore();
    ignore();
    controller.abort();
    controller.abort();
    expect(ran).toEqual([0, 1]);
  });

  it('adds one listener to a signal for all waits, and removes it with the last', async () => {
    const { signal } = new AbortController();
    const clock = virtualClock();
    const sleeps = Array.from({ length: 1_000 }, () => sleep(clock, 10, signal));
    expect(getEventListeners(signal, 'abort')).toHaveLength(1);
    await clock.advance(10);
    await Promise.all(sleeps);
    expect(getEventListeners(signal, 'abort')).toHaveLength(0);
  });

  it('never runs for an aborted signal, and can be used again after removal', async () => {
    const controller = new AbortController();
    onAbort(controller.signal, () => undefined)();
    const waited = aborted(controller.signal);
    controller.abort();
    await waited;
    await aborted(controller.signal);
    const late = jest.fn();
    onAbort(controller.signal, late);
    expect(late).not.toHaveBeenCalled();
  });
});

const fails = (message: string) => () => Promise.reject(new Error(message));

test('a failed close is retried by the next call, and concurrent calls share one attempt', async () => {
  let calls = 0;
  const thing = closable(async () => {
    calls++;
    if (calls === 1) throw new Error('not now');
  });
  const first = [thing.close(), thing.close()];
  for (const closing of first) await expect(closing).rejects.toThrow('not now');
  expect(calls).toBe(1);
  await thing.close();
  await thing.close();
  expect(calls).toBe(2);
});

test('a teardown runs every step, then rejects with the error of the failed one', async () => {
  const done: string[] = [];
  const error = new Error('disk');
  const close = teardown('it', [
    ['one', () => done.push('one')],
    ['two', () => Promise.reject(error)],
    ['three', async () => done.push('three')],
  ]);
  await expect(close()).rejects.toBe(error);
  expect(done).toEqual(['one', 'three']);
});

test('several failed steps reject with one AggregateError, synchronous throws included', async () => {
  const close = teardown('the log', [
    ['files', fails('disk')],
    [
      'lock',
      () => {
        throw new Error('gone');
      },
    ],
  ]);
  const error: unknown = await close().catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({ name: 'AggregateError', message: 'closing the log: files: disk; lock: gone' });
  expect(error).toHaveProperty('errors', [new Error('disk'), new Error('gone')]);
});

test('a retried teardown runs only the steps that failed', async () => {
  const done: string[] = [];
  let broken = true;
  const close = teardown('it', [
    ['one', () => done.push('one')],
    ['two', () => (broken ? Promise.reject(new Error('not now')) : done.push('two'))],
  ]);
  await expect(close()).rejects.toThrow('not now');
  broken = false;
  await close();
  await close();
  expect(done).toEqual(['one', 'two']);
});

test('a failed step is reported before the next one runs', async () => {
  const order: string[] = [];
  await runAll(
    [
      ['one', fails('a')],
      ['two', () => order.push('two')],
    ],
    ({ step }) => order.push(`${step[0]} failed`),
  );
  expect(order).toEqual(['one failed', 'two']);
});

test('allEnded waits for all promises although one rejects early', async () => {
  let isDone = false;
  const slow = new Promise<void>((resolve) => setImmediate(resolve)).then(() => (isDone = true));
  await expect(allEnded('tails', [fails('broken')(), slow])).rejects.toThrow('broken');
  expect(isDone).toBe(true);
});
