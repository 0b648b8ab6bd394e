import { UnknownName } from '../../src/inspect/types';
import { inspectedBuses, photos } from '../support/inspected-buses';

const never = (): Promise<never> => new Promise(() => {});

/** A module that handles jobs and one request at a time, and a caller. Nothing ends. */
async function scene() {
  const buses = inspectedBuses();
  const bus = await buses.open('photos');
  await bus.serve(
    photos,
    {
      add: (_input, { progress }) => {
        progress('storing');
        return never();
      },
      resize: (_job, { progress }) => {
        progress('at 50 %');
        return never();
      },
      rotate: () => {},
    },
    { concurrency: { add: 1 } },
  );
  const web = await buses.open('web');
  await web.submit(photos.resize, { n: 1, key: 'a' });
  await buses.clock.advance(1_000);
  const first = web.request(photos.add, { name: 'x' }, { timeoutMs: 60_000 });
  await buses.clock.advance(2_000);
  const second = web.request(photos.add, { name: 'y' }, { timeoutMs: 60_000 });
  for (const one of [first, second]) one.catch(() => undefined);
  await buses.clock.advance(1_000);
  return { ...buses, bus, web, look: await buses.inspector() };
}

describe('running', () => {
  test('lists handlers of jobs and requests, longest first, with attempt, sender and note', async () => {
    const { look, soon } = await scene();
    const { items, left, silent } = await soon(look.running());
    expect(items).toMatchObject([
      {
        entry: 'photos.resize',
        queue: 'photos.work',
        key: 'a',
        on: 'photos#1',
        from: 'web#1',
        attempt: 1,
        attemptsMax: 2,
        leftMs: null,
        note: 'at 50 %',
      },
      { entry: 'photos.add', queue: null, on: 'photos#1', from: 'web#1', attempt: 1, note: 'storing' },
    ]);
    expect(items[0]?.forMs).toBeGreaterThanOrEqual(4_000);
    expect(items[1]?.leftMs).toBeGreaterThan(50_000);
    expect({ left, silent }).toEqual({ left: 0, silent: [] });
  });

  test('selects by duration, queue, entry, module and instance', async () => {
    const { look, soon } = await scene();
    const entries = async (...args: Parameters<typeof look.running>) =>
      (await soon(look.running(...args))).items.map(({ entry }) => entry);
    expect(await entries(undefined, { olderMs: 3_500 })).toEqual(['photos.resize']);
    expect(await entries('photos.work')).toEqual(['photos.resize']);
    expect(await entries('photos.add')).toEqual(['photos.add']);
    expect(await entries('photos')).toHaveLength(2);
    expect(await entries('photos#1')).toHaveLength(2);
    expect(await entries('photos.slow')).toEqual([]);
    expect(await entries('photos.rotate')).toEqual([]);
    expect(await entries('web')).toEqual([]);
  });

  test('rejects an unknown name with the nearest ones', async () => {
    const { look, soon } = await scene();
    await expect(soon(look.running('photos.resise'))).rejects.toThrow(/the nearest .*photos\.resize/);
    await expect(soon(look.running('fotos'))).rejects.toBeInstanceOf(UnknownName);
  });

  test('names an instance that does not answer', async () => {
    const { look, soon, open } = await scene();
    const dead = await open('dead');
    dead.crash();
    const { items, silent } = await soon(look.running(), 20_000);
    expect(items).toHaveLength(2);
    expect(silent.map(({ instance }) => instance)).toEqual(['dead#1']);
  });

  test('bounds the lists of an instance, and counts what is left out', async () => {
    const { open, inspector, soon, clock } = inspectedBuses();
    const bus = await open('photos');
    await bus.serve(photos, { add: () => never(), resize: () => never(), rotate: () => {} }, { concurrency: 1_000 });
    await bus.submitAll(
      photos.resize,
      Array.from({ length: 500 }, (_, n) => ({ n, key: `${n}`.padEnd(400, 'x') })),
    );
    await clock.advance(1_000);
    const { items, left } = await soon((await inspector()).running());
    expect([items.length, left]).toEqual([400, 100]);
    expect(items[0]?.key).toHaveLength(201);
  });
});

describe('pending', () => {
  test('lists each request with its caller, its responder, and the request that it waits behind', async () => {
    const { look, soon } = await scene();
    const { items } = await soon(look.pending());
    expect(items).toMatchObject([
      { entry: 'photos.add', from: 'web#1', to: 'photos#1', state: 'running', note: 'storing', behind: null },
      { entry: 'photos.add', from: 'web#1', to: 'photos#1', state: 'waiting', behind: items[0]?.id, concurrency: 1 },
    ]);
    expect(items[0]?.runsForMs).toBeGreaterThanOrEqual(3_000);
    expect(items[1]?.leftMs).toBeGreaterThan(50_000);
    expect((await soon(look.pending('photos', { olderMs: 2_500 }))).items).toHaveLength(1);
    expect((await soon(look.pending('web'))).items).toHaveLength(2);
    expect((await soon(look.pending('photos.resize'))).items).toEqual([]);
  });

  test('shows a request that waits for an instance of its module', async () => {
    const { open, inspector, soon, clock } = inspectedBuses();
    const bus = await open('photos');
    const waits = bus.request(photos.add, { name: 'x' }, { waitForInstanceMs: 30_000, timeoutMs: 60_000 });
    waits.catch(() => undefined);
    await clock.advance(1_000);
    const { items } = await soon((await inspector()).pending());
    expect(items).toMatchObject([
      { entry: 'photos.add', from: 'photos#1', to: null, state: 'no instance', cause: null },
    ]);
  });
});
