/** `busbar drain` as a process, with a broker that accepts connections and never responds: its limit, progress and ^C. */
import { join } from 'node:path';
import { openHole, type Hole } from '../cluster/hole';
import { rows, shopCommand } from '../support/command';
import { until } from '../support/embedded-buses';
import { leaveSpool } from '../support/left-spool';

jest.setTimeout(240_000); // each command is a process, and machines can be busy

let k: ReturnType<typeof shopCommand>;
let hole: Hole;
beforeEach(async () => {
  k = shopCommand();
  hole = await openHole();
});
afterEach(async () => {
  await k.close();
  await hole.close();
});

const topic = { name: 'test.shop.work', partitions: 2, compacted: false, keepMs: null };
const dir = (): string => join(k.dir, 'spool');
const args = (...more: readonly string[]): readonly string[] => {
  return ['drain', '--dir', dir(), '--ns', 'test', '--brokers', hole.place, ...more];
};
const waiting = async (): Promise<unknown> =>
  (JSON.parse((await k.run(['spool', '-o', 'json', '--dir', dir()])).out) as { readonly waiting: unknown }).waiting;

test('ends at --timeout with 75 and its report, and leaves the rest in the spool', async () => {
  await leaveSpool(dir(), 'test', topic, 0, 3);
  const startMs = performance.now();
  const { code, out, err } = await k.run(args('--timeout', '2s'));
  expect([code, rows(out)]).toMatchObject([75, [{ SENT: '0', LEFT: '3', REFUSED: '0' }]]);
  expect(err).toContain('the time of --timeout is over: 3 messages stay in the spool');
  expect(performance.now() - startMs).toBeGreaterThanOrEqual(2_000);
  expect(await waiting()).toMatchObject([{ topic: topic.name, messages: 3 }]);
});

test('shows the progress on a terminal in one line, which the result replaces', async () => {
  await leaveSpool(dir(), 'test', topic, 0, 3);
  const { code, out } = await k.inTerminal(100, args('--timeout', '3s')).ended;
  expect(code).toBe(75);
  const [first = '', ...others] = out.split('\r\n')[0]?.split('\r\u001b[K') ?? [];
  expect(first).toBe('0 sent, 3 left');
  expect(others.filter((line) => line.startsWith('0 sent, 3 left')).length).toBeGreaterThan(2);
  expect(out).toContain('\r\u001b[Ksent 0 messages, 3 left\r\n');
});

test('ends at ^C with 130 and its report, and leaves the rest in the spool', async () => {
  await leaveSpool(dir(), 'test', topic, 0, 3);
  const running = k.start(args());
  await until(() => hole.visitors > 0, 60_000, 'a connection');
  running.child.kill('SIGINT');
  const { code, out, err } = await running.ended;
  expect([code, rows(out)]).toMatchObject([130, [{ SENT: '0', LEFT: '3', REFUSED: '0' }]]);
  expect(err).toContain('interrupted: 3 messages stay in the spool');
  expect(await waiting()).toMatchObject([{ messages: 3 }]);
});
