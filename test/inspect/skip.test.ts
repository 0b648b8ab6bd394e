import type { Handlers } from '../../src/delivery/handler';
import { readAudit, recordChange } from '../../src/inspect/audit';
import { readHistory } from '../../src/inspect/history';
import { replayChosen, choose } from '../../src/inspect/repair';
import { planSkip, skipMessages, type SkipSelection } from '../../src/inspect/skip';
import { NotWaiting } from '../../src/inspect/types';
import { all, inspectedBuses, photos } from '../support/inspected-buses';

const never = (): Promise<never> => new Promise(() => {});
const handlers = (more: Partial<Handlers<typeof photos>> = {}): Handlers<typeof photos> => ({
  add: ({ name }) => name,
  resize: () => {},
  rotate: () => {},
  ...more,
});
const { signal } = new AbortController();

async function scene(more: Partial<Handlers<typeof photos>> = {}, serves = true) {
  const buses = inspectedBuses();
  const { clock, soon } = buses;
  const bus = await buses.open('photos');
  if (serves) await bus.serve(photos, handlers(more));
  const web = await buses.open('web');
  const look = await buses.inspector();
  const submit = async (key: string, n = 0): Promise<string> => (await web.submit(photos.resize, { n, key })).id;
  async function skip(name: string, which: SkipSelection) {
    const { queue, filter } = await soon(look.resolve(name));
    const plan = await soon(planSkip(look.parts, queue, { ...which, ...filter }));
    const results = await soon(skipMessages(look.parts, plan, { signal, reason: 'skipped by me' }), 30_000);
    return { plan, states: results.map(({ state }) => state) };
  }
  const parked = async () => (await soon(all(look.parked('photos.work')))).map(({ id, reason }) => [id, reason]);
  return { ...buses, bus, web, look, submit, skip, parked, advance: (ms: number) => clock.advance(ms) };
}

