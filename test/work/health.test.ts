/** A failure that has ended is reported as ended, since otherwise the instance would stay unready. */
import { BusError } from '../../src/base/errors';
import type { Log, OwnedPartition } from '../../src/ports/log';
import { heavy } from '../heavy';
import { jobs, parked, workQueue } from '../support/work-queue';

const unreachable = () => new BusError('Unreachable', 'away', { outcome: 'not-sent', waitedMs: 1 });
const { resize } = jobs({ attempts: 1 });

/** The parts whose last report was a failure. */
function broken(r: ReturnType<typeof workQueue>): string[] {
  const last = new Map(r.of('state').map(({ part, ok }) => [part, ok]));
  return [...last].filter(([, ok]) => !ok).map(([part]) => part);
}
/** A log whose partitions cannot be read while `away` returns true. */
function readless(log: Log, away: () => boolean): Log {
  const change = (owned: OwnedPartition): OwnedPartition => ({
    ...owned,
    read: (...how) => (away() ? Promise.reject(unreachable()) : owned.read(...how)),
  });
  return {
    ...log,
    join: (group, topic, owner, options) =>
      log.join(group, topic, { ...owner, onAssigned: (owned) => owner.onAssigned(change(owned)) }, options),
  };
}

test('a failed trim is logged as a warning and retried', async () => {
  const r = workQueue();
  const p = r.process('p');
  await r.sender(p).send(resize, [{ n: 1 }]);
  const bounds = jest.fn((topic: string) => p.log.bounds(topic)).mockRejectedValueOnce(unreachable());
  await r.take(p, resize, () => undefined, {}, { log: { ...p.log, bounds } });
  await r.clock.advance(2 * 600_000);
  expect(bounds).toHaveBeenCalledTimes(2); // once in each run
  expect(r.of('log')).toMatchObject([
    { level: 'warn', message: expect.stringContaining('could not be trimmed, so it grows: away') },
  ]);
  expect(r.of('state')).toEqual([]);
});

heavy.each([
  ['bounds that cannot be read are logged once for each topic', 'bounds', 1],
  ['a trim that keeps failing is logged once for each partition', 'trim', 12],
] as const)('%s, until it succeeds', async (_, call, count) => {
  const r = workQueue();
  const p = r.process('p');
  const submit = () =>
    r.sender(p).send(
      resize,
      Array.from({ length: 100 }, (_none, n) => ({ n })),
    );
  const refused = new BusError('NotAllowed', 'no right Delete', { what: 'trim' });
  let allowed = true;
  const log: Log = {
    ...p.log,
    bounds: (...of) => (allowed || call !== 'bounds' ? p.log.bounds(...of) : Promise.reject(refused)),
    trim: (...of) => (allowed || call !== 'trim' ? p.log.trim(...of) : Promise.reject(refused)),
  };
  await r.take(p, resize, () => undefined, {}, { log });
  await submit();
  allowed = false;
  await r.clock.advance(8 * 24 * 3_600_000);
  expect(r.of('log')).toHaveLength(count);
  expect(r.of('log')[0]?.fields).toEqual({ queue: 'photos.work', remedy: refused.remedy });
  allowed = true;
  await r.clock.advance(600_000);
  allowed = false;
  await submit();
  await r.clock.advance(8 * 24 * 3_600_000);
  expect(r.of('log')).toHaveLength(2 * count);
});

test('an empty partition that could not be read is reported as repaired when reads succeed', async () => {
  const r = workQueue();
  const p = r.process('p');
  let away = true;
  await r.take(p, resize, () => undefined, {}, { log: readless(p.log, () => away) });
  await r.clock.advance(20_000);
  expect(broken(r)).toHaveLength(12);
  away = false;
  await r.clock.advance(60_000);
  expect(broken(r)).toEqual([]);
});

test.each(['given', 'lost'] as const)(
  'an instance no longer reports the failure of a partition that is %s',
  async (how) => {
    const r = workQueue();
    const [p, q] = [r.process('p'), r.process('q')];
    await r.take(p, resize, () => undefined, {}, { log: readless(p.log, () => true) });
    await r.clock.advance(20_000);
    await r.take(q, resize, () => undefined);
    if (how === 'lost') p.freeze();
    await r.clock.advance(30_000);
    if (how === 'lost') p.thaw();
    await r.clock.advance(1_000);
    expect(broken(r)).toHaveLength(6); // the partitions that it owns
  },
);

test('a parking failure ends when a message is parked, and when its partition is lost', async () => {
  for (const how of ['parked', 'lost'] as const) {
    const r = workQueue();
    const [p, q] = [r.process('p'), r.process('q')];
    await r.sender(p).send(resize, [{ n: 1 }]);
    let away = true;
    r.world.faults = ({ call, topic }) =>
      away && call === 'append' && topic === parked.name ? { error: unreachable(), done: false } : undefined;
    await r.take(p, resize, (_job, { park }) => park('a reason'));
    await r.clock.advance(1_000);
    expect(broken(r)).toEqual(['queue photos.work']);
    if (how === 'parked') away = false;
    else {
      p.freeze();
      await r.take(q, jobs().resize, () => undefined);
      await r.clock.advance(30_000);
      p.thaw();
    }
    await r.clock.advance(10_000);
    expect(broken(r)).toEqual([]);
  }
});
