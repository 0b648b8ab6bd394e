/** Events that a named listener has not received: their retention, and the reports about them. */
import { limits } from '../../src/base/limits';
import type { Bus } from '../../src/bus/types';
import { photos, inspectedBuses, type Job } from '../support/inspected-buses';

/** The value in inspectedBuses(). */
const keepMs = 86_400_000;
const job = (n: number): Job => ({ n, key: `k${n % 3}` });

async function listenOnce(bus: Bus, received: number[] = []): Promise<number[]> {
  await bus.listen(photos.added, { as: 'index' }, ({ n }) => void received.push(n));
  return received;
}

/** A listener that received one event and left, and a publisher of later events. */
async function openScene(options: Parameters<typeof inspectedBuses>[0] = {}) {
  const r = inspectedBuses(options);
  const [publisher, listener] = [await r.open('photos'), await r.open('search')];
  const received = await r.soon(listenOnce(listener));
  await r.soon(publisher.publish(photos.added, job(0)));
  await r.clock.advance(5_000);
  await r.soon(listener.close());
  for (const n of [1, 2, 3]) await r.soon(publisher.publish(photos.added, job(n)));
  return { ...r, publisher, received };
}

test('events wait for an absent named listener beyond keepMs', async () => {
  const { open, clock, soon, received } = await openScene();
  await clock.advance(3 * keepMs);
  const back = await open('search');
  const later = await soon(listenOnce(back));
  await clock.advance(5_000);
  expect([received, later.toSorted((a, b) => a - b)]).toEqual([[0], [1, 2, 3]]);
});

test('events that every named listener has received are deleted after keepMs', async () => {
  const { open, clock, soon, ports } = await openScene();
  await soon(listenOnce(await open('search')));
  await clock.advance(5_000);
  const { log } = ports('look');
  const there = async (): Promise<number> => {
    const bounds = await soon(log.bounds('t.photos.events'));
    return bounds.reduce((sum, { start, end }) => sum + end - start, 0);
  };
  expect(await there()).toBe(4);
  await clock.advance(keepMs);
  expect(await there()).toBe(0);
});

test("a publisher's health reports events held beyond keepMs until the listener returns", async () => {
  const { open, clock, soon, publisher } = await openScene();
  await clock.advance(0.9 * keepMs);
  expect(publisher.health().reasons).toEqual([]);
  await clock.advance(0.2 * keepMs);
  const { ready, reasons } = publisher.health();
  expect([ready, reasons]).toEqual([
    true,
    [expect.objectContaining({ part: 'events of t.photos.events', reason: expect.stringContaining('search.index') })],
  ]);
  expect(reasons[0]?.reason).toContain('busbar forget search.index');
  await soon(listenOnce(await open('search')));
  await clock.advance(keepMs / 20);
  expect(publisher.health().reasons).toEqual([]);
});

test('an instance stops reporting the events of its closed listener', async () => {
  const { open, clock, soon } = inspectedBuses();
  const [publisher, listener] = [await open('photos'), await open('search')];
  const served = await soon(listener.listen(photos.added, { as: 'index' }, () => undefined));
  await soon(served.close());
  await soon(publisher.publish(photos.added, job(1)));
  await clock.advance(1.1 * keepMs);
  expect(publisher.health().reasons).toMatchObject([{ part: 'events of t.photos.events' }]);
  expect(listener.health().reasons).toEqual([]);
});

test('busbar status warns of events held beyond keepMs, with count and remedy', async () => {
  const { clock, soon, inspector } = await openScene();
  await clock.advance(1.1 * keepMs);
  const { alarms } = await soon((await inspector()).status());
  expect(alarms).toMatchObject([
    { what: 'no instance', severity: 'critical', about: 'search.index' },
    {
      what: 'held',
      severity: 'warning',
      about: 'search.index',
      message: expect.stringMatching(/3 events wait, .* up to 1 GiB/),
      next: 'busbar forget search.index',
    },
  ]);
});

test('busbar status is critical when held events approach the byte limit', async () => {
  const { clock, soon, inspector, ports } = await openScene();
  await clock.advance(1.1 * keepMs);
  const { log } = ports('look');
  const seen = async (eventBytes: number): Promise<string | undefined> => {
    const value = { length: eventBytes } as Uint8Array; // only its size is read
    const peek: typeof log.peek = async (...where) => (await log.peek(...where)).map((one) => ({ ...one, value }));
    const { alarms } = await soon((await inspector({ log: { ...log, peek } })).status());
    return alarms.find(({ what }) => what === 'held')?.severity;
  };
  expect(await seen(limits.heldEventBytesMax * 0.2)).toBe('warning');
  expect(await seen(limits.heldEventBytesMax * 0.26)).toBe('critical');
});

describe('on a log that deletes unread events, like Kafka', () => {
  test('busbar status is critical from half of the retention on', async () => {
    const { clock, soon, inspector, ports } = await openScene();
    const look = await inspector({ log: { ...ports('look').log, holdsUnread: false } });
    await clock.advance(0.4 * keepMs);
    expect((await soon(look.status())).alarms).toMatchObject([{ what: 'no instance' }]);
    await clock.advance(0.2 * keepMs);
    expect((await soon(look.status())).alarms).toMatchObject([
      {
        what: 'expiring',
        severity: 'critical',
        about: 'search.index',
        message: expect.stringContaining('deletes them'),
        next: 'busbar instances search',
      },
      { what: 'no instance' },
    ]);
  });

  test('a publisher reports it in health before events are deleted', async () => {
    const { clock, publisher } = await openScene({ holdsUnread: false });
    await clock.advance(0.4 * keepMs);
    expect(publisher.health().reasons).toEqual([]);
    await clock.advance(0.2 * keepMs);
    expect(publisher.health().reasons).toMatchObject([
      { part: 'events of t.photos.events', reason: expect.stringContaining('retention.ms') },
    ]);
  });
});

test('a forgotten named listener holds no events', async () => {
  const { clock, soon, publisher, ports, received, open } = await openScene();
  await clock.advance(2 * keepMs);
  const { log } = ports('look');
  await soon(log.dropGroup('t.search.index.photos.added', 't.photos.events'));
  expect(await soon(log.groups())).toEqual([]);
  await clock.advance(keepMs / 10);
  expect(publisher.health().reasons).toEqual([]);
  const bounds = await soon(log.bounds('t.photos.events'));
  expect(bounds.every(({ start, end }) => start === end)).toBe(true);
  const later = await soon(listenOnce(await open('search')));
  await clock.advance(5_000);
  expect([received, later]).toEqual([[0], []]);
});

test('a group with members cannot be dropped', async () => {
  const { soon, ports, open } = await openScene();
  await soon(listenOnce(await open('search')));
  const { log } = ports('look');
  const error = await soon(
    log.dropGroup('t.search.index.photos.added', 't.photos.events').then(
      () => undefined,
      (reason: unknown) => reason,
    ),
  );
  expect(error).toMatchObject({ code: 'Conflict' });
  expect(limits.heldEventBytesMax).toBe(1024 ** 3);
});
