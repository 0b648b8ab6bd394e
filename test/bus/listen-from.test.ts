/** The first event of a named listener: by default the next one, else the oldest or the first one of a time. */
import { defineModule, event, unchecked, type ListenOptions } from '../../src/index';
import { testBus, type TestBus } from '../../src/testing';

const photos = defineModule('photos', {
  added: event(unchecked<number>(), { key: () => 'all' }),
});

/** Publishes one event in each of three seconds. Returns the time of the second one. */
async function publishThree(bus: TestBus): Promise<Date> {
  const times: number[] = [];
  for (const n of [1, 2, 3]) {
    times.push(bus.clock.now());
    await bus.publish(photos.added, n);
    await bus.clock.advance(1_000);
  }
  return new Date(times[1] ?? NaN);
}
async function listen(bus: TestBus, from?: ListenOptions['from']) {
  const received: number[] = [];
  const options = { as: 'index', ...(from !== undefined && { from }) };
  const served = await bus.listen(photos.added, options, (n) => void received.push(n));
  await bus.settled();
  return { received, served };
}

describe('a new name', () => {
  test.each<[string, (second: Date) => ListenOptions['from'], readonly number[]]>([
    ['without from receives later events', () => undefined, [4]],
    ["from 'end' receives later events", () => 'end', [4]],
    ["from 'start' receives all events of the log", () => 'start', [1, 2, 3, 4]],
    ['from a time receives the events from then on', (second) => second, [2, 3, 4]],
    ['from the ms after an event does not receive it', (second) => new Date(second.getTime() + 1), [3, 4]],
    ['from before all events receives all of them', () => new Date(0), [1, 2, 3, 4]],
    ['from a time to come receives later events', () => new Date('2100-01-01'), [4]],
  ])('%s', async (_title, from, expected) => {
    const bus = testBus('search');
    const { received } = await listen(bus, from(await publishThree(bus)));
    await bus.publish(photos.added, 4);
    await bus.settled();
    expect(received).toEqual(expected);
    await bus.close();
  });
});

test('from changes nothing for a name that exists, with or without handled events', async () => {
  const bus = testBus('search');
  const second = await publishThree(bus);
  const first = await listen(bus);
  await first.served.close();
  await bus.publish(photos.added, 4);
  const again = await listen(bus, 'start');
  expect([first.received, again.received]).toEqual([[], [4]]);
  await again.served.close();
  expect((await listen(bus, second)).received).toEqual([]);
  await bus.close();
});

test('a name that begins at the start keeps its events while no instance listens', async () => {
  const bus = testBus('search');
  await publishThree(bus);
  await bus.set('search.index.paused', true, { unchecked: true });
  const paused = await listen(bus, 'start');
  await paused.served.close();
  await bus.set('search.index.paused', null);
  expect((await listen(bus, 'end')).received).toEqual([1, 2, 3]);
  await bus.close();
});

test.each([['now'], [5], [new Date(NaN)], [null]])('from %p is a Config error', async (from) => {
  const bus = testBus('search');
  // @ts-expect-error most of these values are for callers without a compiler
  const listening = bus.listen(photos.added, { as: 'index', from }, () => {});
  await expect(listening).rejects.toMatchObject({
    code: 'Config',
    message: expect.stringContaining("it must be 'start', 'end' or a valid Date"),
  });
  await bus.close();
});
