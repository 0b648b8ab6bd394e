import { gates, jobs, workQueue, topic, type Job } from '../../support/work-queue';
import { heavy } from '../../heavy';

const { resize } = jobs();

async function started(count: number, keys: number) {
  const r = workQueue();
  const p = r.process('a');
  const sent = r.sender(p);
  await sent.send(
    resize,
    Array.from({ length: count }, (_, n) => ({ n, key: `k${n % keys}` })),
  );
  return { r, p, sent };
}

test('the queue handles each message once and commits all of them', async () => {
  const { r, p } = await started(100, 100);
  const seen: number[] = [];
  const queue = await r.take(p, resize, (job) => void seen.push(job.n));
  await r.clock.advance(1000);
  expect(seen.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 100 }, (_, n) => n));
  expect(await r.progress(p)).toEqual({ committed: 100, end: 100 });
  expect(queue.stats()).toMatchObject({ handled: 100, failed: 0, parked: 0, waiting: 0, inBackoff: 0, running: [] });
  await queue.close();
});

heavy('the order of each key holds while more keys than partitions run concurrently', async () => {
  const { r, p } = await started(400, 40);
  const seen = new Map<string, number[]>();
  const busy = new Set<string>();
  let most = 0;
  await r.take(p, resize, async ({ n, key = '' }: Job) => {
    expect(busy.has(key)).toBe(false); // one message of a key at a time
    busy.add(key);
    most = Math.max(most, busy.size);
    await new Promise<void>((resolve) => void r.clock.after((n * 7) % 13, resolve));
    busy.delete(key);
    seen.set(key, [...(seen.get(key) ?? []), n]);
  });
  await r.clock.advance(10_000);
  expect(most).toBe(40);
  expect(most).toBeGreaterThan(topic.partitions);
  for (const order of seen.values()) expect(order).toEqual(order.toSorted((a, b) => a - b));
  expect([...seen.values()].flat()).toHaveLength(400);
});

test('a slow lane does not delay other lanes, not even of its partition', async () => {
  const { r, p } = await started(300, 30);
  const { wait, open } = gates();
  const seen: number[] = [];
  const queue = await r.take(p, resize, async ({ n, key }) => {
    if (key === 'k7') await wait('slow');
    seen.push(n);
  });
  await r.clock.advance(1000);
  expect(seen).toHaveLength(290);
  expect(queue.stats().running).toMatchObject([{ key: 'k7', attempt: 1, entry: 'photos.resize' }]);
  open('slow');
  await r.clock.advance(1000);
  expect(seen).toHaveLength(300);
  expect(await r.progress(p)).toEqual({ committed: 300, end: 300 });
});
