import { choose, dropChosen, readChosen, replayChosen } from '../../src/inspect/repair';
import { all, photos, inspectedBuses, type Job } from '../support/inspected-buses';
import { heavy } from '../heavy';

/** A system in which odd jobs are parked until `state.mended` is set. */
async function broken(count: number) {
  const r = inspectedBuses();
  const bus = await r.open('photos');
  const state = { mended: false, done: [] as number[] };
  const resize = ({ n }: Job, { park }: { readonly park: (reason: string) => never }): void => {
    if (!state.mended && n % 2 === 1) park(`ECONNREFUSED store-${n % 4}`);
    state.done.push(n);
  };
  await bus.serve(photos, { add: () => '', resize, rotate: () => {} }, { concurrency: 1 });
  const jobs = Array.from({ length: count }, (_, n) => ({ n, key: `k${n % 3}` }));
  const sent = await bus.submitAll(photos.resize, jobs);
  await r.clock.advance(5_000);
  state.done.length = 0;
  const look = await r.inspector();
  const goOn = { signal: new AbortController().signal };
  return { ...r, state, sent, bus, look, parts: look.parts, goOn };
}

heavy('replaying sends the same ids in the order of each key, and unparks them', async () => {
  const { soon, parts, state, look, goOn, clock } = await broken(500);
  const chosen = await soon(choose(parts, 'photos.work', {}));
  expect(chosen.messages).toHaveLength(250); // three batches
  expect(chosen.messages.every(({ replay }) => replay === 0)).toBe(true);
  state.mended = true;
  expect(await soon(replayChosen(parts, chosen, goOn))).toBe(250);
  await clock.advance(5_000);
  expect(await soon(all(look.parked()))).toEqual([]);
  expect(state.done.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 250 }, (_, n) => 2 * n + 1));
  for (const key of [0, 1, 2]) {
    const lane = state.done.filter((n) => n % 3 === key);
    expect(lane).toEqual(lane.toSorted((a, b) => a - b));
  }
  const first = await soon(look.show(chosen.messages[0]?.id ?? ''));
  expect(first.map(({ message }) => message.replay)).toEqual([0, 1]);
});

test('show reports a replay or drop with its instance and time', async () => {
  const { soon, parts, goOn, clock, sent, look, state } = await broken(4);
  const [, first, , second] = sent;
  state.mended = true;
  await soon(replayChosen(parts, await soon(choose(parts, 'photos.work', { ids: [first?.id ?? ''] })), goOn));
  await soon(dropChosen(parts, await soon(choose(parts, 'photos.work', { ids: [second?.id ?? ''] })), goOn));
  const atMs = clock.now();
  await clock.advance(5_000);
  const became = async (id = ''): Promise<unknown> =>
    (await soon(look.show(id))).map(({ message, places }) => [message.replay, places.map(({ repaired }) => repaired)]);
  const by = parts.bus.self.instance;
  expect(await became(first?.id)).toEqual([
    [0, [{ how: 'replayed', by, atMs }]],
    [1, [null]],
  ]);
  expect(await became(second?.id)).toEqual([[0, [{ how: 'dropped', by, atMs }]]]);
  expect(await became(sent[0]?.id)).toEqual([[0, [null]]]);
});

test('a replayed message that fails again is parked with its number of replays', async () => {
  const { soon, parts, goOn, clock } = await broken(2);
  await soon(replayChosen(parts, await soon(choose(parts, 'photos.work', {})), goOn));
  await clock.advance(5_000);
  expect((await soon(choose(parts, 'photos.work', {}))).messages).toMatchObject([{ replay: 1 }]);
});

test('messages are chosen by reason, key or the start of an id', async () => {
  const { soon, parts, sent } = await broken(40);
  const count = async (which: object): Promise<number> =>
    (await soon(choose(parts, 'photos.work', which))).messages.length;
  expect(await count({ reasonLike: 'econnrefused STORE-1' })).toBe(10);
  expect(await count({ reasonLike: 'store', key: 'k1' })).toBe(7);
  expect(await count({ ids: [sent[1]?.id] })).toBe(1);
  await expect(count({ ids: [sent[0]?.id] })).rejects.toThrow('no message whose id begins with');
  await expect(count({ ids: ['0'] })).rejects.toThrow('20 ids begin with it');
});

