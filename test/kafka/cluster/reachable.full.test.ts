import net from 'node:net';
import { systemClock, type Clock } from '../../../src/base/clock';
import { mustListen } from '../../../src/kafka/cluster/reachable';

/** Returns a port at which no process listens: a server was bound to it and closed. */
async function freePort(): Promise<number> {
  const server = await listening();
  const { port } = server.address() as net.AddressInfo; // the server listens on a port
  await new Promise((resolve) => server.close(resolve));
  return port;
}
async function listening(): Promise<net.Server> {
  const server = net.createServer((socket) => socket.destroy());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server;
}

/** Returns a clock whose pauses take no time and are recorded. */
function hasty(): { readonly clock: Clock; readonly paused: number[] } {
  const paused: number[] = [];
  const after: Clock['after'] = (ms, run) => {
    if (ms < 1_000) return systemClock.after(60_000, run); // the timeout of an attempt, for slow machines
    paused.push(ms);
    return systemClock.after(0, run);
  };
  return { clock: { ...systemClock, after }, paused };
}

test('rejects with Unreachable when every broker refuses two connection attempts a second apart', async () => {
  const brokers = [`127.0.0.1:${await freePort()}`, `localhost:${await freePort()}`];
  const { clock, paused } = hasty();
  await expect(mustListen(brokers, clock)).rejects.toMatchObject({
    code: 'Unreachable',
    message: expect.stringContaining(`no server listens at ${brokers.join(',')} (ECONNREFUSED)`),
  });
  expect(paused).toEqual([1_000]);
});

test('resolves when one broker listens or one name cannot be resolved', async () => {
  const server = await listening();
  const { port } = server.address() as net.AddressInfo; // as above
  const { clock, paused } = hasty();
  await mustListen([`127.0.0.1:${await freePort()}`, `127.0.0.1:${port}`], clock);
  await new Promise((resolve) => server.close(resolve));
  await mustListen([`127.0.0.1:${port}`, 'no.such.name.invalid:9092'], clock);
  expect(paused).toEqual([]);
});
