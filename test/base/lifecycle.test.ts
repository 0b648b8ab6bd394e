import { getEventListeners } from 'node:events';
import { sleep } from '../../src/base/clock';
import { aborted, onAbort } from '../../src/base/lifecycle';
import { virtualClock } from '../../src/memory/clock';

describe('onAbort', () => {
  it('runs everything that waits once, in order, and leaves out what was taken back', () => {
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

  it('adds one listener to a signal for any number of waits, and removes it with the last one', async () => {
    const { signal } = new AbortController();
    const clock = virtualClock();
    const sleeps = Array.from({ length: 1_000 }, () => sleep(clock, 10, signal));
    expect(getEventListeners(signal, 'abort')).toHaveLength(1);
    await clock.advance(10);
    await Promise.all(sleeps);
    expect(getEventListeners(signal, 'abort')).toHaveLength(0);
  });

  it('never runs for a signal that has aborted, and can wait again for one that nothing waited for', async () => {
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
