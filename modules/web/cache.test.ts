import { Cache, keptMs } from './cache';

const counting = () => {
  let asked = 0;
  return { ask: async () => ++asked, asked: () => asked };
};

test('an answer is requested once and cached', async () => {
  const cache = new Cache();
  const { ask } = counting();
  expect([await cache.get('a', ask), await cache.get('a', ask), await cache.get('b', ask)]).toEqual([1, 1, 2]);
  expect(cache.stats).toEqual({ cached: 2, hits: 1, misses: 2, drops: 0 });
});

test('an answer pending while the cache was dropped is not cached', async () => {
  const cache = new Cache();
  let answer = (_value: string): void => undefined;
  const slow = cache.get('list', () => new Promise<string>((resolve) => (answer = resolve)));
  cache.drop();
  const fresh = cache.get('list', async () => 'fresh');
  answer('stale');
  expect(await slow).toBe('stale'); // the caller from before the drop
  expect(await fresh).toBe('fresh');
  expect(await cache.get('list', async () => 'again')).toBe('fresh');
});

test('an error rejects all waiting callers, and is not cached', async () => {
  const cache = new Cache();
  const failing = () => Promise.reject(new Error('away'));
  const both = await Promise.allSettled([cache.get('a', failing), cache.get('a', failing)]);
  expect(both.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  expect(await cache.get('a', async () => 'back')).toBe('back');
});

test('an answer expires by age, in case a drop was lost', async () => {
  let nowMs = 0;
  const cache = new Cache(() => nowMs);
  const { ask } = counting();
  await cache.get('a', ask);
  nowMs = keptMs;
  expect(await cache.get('a', ask)).toBe(2);
});

test('the oldest answers are evicted beyond 500', async () => {
  const cache = new Cache();
  for (let index = 0; index < 600; index++) await cache.get(`${index}`, async () => index);
  expect(cache.stats.cached).toBe(500);
});
