import { all, inspectedBuses, photos, type Job } from '../support/inspected-buses';

const never = (): Promise<void> => new Promise(() => {});
const jobs = (count: number, key: (n: number) => string): Job[] =>
  Array.from({ length: count }, (_, n) => ({ n, key: key(n) }));
const counts = (kinds: readonly { kind: string; waiting: number; running: number }[]) =>
  kinds.map(({ kind, waiting, running }) => [kind, waiting, running]);

/** A queue with 500 jobs of two senders, of which two run. */
async function filled() {
  const buses = inspectedBuses();
  const [web, shop] = [await buses.open('web'), await buses.open('shop')];
  await web.submitAll(
    photos.resize,
    jobs(400, (n) => (n % 4 === 0 ? 'a' : 'b')),
  );
  await buses.clock.advance(1_000);
  await shop.submitAll(
    photos.resize,
    jobs(100, () => 'c'),
  );
  const bus = await buses.open('photos');
  await bus.serve(photos, { add: () => '', resize: never, rotate: () => {} }, { concurrency: 2 });
  await buses.clock.advance(2_000);
  return { ...buses, look: await buses.inspector() };
}

test('counts waiting and running messages by key, sender, entry and instance exactly', async () => {
  const { look, soon } = await filled();
  const byKey = await soon(look.queueBy('photos.work', 'key'));
  expect(byKey).toMatchObject({ queue: 'photos.work', others: 0, exact: true });
  const sum = (of: 'waiting' | 'running'): number => byKey.kinds.reduce((total, one) => total + one[of], 0);
  expect([sum('waiting'), sum('running')]).toEqual([498, 2]);
  const size = (name: string): number => {
    const kind = byKey.kinds.find((one) => one.kind === name);
    return (kind?.waiting ?? 0) + (kind?.running ?? 0);
  };
  expect([size('a'), size('b'), size('c')]).toEqual([100, 300, 100]);
  const bySender = (await soon(look.queueBy('photos.work', 'sender'))).kinds;
  expect(bySender.map(({ kind, oldestMs }) => [kind, oldestMs])).toEqual([
    ['web#1', 3_000],
    ['shop#1', 2_000],
  ]);
  expect(counts((await soon(look.queueBy('photos.resize', 'entry'))).kinds)).toEqual([['photos.resize', 498, 2]]);
  expect(counts((await soon(look.queueBy('photos.work', 'instance'))).kinds)).toEqual([['photos#1', 498, 2]]);
});

test('counts by partition as many messages as the queue has', async () => {
  const { look, soon } = await filled();
  const { kinds } = await soon(look.queueBy('photos.work', 'partition'));
  const [queue] = await soon(look.queues(['photos.work']));
  expect(kinds.every(({ kind }) => /^t\.photos\.work\/\d+$/.test(kind))).toBe(true);
  expect(kinds.reduce((total, { waiting }) => total + waiting, 0)).toBe(queue?.waiting);
});

test('reports its progress, and returns what was counted when it is ended early', async () => {
  const { look, soon } = await filled();
  const end = new AbortController();
  const seen: number[] = [];
  const progress = (read: number, of: number): void => {
    seen.push(read / of);
    end.abort();
  };
  const { exact } = await soon(look.queueBy('photos.work', 'key', { signal: end.signal, progress }));
  expect(exact).toBe(false);
  expect(seen[0]).toBeGreaterThan(0);
  await expect(soon(look.queueBy('photos.wrok', 'key'))).rejects.toMatchObject({ name: 'UnknownName' });
});

test('peek returns the newest messages first, and those of a filter', async () => {
  const { look, soon } = await filled();
  const oldestFirst = await soon(all(look.peek('photos.work')));
  const newest = await soon(all(look.peek('photos.work', { newest: true })));
  expect(newest).toHaveLength(500);
  expect(newest.map(({ id }) => id).toSorted()).toEqual(oldestFirst.map(({ id }) => id).toSorted());
  const times = newest.map(({ timeMs }) => timeMs);
  expect(times).toEqual(times.toSorted((one, other) => other - one));
  expect(newest.slice(0, 100).every(({ key }) => key === 'c')).toBe(true);
  const [last] = await soon(all(look.peek('photos.work', { newest: true, key: 'a' }), 1));
  expect(last).toMatchObject({ key: 'a', body: { value: { n: 396 } } });
});
