import { seededRandom, virtualClock } from '../../../src/memory/clock';
import type { Connection } from '../../../src/zookeeper/session/connection';
import { backoffMs, Restorer } from '../../../src/zookeeper/session/restorer';

function open() {
  const clock = virtualClock();
  const connection = { alive: true };
  const reports: string[] = [];
  const restorer = new Restorer({
    clock,
    random: seededRandom(1),
    closed: new AbortController().signal,
    restored: (_connection, awayMs) => reports.push(`restored after ${awayMs} ms`),
    failed: (reason) => reports.push(reason),
  });
  return { clock, connection: connection as Connection & { alive: boolean }, reports, restorer };
}

test('the pause doubles from 50 ms up to one second', () => {
  expect([0, 1, 2, 5, 100].map(backoffMs)).toEqual([50, 100, 200, 1_000, 1_000]);
});

test('restores the parts in order, and retries until none fails', async () => {
  const { clock, connection, reports, restorer } = open();
  const runs: string[] = [];
  let failures = 2;
  restorer.add(async () => void runs.push('settings'));
  restorer.add(async () => {
    runs.push('registry');
    if (failures-- > 0) throw new Error('no folder');
  });
  void restorer.run(connection, 70);
  await clock.advance(1_000);
  expect(runs).toEqual(['settings', 'registry', 'settings', 'registry', 'settings', 'registry']);
  expect(reports.at(-1)).toBe('restored after 70 ms');
  expect(reports).toHaveLength(3);
});

test('stops when the connection ends, without a report', async () => {
  const { clock, connection, reports, restorer } = open();
  restorer.add(async () => void (connection.alive = false));
  void restorer.run(connection, 0);
  await clock.advance(1_000);
  expect(reports).toEqual([]);
});

test('a failure that a part reports is restored after a pause, and a check rereads everything', async () => {
  const { clock, connection, reports, restorer } = open();
  const checks: (boolean | undefined)[] = [];
  restorer.add(async (_connection, check) => void checks.push(check));
  restorer.soon(connection, 'a watch was refused');
  expect(reports).toEqual(['a watch was refused']);
  await clock.advance(100);
  restorer.check(connection);
  await clock.advance(0);
  expect(checks).toEqual([false, true]);
});
