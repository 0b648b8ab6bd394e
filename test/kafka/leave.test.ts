/** Departures with delayed registries: departed instances receive no request, and false departures change nothing. */
import { buildBus } from '../../src/bus/bus';
import { defineModule, request, unchecked } from '../../src/contract/contract';
import { memoryWorld, virtualClock } from '../../src/memory';
import type { Registry } from '../../src/ports/registry';
import { memoryBusParts } from '../../src/testing/parts';
import { openOn } from '../support/kafka-messenger';

const maths = defineModule('maths', { double: request(unchecked<number>(), unchecked<number>()) });
const web = defineModule('web', { ping: request(unchecked<number>(), unchecked<number>()) });
const lateMs = 3_000;

function system() {
  const clock = virtualClock();
  const world = memoryWorld({ clock, delays: { minMs: 1, maxMs: 1 } });
  async function join(name: string, change: (registry: Registry) => Registry = (registry) => registry) {
    const process = world.process(name);
    const opening = openOn({ ...process, registry: change(process.registry) }, { inboxPartitions: 4 });
    await clock.advance(100);
    const { messenger, registry } = await opening;
    const parts = memoryBusParts({ ...process, messenger, registry }, { lingerMs: 300 });
    const built = buildBus({ ...parts, reached: 'broker' });
    await clock.advance(100);
    await built.opened;
    return built.bus;
  }
  /** Delays the changes of a watch by three seconds. `all` returns the current instances, or never answers. */
  const late =
    (answers: boolean) =>
    (registry: Registry): Registry => ({
      ...registry,
      all: () => (answers ? registry.all() : new Promise(() => undefined)),
      async watch(contract, see) {
        let first = true;
        return registry.watch(contract, (instances) => {
          if (!first) return void clock.after(lateMs, () => see(instances));
          first = false;
          see(instances);
        });
      },
    });
  return { clock, join, late };
}

test('a new caller avoids a departed instance that its registry still lists', async () => {
  const { clock, join, late } = system();
  const caller = await join('web#1', late(true));
  const buses = [await join('maths#1'), await join('maths#2')];
  const serving = buses.map((bus) => bus.serve(maths, { double: (n) => n * 2 }));
  await clock.advance(100);
  await Promise.all(serving);
  // The caller reads the instances, and sends no request.
  const nobody = caller.tryRequest(maths.double, 1, { to: 'nobody' });
  await clock.advance(100);
  await nobody;
  expect(caller.instances(maths)).toHaveLength(2);
  const closing = buses[0]?.close();
  await clock.advance(999);
  await closing;
  expect(caller.instances(maths)).toHaveLength(2);
  const asked = Array.from({ length: 20 }, (_, n) => caller.request(maths.double, n, { timeoutMs: 1_000 }));
  await clock.advance(lateMs + 2_000);
  expect(await Promise.all(asked)).toEqual(Array.from({ length: 20 }, (_, n) => n * 2));
});

test('closing ends within 600 ms while the registry does not list instances', async () => {
  const { clock, join, late } = system();
  const bus = await join('maths#1', late(false));
  let closed = false;
  void bus.close().then(() => (closed = true));
  await clock.advance(600);
  expect(closed).toBe(true);
});

test('a caller that only lost its announcement receives replies to running and waiting requests', async () => {
  const { clock, join } = system();
  let place: Registry | undefined;
  const caller = await join('web#1', (registry) => (place = registry));
  const server = await join('maths#1');
  const ends: (() => void)[] = [];
  const double = (n: number): Promise<number> => new Promise((resolve) => ends.push(() => resolve(n * 2)));
  const serving = [
    caller.serve(web, { ping: (n) => n }),
    server.serve(maths, { double }, { concurrency: { double: 1 } }),
  ];
  await clock.advance(100);
  await Promise.all(serving);
  const known = server.tryRequest(web.ping, 1); // makes it watch the caller's module
  const asked = [1, 2].map((n) => caller.tryRequest(maths.double, n, { timeoutMs: 20_000 }));
  await clock.advance(100);
  expect(await known).toEqual({ ok: true, value: 1 });
  void place?.withdraw();
  await clock.advance(3_000);
  expect(server.instances(web)).toEqual([]);
  for (let n = 0; n < 3; n++) {
    ends.shift()?.();
    await clock.advance(3_000);
  }
  expect(await Promise.all(asked)).toEqual([
    { ok: true, value: 2 },
    { ok: true, value: 4 },
  ]);
});
