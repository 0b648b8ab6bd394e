/** The command when configured servers do not answer: it reports them within 1 s, and ends within 5 s. */
import net from 'node:net';
import { openHole, type Hole } from '../cluster/hole';
import { startFake } from '../support/fake-zookeeper';
import { cleanUp } from '../support/zookeeper-sessions';
import { quickest } from '../elapsed';
import { shopCommand } from '../support/command';

jest.setTimeout(240_000);

/** Servers that accept connections in the kernel, as a frozen server does, and never answer. */
const holes: Hole[] = [];
async function frozen(): Promise<string> {
  const hole = await openHole();
  holes.push(hole);
  return hole.place;
}
/** Returns the address of a port that was just closed. */
async function refused(): Promise<string> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as net.AddressInfo; // it listens on TCP
  await new Promise((resolve) => server.close(resolve));
  return `127.0.0.1:${port}`;
}
afterEach(async () => {
  for (const hole of holes.splice(0)) await hole.close();
  await cleanUp();
});

/** Runs `busbar` and measures the time from its start, less the time that Node.js needs to start. */
async function runAgainst(brokers: string, zookeeper: string) {
  const k = shopCommand({ BUSBAR_TRANSPORT: 'kafka', BUSBAR_BROKERS: brokers, BUSBAR_ZOOKEEPER: zookeeper });
  const [help, helpMs] = await timed(() => k.run(['--version']));
  expect(help.code).toBe(0);
  const beganMs = performance.now();
  const going = k.start([]);
  let firstMs = Infinity;
  going.child.stderr?.once('data', () => (firstMs = performance.now() - beganMs));
  const ended = await going.ended;
  const endMs = performance.now() - beganMs;
  const [, againMs] = await timed(() => k.run(['--version']));
  await k.close();
  const startMs = Math.max(helpMs, againMs);
  return { ...ended, firstMs: firstMs - startMs, endMs: endMs - startMs };
}
async function timed<T>(run: () => Promise<T>): Promise<readonly [T, number]> {
  const beganMs = performance.now();
  return [await run(), performance.now() - beganMs];
}

test('unreachable servers end the command with 69 and are named', async () => {
  const servers = { BUSBAR_BROKERS: '127.0.0.1:1', BUSBAR_ZOOKEEPER: '127.0.0.1:1', BUSBAR_SESSION_MS: '1000' };
  const k = shopCommand({ BUSBAR_TRANSPORT: 'kafka', ...servers });
  const { code, out, err } = await k.run(['queues']);
  await k.close();
  expect({ code, out }).toEqual({ code: 69, out: '' });
  expect(err).toContain('ZooKeeper at 127.0.0.1:1 does not answer');
});

const answers = async (): Promise<string> => (await startFake()).connect;
test.each([
  ['brokers that refuse connections', refused, answers, /no broker accepts connections at 127\.0\.0\.1:\d+/],
  ['brokers that never answer', frozen, answers, /the broker at 127\.0\.0\.1:\d+ has not answered/],
  ['a ZooKeeper that refuses connections', refused, refused, /does not answer|no broker accepts connections/],
  ['a ZooKeeper that never answers', frozen, frozen, /ZooKeeper at 127\.0\.0\.1:\d+ does not answer/],
])('with %s the command prints a line within 1 s and ends within 5 s', async (_, brokers, zookeeper, first) => {
  const list = [await brokers(), await brokers(), await brokers()];
  const servers = [list.join(), await zookeeper()] as const;
  const ofLimits = await quickest(1, async () => {
    const { code, out, err, firstMs, endMs } = await runAgainst(...servers);
    expect({ code, out }).toEqual({ code: 69, out: '' });
    const lines = err.trimEnd().split('\n');
    expect(lines[0]).toMatch(first);
    expect(lines.at(-1)).toMatch(/^busbar: .*127\.0\.0\.1:\d+/);
    return Math.max(firstMs / 1_000, endMs / 5_000);
  });
  expect(ofLimits).toBeLessThan(1);
});