describe('a stub', () => {
  /** A job that is too large for the parked topic, and two others; all are parked. */
  async function stubbed() {
    const r = inspectedBuses({ recordBytesMax: (topic) => (topic === 't.photos.parked' ? 20_000 : 2_000_000) });
    const bus = await r.open('photos');
    const resize = (_job: Job, { park }: { readonly park: (reason: string) => never }): void => park('no such photo');
    await bus.serve(photos, { add: () => '', resize, rotate: () => {} });
    await bus.submitAll(photos.resize, [
      { n: 1, key: 'k' },
      { n: 2, key: 'k' },
    ]);
    const { log } = r.ports('web');
    const large = Buffer.from(JSON.stringify({ n: 3, key: 'k', pad: 'x'.repeat(50_000) }));
    const headers = { bus: '1 work photos.resize large web#1 -' };
    await log.append('t.photos.work', [{ partition: 0, key: null, value: large, headers }]);
    await r.clock.advance(5_000);
    const look = await r.inspector();
    return { ...r, look, log, large, goOn: { signal: new AbortController().signal } };
  }

  test('is shown with its size, first bytes and the reason for the stub', async () => {
    const { soon, look, large } = await stubbed();
    const parked = await soon(all(look.parked('photos.work')));
    expect(parked.filter(({ stub }) => stub === null)).toHaveLength(2);
    const stub = parked.find(({ id }) => id === 'large');
    expect(stub).toMatchObject({
      reason: 'no such photo',
      origin: 't.photos.work/0/0',
      bytes: large.length,
      body: { ok: false, reason: `only the first 1024 of ${large.length} bytes are parked` },
      stub: { bytes: large.length, refusal: expect.stringContaining('20000') },
    });
    expect(Buffer.from(stub?.stub?.first ?? []).toString()).toMatch(/^\{"n":3,"key":"k","pad":"x+$/);
    const [found] = await soon(look.show('large'));
    expect(found).toMatchObject({ message: { body: { ok: true } }, places: [{ state: 'parked', parked: stub }] });
  });

  test('is exported whole while its original is in the log, and as a stub afterwards', async () => {
    const { soon, look, log, large } = await stubbed();
    const chosen = await soon(choose(look.parts, 'photos.work', { ids: ['large'] }));
    const [whole] = await soon(all(readChosen(look.parts, chosen)));
    expect(whole?.record.value).toHaveLength(large.length);
    await log.trim('t.photos.work', 0, 1);
    const [rest] = await soon(all(readChosen(look.parts, chosen)));
    expect(rest?.record.value).toHaveLength(1_024);
    expect((await soon(look.show('large')))[0]).toMatchObject({ message: { topic: 't.photos.parked' } });
  });

  test('stays parked and is reported when its original was removed and all are replayed', async () => {
    const { soon, look, log, goOn } = await stubbed();
    await log.trim('t.photos.work', 0, 1);
    const chosen = await soon(choose(look.parts, 'photos.work', {}));
    const [done, failed]: [string[], string[]] = [[], []];
    const how = {
      ...goOn,
      done: (messages: readonly { readonly id: string }[]) => done.push(...messages.map(({ id }) => id)),
      failed: ({ id }: { readonly id: string }, error: unknown) => failed.push(`${id}: ${String(error)}`),
    };
    expect(await soon(replayChosen(look.parts, chosen, how))).toBe(2);
    expect(done).toHaveLength(2);
    expect(failed).toEqual([expect.stringMatching(/^large: OriginalGoneError: .* is no longer in the log/)]);
  });
});

heavy('stopping a replay leaves the remaining messages parked', async () => {
  const { soon, parts, state } = await broken(500);
  const chosen = await soon(choose(parts, 'photos.work', {}));
  expect(chosen.messages).toHaveLength(250);
  const stop = new AbortController();
  state.mended = true;
  const reported: number[] = [];
  const done = (messages: readonly unknown[]): void => {
    reported.push(messages.length);
    stop.abort();
  };
  expect(await soon(replayChosen(parts, chosen, { signal: stop.signal, done }))).toBe(100);
  expect(reported).toEqual([100]);
  expect((await soon(choose(parts, 'photos.work', {}))).messages).toHaveLength(150);
});

test('replaying skips messages that another operator dropped meanwhile', async () => {
  const { soon, parts, goOn, clock, state } = await broken(4);
  const mine = await soon(choose(parts, 'photos.work', {}));
  state.mended = true;
  for (const [id, left] of mine.messages.map((one, i) => [one.id, mine.messages.length - i - 1] as const)) {
    const theirs = await soon(choose(parts, 'photos.work', { ids: [id] }));
    expect(await soon(dropChosen(parts, theirs, goOn))).toBe(1);
    expect(await soon(all(readChosen(parts, mine)))).toHaveLength(left);
  }
  expect(await soon(replayChosen(parts, mine, goOn))).toBe(0);
  await clock.advance(5_000);
  expect(state.done).toEqual([]);
});

test('chosen messages can be read in full before they are dropped', async () => {
  const { soon, parts, goOn, look } = await broken(4);
  const chosen = await soon(choose(parts, 'photos.work', {}));
  const kept = await soon(all(readChosen(parts, chosen)));
  expect(kept.map(({ view }) => view.body)).toEqual(
    expect.arrayContaining([
      { ok: true, value: { n: 1, key: 'k1' } },
      { ok: true, value: { n: 3, key: 'k0' } },
    ]),
  );
  expect(kept.every(({ record }) => record.value !== null && record.headers['bus']?.includes('photos.resize'))).toBe(
    true,
  );
  expect(await soon(dropChosen(parts, chosen, goOn))).toBe(2);
  expect(await soon(all(look.parked()))).toEqual([]);
});

test('choosing parked events names the other listeners that would receive them again', async () => {
  const { open, inspector, soon, clock } = inspectedBuses();
  const search = await open('search');
  await search.listen(photos.added, { as: 'index', attempts: 1 }, () => Promise.reject(new Error('full')));
  await search.listen(photos.added, { as: 'log' }, () => {});
  await search.listen(photos.removed, { as: 'other' }, () => {});
  await (await open('photos')).publish(photos.added, { n: 1, key: 'a' });
  await clock.advance(5_000);
  const { parts } = await inspector();
  const chosen = await soon(choose(parts, 'search.index', {}));
  expect(chosen.messages).toHaveLength(1);
  expect(chosen.alsoIn).toEqual(['search.log']);
});
