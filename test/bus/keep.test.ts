/** Retention that entries declare: settled jobs by queue, and events by module. */
import { defineModule, event, unchecked, work } from '../../src/contract/contract';
import type { AnyContract } from '../../src/contract/types';
import type { Bus } from '../../src/bus/types';
import { inspectedBuses } from '../support/inspected-buses';

const [hour, day] = [3_600_000, 86_400_000]; // inspectedBuses keeps for a day by default
const Any = unchecked<unknown>();

/** Returns the number of records of a topic. */
function counting({ ports, soon }: ReturnType<typeof inspectedBuses>) {
  const { log } = ports('look');
  return async (topic: string): Promise<number> => {
    const bounds = await soon(log.bounds(topic));
    return bounds.reduce((sum, { start, end }) => sum + end - start, 0);
  };
}
/** Events are deleted only when a named listener has received them. */
async function listen(bus: Bus, { added }: { added: ReturnType<typeof contractOf>['added'] }): Promise<unknown> {
  return bus.listen(added, { as: 'index' }, () => {});
}
const contractOf = (keepMs?: number) =>
  defineModule('photos', { added: event(Any, keepMs === undefined ? {} : { keepMs }) });

test('settled jobs of a queue are deleted after its keepMs, and those of another queue stay', async () => {
  const r = inspectedBuses();
  const photos = defineModule('photos', {
    resize: work(Any),
    thumb: work(Any, { queue: 'fast', keepMs: 2 * hour }),
  });
  const bus = await r.open('photos');
  await r.soon(bus.serve(photos, { resize() {}, thumb() {} }));
  await r.soon(bus.submitAll(photos.resize, [1, 2, 3]));
  await r.soon(bus.submitAll(photos.thumb, [1, 2, 3]));
  const count = counting(r);
  await r.clock.advance(1.9 * hour);
  expect(await count('t.photos.work.fast')).toBe(3);
  await r.clock.advance(0.5 * hour);
  expect([await count('t.photos.work.fast'), await count('t.photos.work')]).toEqual([0, 3]);
  await r.clock.advance(day);
  expect(await count('t.photos.work')).toBe(0);
});

test('jobs that are not settled stay beyond keepMs', async () => {
  const r = inspectedBuses();
  const photos = defineModule('photos', { thumb: work(Any, { keepMs: hour }) });
  const bus = await r.open('photos');
  await r.soon(bus.serve(photos, { thumb: () => new Promise(() => undefined) }));
  await r.soon(bus.submitAll(photos.thumb, [1, 2, 3]));
  await r.clock.advance(5 * hour);
  expect(await counting(r)('t.photos.work')).toBe(3);
});

test('events are deleted after the keepMs of their entry', async () => {
  const r = inspectedBuses();
  const photos = contractOf(2 * hour);
  const [bus, search] = [await r.open('photos'), await r.open('search')];
  await r.soon(listen(search, photos));
  await r.soon(bus.publish(photos.added, 1));
  await r.clock.advance(1.9 * hour);
  const count = counting(r);
  expect(await count('t.photos.events')).toBe(1);
  await r.clock.advance(0.2 * hour);
  expect(await count('t.photos.events')).toBe(0);
});

test('the longer keepMs of a later version applies to a topic that exists, and a shorter one does not', async () => {
  const r = inspectedBuses();
  const keepMs = async (): Promise<unknown> =>
    (await r.soon(r.ports('look').log.topics())).find(({ name }) => name === 't.photos.events')?.keepMs;
  for (const [declared, kept] of [
    [2 * hour, 2 * hour],
    [30 * day, 30 * day],
    [hour, 30 * day],
    [undefined, 30 * day],
  ]) {
    const bus = await r.open('photos');
    await r.soon(bus.publish(contractOf(declared).added, 1));
    expect(await keepMs()).toBe(kept);
    await r.soon(bus.close());
  }
});

test('a wait for a listener is reported by the keepMs of the entry, not of the bus', async () => {
  const r = inspectedBuses({ holdsUnread: false });
  const photos = contractOf(2 * hour);
  const [bus, search] = [await r.open('photos'), await r.open('search')];
  await r.soon(listen(search, photos));
  await r.soon(search.close());
  await r.soon(bus.publish(photos.added, 1));
  await r.clock.advance(0.9 * hour);
  expect(bus.health().reasons).toEqual([]);
  await r.clock.advance(0.3 * hour);
  expect(bus.health().reasons).toEqual([expect.objectContaining({ part: 'events of t.photos.events' })]);
});

test.each([
  ['work', 999],
  ['work', '1h'],
  ['event', 315_360_000_001],
  ['event', 1_000.5],
])('a %s with keepMs %p is a Config error with the limits', (kind, keepMs) => {
  const loosely = { work, event } as unknown as Record<string, (...given: unknown[]) => AnyContract>;
  const define = () => defineModule('photos', { x: loosely[kind]?.(Any, { keepMs }) as never });
  expect(define).toThrow(/photos\.x: keepMs is .*; it must be a whole number of ms from 1000 to 315360000000/);
});
