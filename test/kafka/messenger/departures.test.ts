/** Detection of departed instances from registry changes: with few requests, and without missing any. */
import { closable } from '../../../src/base/lifecycle';
import { watchDepartures } from '../../../src/kafka/messenger/departures';
import { virtualClock } from '../../../src/memory';
import type { Instance, Registry } from '../../../src/ports/registry';

const instanceOf = (name: string): Instance => ({
  name,
  module: 'photos',
  address: `at ${name}`,
  incarnation: name,
  host: 'here',
  pid: 1,
  sinceMs: 0,
  version: '',
  serves: {},
  leaving: false,
});

/** Opens a scripted registry: `alive` has the running instances, and `shown` sets those that watchers see. */
function system() {
  const clock = virtualClock();
  const alive = new Set<string>();
  const asked: string[] = [];
  let away = false;
  let show: (instances: readonly Instance[]) => void = () => undefined;
  const registry: Registry = {
    announce: async () => undefined,
    withdraw: async () => undefined,
    all: () => Promise.reject(new Error('a listing of everybody for one who left')),
    async find(name) {
      asked.push(name);
      if (away) throw new Error('away');
      return alive.has(name) ? instanceOf(name) : undefined;
    },
    async watch(_contract, see) {
      show = see;
      return closable(async () => undefined);
    },
    ...closable(async () => undefined),
  };
  const departures = watchDepartures(registry, clock);
  const vanished: string[] = [];
  const known = new Set<string>();
  departures.watch({
    up: () => undefined,
    vanished: (addresses) => void vanished.push(...addresses),
    knows: (address) => known.has(address),
  });
  /** Sets the instances that serve the watched contract. */
  const shown = (...names: string[]): void => {
    for (const name of names) alive.add(name);
    show(names.map(instanceOf));
  };
  return {
    clock,
    living: departures,
    alive,
    asked,
    vanished,
    known,
    shown,
    setAway: (now: boolean) => (away = now),
  };
}

test('a departed instance is reported after one registry request', async () => {
  const { clock, living: departures, alive, asked, vanished, shown } = system();
  await departures.registry.watch('photos', () => undefined);
  shown('a', 'b', 'c');
  alive.delete('b');
  shown('a', 'c');
  await clock.advance(60_000);
  expect(vanished).toEqual(['at b']);
  expect(asked).toEqual(['b']);
});

test('a peer that serves no watched contract is reported when it dies', async () => {
  const { clock, living: departures, alive, asked, vanished, known, shown } = system();
  await departures.registry.watch('photos', () => undefined);
  known.add('at a');
  shown('a', 'b');
  shown();
  await clock.advance(10_000);
  expect(vanished).toEqual([]);
  expect(asked.filter((name) => name === 'b')).toHaveLength(1);
  alive.delete('a');
  await clock.advance(1_000);
  expect(vanished).toEqual(['at a']);
});

test('a departure is reported despite frequent changes and a temporarily unavailable registry', async () => {
  const { clock, living: departures, alive, vanished, known, shown, setAway } = system();
  await departures.registry.watch('photos', () => undefined);
  for (let n = 0; n < 300; n++) {
    shown('a', `b${n}`);
    alive.delete(`b${n}`);
    shown('a');
    await clock.advance(10);
  }
  expect(vanished).toHaveLength(300);
  known.add('at a');
  setAway(true);
  alive.delete('a');
  shown();
  await clock.advance(600_000);
  expect(vanished).toHaveLength(300);
  setAway(false);
  await clock.advance(1_000);
  expect(vanished.at(-1)).toBe('at a');
});

test('a departure is reported without waiting for the repeated check of another instance', async () => {
  const { clock, living: departures, alive, vanished, known, shown } = system();
  await departures.registry.watch('photos', () => undefined);
  for (const name of ['a', 'b']) known.add(`at ${name}`);
  shown('a', 'b');
  shown('b');
  await clock.advance(100);
  alive.delete('b');
  shown();
  await clock.advance(0);
  expect(vanished).toEqual(['at b']);
});

test('a closed watch sends no registry request and sets no timer', async () => {
  const { clock, living: departures, asked, known, shown } = system();
  await departures.registry.watch('photos', () => undefined);
  known.add('at a');
  shown('a');
  shown();
  await clock.advance(2_000);
  const before = asked.length;
  await departures.close();
  await clock.advance(0);
  expect(clock.nextDueMs).toBeUndefined();
  expect(asked).toHaveLength(before);
});
