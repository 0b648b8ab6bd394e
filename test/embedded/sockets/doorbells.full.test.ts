/** Doorbells: who hears them, what a stopped or dead neighbour costs, and what is told of who is alive. */
import { systemClock, systemRandom } from '../../../src/base/clock';
import { openNotices } from '../../../src/base/notices';
import { openDirectory } from '../../../src/embedded/directory/directory';
import { newAddress } from '../../../src/embedded/directory/process-liveness';
import { openRings, type Rings } from '../../../src/embedded/sockets/doorbells';
import { openSockets } from '../../../src/embedded/sockets/sockets';
import { cleanUp, clockWithout, freshDirectory, heardWithinMs, later, openBus, startChild, until } from '../kit';

afterEach(cleanUp);

async function open(
  dir: string,
  clock = systemClock,
): Promise<Rings & { heard: string[]; queued: (to: string) => number }> {
  const directory = openDirectory(dir, 'test', systemRandom);
  const parts = { directory, address: newAddress(systemRandom), clock, notices: openNotices() };
  const sockets = await openSockets(parts);
  later(() => sockets.close());
  const rings = openRings({ directory, sockets, clock });
  const heard: string[] = [];
  rings.onRing((topic) => void heard.push(topic));
  // Reaches into a private part: how much waits is not for anybody else to know.
  const queued = (to: string): number => sockets['peers'].get(to)?.connections[0]?.queuedBytes ?? 0;
  return { ...rings, heard, queued };
}

test('a ring is heard by those it is for, once, and not by oneself', async () => {
  const dir = freshDirectory();
  const [a, b, c] = [await open(dir), await open(dir), await open(dir)];
  a.ring([a.address, b.address], 'queue one');
  await a.ringAll('all');
  expect(b.heard).toEqual(['queue one', 'all']);
  expect(c.heard).toEqual(['all']);
  expect(a.heard).toEqual([]);
  expect([...a.others()].sort()).toEqual([b.address, c.address].sort());
});
test('rings of one turn for one topic go out as one', async () => {
  const dir = freshDirectory();
  const [a, b] = [await open(dir), await open(dir)];
  for (let round = 0; round < 100; round++) a.ring([b.address], round % 2 === 0 ? 'even' : 'odd');
  await a.ringAll('end');
  expect(b.heard).toEqual(['even', 'odd', 'end']);
});
test('whoever stopped hearing hears no more', async () => {
  const dir = freshDirectory();
  const [a, b] = [await open(dir), await open(dir)];
  let heard = 0;
  const stop = b.onRing(() => void heard++);
  await a.ringAll('one');
  stop();
  await a.ringAll('two');
  expect(heard).toBe(1);
  expect(b.heard).toHaveLength(2);
});
test('rings at a stopped process do not pile up, and one that goes on hears the last', async () => {
  const dir = freshDirectory();
  const a = await open(dir);
  const child = startChild('count', dir);
  const address = String(await child.next());
  await a.ringAll('x');
  child.process.kill('SIGSTOP');
  for (let round = 0; round < 2_000; round++) {
    for (let topic = 0; topic < 100; topic++) a.ring([address], `queue ${topic}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(a.queued(address)).toBeLessThan(600_000);
  child.process.kill('SIGCONT');
  // It reads on as soon as it gets its share of the processor; `ringAll` waits for it for 0.2 s only.
  expect(await until(() => (a.queued(address) === 0 ? 'empty' : undefined))).toBe('empty');
});
test('rings at the dead are nothing, and waiting for all does not wait for them', async () => {
  const dir = freshDirectory();
  const a = await open(dir, clockWithout(heardWithinMs));
  const child = startChild('count', dir);
  const address = String(await child.next());
  expect(a.alive(address)).toBe(true);
  await child.kill();
  await a.ringAll('x');
  a.ring([address, 'nonsense'], 'x');
  expect(a.alive(address)).toBe(false);
});
test('a bus that was closed is not alive, though its process is', async () => {
  const dir = freshDirectory();
  const a = await open(dir);
  const bus = await openBus(dir);
  expect(a.alive(bus.post.address)).toBe(true);
  expect(a.alive(a.address)).toBe(true);
  await bus.close();
  await until(() => !a.alive(bus.post.address));
  expect(a.others()).toEqual([]);
});
