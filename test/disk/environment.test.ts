/** An environment: what it reports about a write that LMDB does not answer. */
import { Environment, type EnvironmentParts } from '../../src/disk/environment';
import type { Holding } from '../../src/disk/lockfile';
import { virtualClock } from '../../src/memory';

/** An environment whose only write is never answered, checked every second. */
function waiting(holder: Holding) {
  const clock = virtualClock();
  const parts = {
    path: '/log',
    clock,
    files: { look: () => undefined },
    lock: { holder: () => holder, isDamaged: () => false, describeHolder: () => 'HOLDER' },
  };
  // The cast: a check uses these parts of an environment only.
  const environment = new Environment(parts as unknown as EnvironmentParts);
  const ended = jest.fn();
  void environment.writes.run(new Promise(() => undefined)).catch(ended);
  const check = async (seconds: number): Promise<void> => {
    for (let n = 0; n < seconds; n++) {
      await clock.advance(1_000);
      environment.check();
    }
  };
  return { environment, ended, check };
}

test('a write is lost when no process holds the lock', async () => {
  const { environment, ended, check } = waiting('none');
  await check(19);
  expect(environment.condition.fault?.final).toBe(false);
  await check(1);
  expect(environment.condition.fault).toMatchObject({
    final: true,
    reason: expect.stringContaining('no process holds'),
  });
  expect(ended).toHaveBeenCalled();
});

test.each<[Holding, number]>([
  ['unknown', 5],
  [{ pid: 7, stopped: false }, 5],
  [{ pid: 7, stopped: true }, 1],
])('a write that waits for a holder (%j) is reported after %d s, and is not lost', async (holder, reportedAfterS) => {
  const { environment, ended, check } = waiting(holder);
  await check(reportedAfterS - 1);
  expect(environment.condition.fault).toBeUndefined();
  await check(1);
  expect(environment.condition.fault).toEqual({
    final: false,
    reason: `a write has been waiting for ${reportedAfterS}000 ms: HOLDER`,
  });
  await check(60);
  expect(environment.condition.fault?.final).toBe(false);
  expect(ended).not.toHaveBeenCalled();
});