describe('skip', () => {
  test('parks a message that runs and obeys its signal, and the next one of its key runs', async () => {
    const handled: number[] = [];
    const { submit, skip, parked, advance } = await scene({
      async resize({ n }, context) {
        const stopped = new Promise((_, reject) =>
          context.signal.addEventListener('abort', () => reject(context.signal.reason as Error)),
        );
        if (n === 0) await stopped;
        handled.push(n);
      },
    });
    const ids = [await submit('a'), await submit('a', 1)];
    await advance(1_000);
    const { plan, states } = await skip('photos.work', { ids: [ids[0] ?? ''] });
    expect(plan).toMatchObject({ behind: 1, messages: [{ id: ids[0], state: 'running', on: 'photos#1', key: 'a' }] });
    expect(states).toEqual(['parked']);
    expect(handled).toEqual([1]);
    expect(await parked()).toEqual([[ids[0], 'skipped by me']]);
  });

  test('parks a message in backoff at once, and messages in the middle of a lane', async () => {
    const handled: number[] = [];
    const { submit, skip, parked, advance } = await scene({
      resize({ n }) {
        if (n === 0) throw new Error('not yet');
        handled.push(n);
      },
    });
    const ids = [await submit('a'), await submit('a', 1), await submit('a', 2)];
    await advance(1_000);
    expect((await skip('photos.work', { ids: [ids[1] ?? ''] })).states).toEqual(['parked']);
    expect(handled).toEqual([]);
    expect((await skip('photos.work', { ids: [ids[0] ?? ''] })).states).toEqual(['parked']);
    expect(handled).toEqual([2]);
    expect((await parked()).map(([id]) => id)).toEqual([ids[1], ids[0]]);
  });

  test('reports a handler that does not obey its signal as running, and parks its message when it fails', async () => {
    const fails: (() => void)[] = [];
    const { submit, skip, parked, advance } = await scene({
      resize: () => new Promise<void>((_, reject) => fails.push(() => reject(new Error('late')))),
    });
    const id = await submit('a');
    await advance(1_000);
    expect((await skip('photos.work', { ids: [id] })).states).toEqual(['running']);
    expect(await parked()).toEqual([]);
    fails[0]?.();
    await advance(2_000);
    expect(await parked()).toEqual([[id, 'skipped by me']]);
    expect(fails).toHaveLength(1);
  });

  test('a message whose handler succeeds after the skip is handled, not parked', async () => {
    const ends: (() => void)[] = [];
    const { submit, skip, parked, advance, clock } = await scene({
      resize: () => new Promise<void>((resolve) => ends.push(resolve)),
    });
    const id = await submit('a');
    await advance(1_000);
    clock.after(2_000, () => ends[0]?.());
    expect((await skip('photos.work', { ids: [id] })).states).toEqual(['handled']);
    expect(await parked()).toEqual([]);
  });

  test('parks messages of a paused entry', async () => {
    const { submit, skip, advance, ports, parked } = await scene();
    await ports('tool').settings.set('photos.resize.paused', 'true', 0);
    await advance(2_000);
    const ids = [await submit('a'), await submit('b')];
    await advance(1_000);
    expect((await skip('photos.resize', {})).states).toEqual(['parked', 'parked']);
    expect(new Set((await parked()).map(([id]) => id))).toEqual(new Set(ids));
  });

  test('parks messages of a queue without an instance, and settles only these', async () => {
    const { submit, skip, parked, advance, open } = await scene({}, false);
    const ids = [await submit('a'), await submit('a', 1), await submit('b', 2)];
    const { plan, states } = await skip('photos.work', { ids: [ids[1] ?? ''] });
    expect(plan.messages).toMatchObject([{ on: null, state: 'waiting' }]);
    expect(states).toEqual(['parked']);
    expect(await parked()).toEqual([[ids[1], 'skipped by me']]);
    const handled: number[] = [];
    await (await open('photos')).serve(photos, handlers({ resize: ({ n }) => void handled.push(n) }));
    await advance(20_000);
    expect(handled.toSorted((a, b) => a - b)).toEqual([0, 2]);
  });

  test('parks events of a listener without an instance, and leaves the other events to it', async () => {
    const { bus, skip, advance, open, look, soon } = await scene();
    const search = await open('search');
    await (await search.listen(photos.added, { as: 'index' }, () => {})).close();
    await search.close();
    const sent = await bus.publishAll(
      photos.added,
      [0, 1, 2].map((n) => ({ n, key: `k${n}` })),
    );
    await bus.publish(photos.removed, { n: 9, key: 'x' });
    expect((await skip('search.index', { ids: [sent[1]?.id ?? ''] })).states).toEqual(['parked']);
    const heard: number[] = [];
    const again = await open('search');
    await again.listen(photos.added, { as: 'index' }, ({ n }) => void heard.push(n));
    await advance(20_000);
    expect(heard.toSorted((a, b) => a - b)).toEqual([0, 2]);
    const chosen = await soon(choose(look.parts, 'search.index', {}));
    await soon(replayChosen(look.parts, chosen, { signal }));
    await advance(2_000);
    expect(heard.toSorted((a, b) => a - b)).toEqual([0, 1, 2]);
  });

  test('parks messages whose entry no instance knows, and the queue is no longer unserved', async () => {
    const { submit, skip, advance, open, look, soon, bus } = await scene({}, false);
    await bus.close();
    const { defineModule, work, unchecked } = await import('../../src/contract/contract');
    const newer = defineModule('photos', { other: work(unchecked<{ n: number }>()) });
    await (await open('photos')).serve(newer, { other: () => {} });
    await submit('a');
    await submit('b');
    await advance(5_000);
    const [before] = await soon(look.queues(['photos.work']));
    expect(before?.unserved).toMatchObject([{ entry: 'photos.resize', waiting: 2 }]);
    expect((await skip('photos.work', { entry: 'photos.resize' })).states).toEqual(['parked', 'parked']);
    await advance(1_000);
    const [after] = await soon(look.queues(['photos.work']));
    expect(after).toMatchObject({ state: 'caught up', waiting: 0, parked: 2, unserved: [] });
  });

  test('rejects an id that does not wait or run', async () => {
    const { submit, skip, advance } = await scene();
    const id = await submit('a');
    await advance(2_000);
    await expect(skip('photos.work', { ids: [id] })).rejects.toBeInstanceOf(NotWaiting);
  });

  test('a replay after a skip handles the message', async () => {
    const handled: number[] = [];
    const { submit, skip, advance, look, soon, ports } = await scene({ resize: ({ n }) => void handled.push(n) });
    const { settings } = ports('tool');
    await settings.set('photos.resize.paused', 'true', 0);
    await advance(2_000);
    const id = await submit('a', 7);
    await advance(1_000);
    expect((await skip('photos.work', { ids: [id] })).states).toEqual(['parked']);
    await settings.set('photos.resize.paused', null, 1);
    const chosen = await soon(choose(look.parts, 'photos.work', {}));
    expect(await soon(replayChosen(look.parts, chosen, { signal }))).toBe(1);
    await advance(2_000);
    expect(handled).toEqual([7]);
  });
});

