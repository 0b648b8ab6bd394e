import { BusError } from '../src/base/errors';
import { closable, deferred } from '../src/base/lifecycle';
import { openNotices } from '../src/base/notices';
import { virtualClock } from '../src/memory';
import type { ServerProbe } from '../src/ports/server-probe';
import { openWhenServersRespond } from '../src/wait-for-servers';

const down = new BusError('Unreachable', 'topic t has no leader', { outcome: 'not-sent', waitedMs: 10 });

function scene(waitMs: number, openings: readonly (() => Promise<string>)[] = [async () => 'open']) {
  const clock = virtualClock();
  const notices = openNotices();
  const lines: [ms: number, line: string][] = [];
  const startMs = clock.now();
  notices.watch((one) => one.type === 'log' && lines.push([clock.now() - startMs, one.message]));
  const [kafka, zookeeper] = ['Kafka at k:1', 'ZooKeeper at z:1'].map((name) => ({ name, answer: deferred<void>() }));
  const suffices = new Set<string>();
  const probes = { made: 0, closed: 0 };
  const probe = (): ServerProbe[] =>
    [kafka, zookeeper].map((one) => {
      probes.made++;
      return {
        name: one?.name ?? '',
        reason: 'ECONNREFUSED',
        get suffices() {
          return suffices.has(one?.name ?? '');
        },
        responds: () => one?.answer.promise ?? Promise.resolve(),
        ...closable(async () => void probes.closed++),
      };
    });
  const stop = new AbortController();
  const calls = { opened: 0, discarded: [] as string[] };
  const open = (): Promise<string> =>
    openings[Math.min(calls.opened++, openings.length - 1)]?.() ?? Promise.resolve('');
  const discard = async (opened: string): Promise<void> => void calls.discarded.push(opened);
  const end: { value?: unknown; atMs?: number } = {};
  const note = (value: unknown): void => void Object.assign(end, { value, atMs: clock.now() - startMs });
  openWhenServersRespond({ clock, notices, waitMs, signal: stop.signal }, probe, open, discard).then(note, note);
  const up = { kafka: () => kafka?.answer.resolve(), zookeeper: () => zookeeper?.answer.resolve() };
  return { clock, lines, probes, calls, end, up, stop, suffices };
}

test('servers that respond immediately are not reported, and the bus opens', async () => {
  const { clock, lines, probes, end, up } = scene(60_000);
  up.kafka();
  up.zookeeper();
  await clock.advance(10_000);
  expect(end).toEqual({ value: 'open', atMs: 0 });
  expect([lines, probes]).toEqual([[], { made: 2, closed: 2 }]);
});

test('a silent server is reported by name after 0.5 s and then every 5 s, until it responds', async () => {
  const { clock, lines, calls, end, up } = scene(60_000);
  await clock.advance(6_000);
  up.kafka();
  await clock.advance(6_000);
  expect(calls.opened).toBe(0);
  up.zookeeper();
  await clock.advance(20_000);
  expect(end).toEqual({ value: 'open', atMs: 12_000 });
  const both = 'Kafka at k:1 (ECONNREFUSED) and ZooKeeper at z:1 (ECONNREFUSED)';
  const passed = (s: number) => `${s} s of at most 60 s have passed (waitForServersMs)`;
  expect(lines).toEqual([
    [500, `waits for ${both}; ${passed(1)}`],
    [5_500, `waits for ${both}; ${passed(6)}`],
    [10_500, `waits for ZooKeeper at z:1 (ECONNREFUSED); ${passed(11)}`],
  ]);
});

test('at the limit it rejects with the name of the silent server, and opens nothing', async () => {
  const { clock, probes, calls, end, up } = scene(3_000);
  up.zookeeper();
  await clock.advance(60_000);
  expect(end).toMatchObject({
    atMs: 3_000,
    value: {
      code: 'Unreachable',
      message:
        'Kafka at k:1 (ECONNREFUSED) did not respond within 3000 ms (waitForServersMs). ' +
        'Start the servers, or correct their addresses',
      details: { outcome: 'not-sent', waitedMs: 3_000, cause: 'Kafka at k:1 (ECONNREFUSED)' },
    },
  });
  expect([probes, calls.opened]).toEqual([{ made: 2, closed: 2 }, 0]);
});

test('at the limit it opens when all that is missing are further brokers', async () => {
  const { clock, end, up, suffices } = scene(3_000);
  suffices.add('Kafka at k:1');
  up.zookeeper();
  await clock.advance(60_000);
  expect(end).toEqual({ value: 'open', atMs: 3_000 });
});

describe('when the servers respond and the opening fails', () => {
  test('with Unreachable, it is repeated while time is left', async () => {
    const { clock, lines, calls, end, up } = scene(10_000, [() => Promise.reject(down), async () => 'open']);
    up.kafka();
    up.zookeeper();
    await clock.advance(60_000);
    expect(end).toEqual({ value: 'open', atMs: 1_000 });
    expect(calls.opened).toBe(2);
    expect(lines).toEqual([[0, `the bus cannot be opened yet, and tries again for 10 s: ${down.message}`]]);
  });

  test('with Unreachable until the limit, its own error is the result', async () => {
    const { clock, calls, end, up } = scene(3_500, [() => Promise.reject(down)]);
    up.kafka();
    up.zookeeper();
    await clock.advance(60_000);
    expect(end).toEqual({ value: down, atMs: 3_000 });
    expect(calls.opened).toBe(4);
  });

  test('with another error, it is not repeated', async () => {
    const wrong = new BusError('NotAllowed', 'no', { what: 'topic t' });
    const { clock, calls, end, up } = scene(60_000, [() => Promise.reject(wrong)]);
    up.kafka();
    up.zookeeper();
    await clock.advance(1_000);
    expect([end.value, calls.opened]).toEqual([wrong, 1]);
  });
});

describe('when the signal aborts', () => {
  const cancelled = { value: { code: 'Cancelled', details: { reason: 'SIGINT' } } };

  test('the wait ends with Cancelled', async () => {
    const { clock, probes, calls, end, stop } = scene(60_000);
    await clock.advance(1_000);
    stop.abort('SIGINT');
    await clock.advance(0);
    expect(end).toMatchObject({ ...cancelled, atMs: 1_000 });
    await clock.advance(60_000);
    expect([probes, calls.opened]).toEqual([{ made: 2, closed: 2 }, 0]);
  });

  test('an opening in progress is discarded when it ends', async () => {
    const opening = deferred<string>();
    const { clock, calls, end, up, stop } = scene(60_000, [() => opening.promise]);
    up.kafka();
    up.zookeeper();
    await clock.advance(1_000);
    stop.abort('SIGINT');
    await clock.advance(0);
    expect(end).toMatchObject({ ...cancelled, atMs: 1_000 });
    opening.resolve('a bus');
    await clock.advance(0);
    expect(calls.discarded).toEqual(['a bus']);
  });

  test('the pause before another opening ends with Cancelled', async () => {
    const { clock, calls, end, up, stop } = scene(60_000, [() => Promise.reject(down)]);
    up.kafka();
    up.zookeeper();
    await clock.advance(100);
    stop.abort('SIGINT');
    await clock.advance(60_000);
    expect(end).toMatchObject({ ...cancelled, atMs: 100 });
    expect(calls.opened).toBe(1);
  });

  test('before the call, nothing is opened', async () => {
    const { clock, calls, end, up, stop } = scene(60_000);
    stop.abort('SIGINT');
    up.kafka();
    up.zookeeper();
    await clock.advance(1_000);
    expect(end).toMatchObject(cancelled);
    expect(calls.opened).toBe(0);
  });
});
