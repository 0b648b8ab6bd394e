/** Doorbells: their receivers, the cost of a stopped or dead neighbor, and the detection of live ones. */
import { systemClock, systemRandom } from '../../../src/base/clock';
import { openNotices } from '../../../src/base/notices';
import { openDirectory } from '../../../src/embedded/directory/directory';
import { newAddress } from '../../../src/embedded/directory/process-liveness';
import { openDoorbells, type Doorbells } from '../../../src/embedded/sockets/doorbells';
import { openSockets } from '../../../src/embedded/sockets/sockets';
import {
  cleanUp,
  clockWithout,
  freshDirectory,
  heardWithinMs,
  later,
  openBus,
  startChild,
  until,
} from '../../support/embedded-buses';

afterEach(cleanUp);

async function open(
  dir: string,
  clock = systemClock,
): Promise<Doorbells & { heard: string[]; queued: (to: string) => number }> {
  const directory = openDirectory(dir, 'test', systemRandom);
  const parts = { directory, address: newAddress(systemRandom), clock, notices: openNotices() };
  const sockets = await openSockets(parts);
  later(() => sockets.close());
  const doorbells = openDoorbells({ directory, sockets, clock });
  const heard: string[] = [];
  doorbells.onRing((topic) => void heard.push(topic));
  // A private part: no port exposes the number of queued bytes.
  const queued = (to: string): number => sockets['peers'].get(to)?.connections[0]?.queuedBytes ?? 0;
  return { ...doorbells, heard, queued };
}

test('a ring reaches its addressees once, and never its sender', async () => {
  const dir = freshDirectory();
  const [a, b, c] = [await open(dir), await open(dir), await open(dir)];
  a.ring([a.address, b.address], 'queue one');
  await a.ringAll('all');
  expect(b.heard).toEqual(['queue one', 'all']);
  expect(c.heard).toEqual(['all']);
  expect(a.heard).toEqual([]);
  expect([...a.others()].sort()).toEqual([b.address, c.address].sort());
});
test('rings of one turn for one topic are sent as one', async () => {
  const dir = freshDirectory();
  const [a, b] = [await open(dir), await open(dir)];
  for (let round = 0; round < 100; round++) a.ring([b.address], round % 2 === 0 ? 'even' : 'odd');
  await a.ringAll('end');
  expect(b.heard).toEqual(['even', 'odd', 'end']);
});
test('a listener that was removed gets no more rings', async () => {
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
test('rings to a stopped process stay below 600 KB, and are delivered when it continues', async () => {
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
  // It continues as soon as it gets CPU time; `ringAll` waits for it for only 0.2 s.
  expect(await until(() => (a.queued(address) === 0 ? 'empty' : undefined))).toBe('empty');
});
test('rings to a dead process do nothing, and ringAll does not wait for it', async () => {
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
test('a closed bus is not alive, although its process is', async () => {
  const dir = freshDirectory();
  const a = await open(dir);
  const bus = await openBus(dir);
  expect(a.alive(bus.messenger.address)).toBe(true);
  expect(a.alive(a.address)).toBe(true);
  await bus.close();
  await until(() => !a.alive(bus.messenger.address));
  expect(a.others()).toEqual([]);
});