test('a replay with a rate takes the time of the rate, and stops between two batches', async () => {
  const { submit, advance, look, soon, clock } = await scene({ resize: (_job, { park }) => park('bad') });
  for (let n = 0; n < 12; n++) await submit(`k${n}`);
  await advance(1_000);
  const chosen = await soon(choose(look.parts, 'photos.work', {}));
  const beganMs = clock.now();
  const stop = new AbortController();
  const done = { count: 0 };
  const options = {
    signal: stop.signal,
    perSecond: 4,
    done: (some: readonly unknown[]) => {
      done.count += some.length;
      if (done.count === 8) stop.abort();
    },
  };
  expect(await soon(replayChosen(look.parts, chosen, options))).toBe(8);
  expect(clock.now() - beganMs).toBeGreaterThanOrEqual(1_750);
  expect(clock.now() - beganMs).toBeLessThan(3_000);
});

describe('audit', () => {
  test('records the operator of a change, and how it ended, in order', async () => {
    const { look, soon, clock } = await scene();
    const change = {
      verb: 'skip',
      about: 'photos.work',
      ids: ['1', '2'],
      reason: 'too big',
      user: 'ann',
      host: 'img-1',
    };
    expect(await soon(readAudit(look.parts))).toEqual([]);
    const end = await soon(recordChange(look.parts, change));
    await soon(recordChange(look.parts, { ...change, verb: 'drop', ids: undefined as never, reason: null }));
    await clock.advance(1_000);
    await soon(end({ ok: true, count: 2, error: null }));
    expect(await soon(readAudit(look.parts))).toMatchObject([
      { ...change, by: look.parts.bus.self.instance, end: { ok: true, count: 2, error: null } },
      { verb: 'drop', reason: null, end: null },
    ]);
    expect(await look.parts.log.bounds('t.audit')).toHaveLength(1);
  });

  test('a change that cannot be recorded rejects before it is made', async () => {
    const { look, soon } = await scene();
    const log = { ...look.parts.log, append: () => Promise.reject(new Error('no right to write')) };
    const change = { verb: 'skip', about: 'photos.work', reason: null, user: 'ann', host: 'img-1' };
    await expect(soon(recordChange({ ...look.parts, log }, change))).rejects.toThrow(
      'nothing was changed, because the change cannot be recorded in t.audit: no right to write',
    );
  });
});

test('history lists everything that the log has of a queue, with the state of each message', async () => {
  const { submit, advance, look, soon, web } = await scene({
    resize: ({ n }, { park }) => (n === 1 ? park('bad') : n === 2 ? never() : undefined),
  });
  const ids = [await submit('a'), await submit('b', 1), await submit('c', 2), await submit('c', 3)];
  await web.submit(photos.rotate, { n: 9, key: 'x' });
  await advance(2_000);
  const { queue } = await soon(look.resolve('photos.work'));
  const found = await soon(all(readHistory(look.parts, queue, {})));
  expect(found.map(({ id, state, reason }) => [id, state, reason])).toEqual([
    [ids[0], 'settled', null],
    [ids[1], 'parked', 'bad'],
    [ids[2], 'running', null],
    [ids[3], 'waiting', null],
  ]);
  expect((await soon(all(readHistory(look.parts, queue, { key: 'c' })))).map(({ id }) => id)).toEqual([ids[2], ids[3]]);
});
