import { findPause, pause, resume } from '../../src/inspect/pause';
import { UnknownName } from '../../src/inspect/types';
import { inspectedBuses, photos } from '../support/inspected-buses';

async function scene() {
  const buses = inspectedBuses();
  const { clock, soon, ports } = buses;
  const handled: string[] = [];
  const bus = await buses.open('photos');
  await bus.serve(photos, {
    add: ({ name }) => {
      handled.push(name);
      return name;
    },
    resize: ({ key }) => void handled.push(key),
    rotate: ({ key }) => void handled.push(key),
  });
  await bus.listen(photos.added, { as: 'index' }, ({ key }) => void handled.push(key));
  const web = await buses.open('web');
  const look = await buses.inspector();
  const { settings } = ports('tool');
  const find = (name: string) => soon(findPause(look.parts, settings, name));
  const stop = async (name: string, forMs: number | null = null) => {
    await soon(pause(settings, await find(name), forMs === null ? null : clock.now() + forMs));
    await clock.advance(1_000);
  };
  const go = async (name: string) => {
    await soon(resume(settings, await find(name)));
    await clock.advance(1_000);
  };
  return { ...buses, handled, bus, web, look, settings, find, stop, go };
}

test('a pause of a queue stops all of its entries, and only these, until it is resumed', async () => {
  const { web, look, soon, clock, handled, stop, go } = await scene();
  await stop('photos.work');
  await web.submit(photos.resize, { n: 1, key: 'waits' });
  await web.submit(photos.rotate, { n: 1, key: 'other queue' });
  await clock.advance(5_000);
  expect(handled).toEqual(['other queue']);
  const { alarms, queues } = await soon(look.status());
  expect(queues.find(({ queue }) => queue === 'photos.work')).toMatchObject({
    state: 'paused',
    paused: ['photos.work'],
    pauses: [{ name: 'photos.work', untilMs: null }],
  });
  expect(alarms).toMatchObject([
    {
      severity: 'warning',
      about: 'photos.work',
      what: 'paused',
      message: 'a pause of photos.work stops its messages; 1 wait in the queue',
      next: 'busbar resume photos.work',
    },
  ]);
  expect((await soon(look.instances('photos')))[0]?.status?.health).toMatchObject({ live: true, ready: true });
  await go('photos.work');
  expect(handled).toEqual(['other queue', 'waits']);
  expect((await soon(look.status())).alarms).toEqual([]);
});

test('a pause with an end expires by itself, without a change of the settings', async () => {
  const { web, clock, handled, stop, look, soon } = await scene();
  await stop('photos.resize', 600_000);
  await web.submit(photos.resize, { n: 1, key: 'a' });
  await clock.advance(540_000);
  expect(handled).toEqual([]);
  const [alarm] = (await soon(look.status())).alarms.filter(({ what }) => what === 'paused');
  expect(alarm?.message).toBe('a pause of photos.resize stops its messages for 59 s more; 1 wait in the queue');
  await clock.advance(59_500);
  expect(handled).toEqual(['a']);
  expect((await soon(look.status())).alarms).toEqual([]);
  await web.submit(photos.resize, { n: 2, key: 'b' });
  await clock.advance(1_000);
  expect(handled).toEqual(['a', 'b']);
});

test('a listener and a request can be paused, and a later pause replaces an earlier one', async () => {
  const { bus, web, clock, handled, stop, go, settings, soon } = await scene();
  await stop('photos.index', 60_000);
  await bus.publish(photos.added, { n: 1, key: 'event' });
  await clock.advance(5_000);
  expect(handled).toEqual([]);
  await stop('photos.index');
  expect((await soon(settings.all())).map(({ key, value }) => [key, value])).toEqual([['photos.index.paused', 'true']]);
  await clock.advance(120_000);
  expect(handled).toEqual([]);
  await go('photos.index');
  expect(handled).toEqual(['event']);
  await stop('photos.add', 2_000);
  const asked = web.request(photos.add, { name: 'x' }, { timeoutMs: 30_000 });
  await clock.advance(500);
  expect(handled).toEqual(['event']);
  await clock.advance(3_000);
  expect(await soon(asked)).toBe('x');
});

test('a second pause at the same time is a conflict, and an unknown name has the nearest ones', async () => {
  const { find, settings, soon, stop } = await scene();
  const before = await find('photos.work');
  await stop('photos.work');
  await expect(soon(pause(settings, before, null))).rejects.toMatchObject({ code: 'Conflict' });
  await expect(find('photos.wrok')).rejects.toThrow(/the nearest .*photos\.work/);
  await expect(find('photos.added')).rejects.toThrow('it is an entry of the kind event, which cannot be paused');
  await expect(find('photos')).rejects.toBeInstanceOf(UnknownName);
});
