import { deferred } from '../../../src/base/lifecycle';
import type { Connection } from '../../../src/zookeeper/session/connection';
import { watchOver } from '../../../src/zookeeper/session/watchdog';
import { openTime } from '../time';

const sessionMs = 6_000;

/** A connection whose answers the test sends. */
function openConnection() {
  const [ended, cut] = [deferred<{ how: 'lost'; reason: string }>(), [] as string[]];
  const questions: ((there: boolean) => void)[] = [];
  const connection = {
    sessionMs,
    ended: ended.promise,
    exists: () => new Promise<boolean>((resolve) => questions.push(resolve)),
    cut(reason: string) {
      cut.push(reason);
      ended.resolve({ how: 'lost', reason });
    },
  };
  // The cast: the watchdog uses nothing else of a connection.
  return { connection: connection as unknown as Connection, questions, cut };
}

test('probes every sixth of a session time-out while answers arrive', async () => {
  const [time, { connection, questions, cut }] = [openTime(), openConnection()];
  watchOver(connection, time.clock);
  for (let n = 1; n <= 20; n++) {
    await time.pass(1_000);
    expect(questions).toHaveLength(n);
    questions.at(-1)?.(true);
    await time.pass(0);
  }
  expect(cut).toEqual([]);
});

test('cuts a connection that is silent for a third of a session, and stops probing', async () => {
  const [time, { connection, questions, cut }] = [openTime(), openConnection()];
  watchOver(connection, time.clock);
  for (let n = 0; n < 2; n++) await time.pass(1_000);
  expect(cut).toEqual([]);
  await time.pass(1_000);
  expect(cut).toEqual(['no response for 2000 ms']);
  for (let n = 0; n < 9; n++) await time.pass(1_000);
  expect([questions.length, cut.length]).toEqual([1, 1]);
});

test('a stalled process reads the waiting answer before it cuts the connection', async () => {
  const [time, { connection, questions, cut }] = [openTime(), openConnection()];
  watchOver(connection, time.clock);
  await time.pass(1_000);
  await time.pass(60_000);
  expect(cut).toEqual([]);
  for (let n = 2; n < 9; n++) {
    questions.at(-1)?.(true);
    await time.pass(0);
    await time.pass(1_000);
  }
  expect(cut).toEqual([]);
});
