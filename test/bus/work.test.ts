import { z } from 'zod';
import { defineModule, event, work } from '../../src/index';
import { testBus } from '../../src/testing';

const photos = defineModule('photos', {
  resize: work(z.object({ photoId: z.string(), width: z.number() }), {
    key: (job) => job.photoId,
    attempts: 3,
    backoffMs: 1_000,
  }),
  clean: work(z.object({ n: z.number() }), { attempts: 2, retry: 'aside' }),
  urgent: work(z.object({ n: z.number() }), { queue: 'fast' }),
  added: event(z.object({ photoId: z.string() }), { key: (photo) => photo.photoId }),
});
const nothing = { resize: () => {}, clean: () => {}, urgent: () => {} };

test('work waits for an instance that serves it, and is handled once', async () => {
  const bus = testBus('web');
  const { id, reached } = await bus.submit(photos.resize, { photoId: 'a', width: 200 });
  expect(reached).toBe('disk');
  const handled: unknown[] = [];
  await bus.as(photos).serve(photos, {
    ...nothing,
    resize: (job, context) => void handled.push([job, context.id, context.attempt, context.from.module]),
  });
  await bus.settled();
  expect(handled).toEqual([[{ photoId: 'a', width: 200 }, id, 1, 'web']]);
});

test('flush resolves with the places of the last messages, until the bus is closed', async () => {
  const bus = testBus('web');
  expect(await bus.flush()).toEqual([]);
  const sends = [
    bus.submit(photos.resize, { photoId: 'a', width: 200 }),
    bus.submit(photos.resize, { photoId: 'a', width: 300 }),
    bus.submit(photos.urgent, { n: 1 }),
    bus.publish(photos.added, { photoId: 'a' }),
  ];
  const places = await bus.flush();
  const [, resized, urgent, added] = await Promise.all(sends);
  expect(places).toEqual([added?.place, resized?.place, urgent?.place]);
  expect(resized?.place).toMatchObject({ topic: 'test.photos.work', offset: 1 });
  await bus.close();
  await expect(bus.flush()).rejects.toMatchObject({ code: 'Closed' });
});

test('jobs of one key are handled in the order sent, although many run concurrently', async () => {
  const bus = testBus(photos);
  const handled = new Map<string, number[]>();
  await bus.serve(
    photos,
    {
      ...nothing,
      async resize({ photoId, width }) {
        await new Promise((resolve) => setImmediate(resolve));
        handled.set(photoId, [...(handled.get(photoId) ?? []), width]);
      },
    },
    { concurrency: { resize: 16 } },
  );
  for (let width = 0; width < 20; width++) {
    await bus.submitAll(
      photos.resize,
      ['a', 'b', 'c'].map((photoId) => ({ photoId, width })),
    );
  }
  await bus.settled();
  for (const widths of handled.values()) expect(widths).toEqual(Array.from({ length: 20 }, (_, n) => n));
});

test('a failed job is retried after its backoff, and parked with all attempts', async () => {
  const bus = testBus(photos);
  const attempts: number[] = [];
  await bus.serve(photos, {
    ...nothing,
    resize(_job, { attempt }) {
      attempts.push(attempt);
      throw new Error('no disk');
    },
  });
  await bus.submit(photos.resize, { photoId: 'a', width: 1 });
  await bus.settled();
  expect(attempts).toEqual([1]);
  await bus.clock.advance(10_000);
  await bus.settled();
  expect(attempts).toEqual([1, 2, 3]);
  expect(bus.parked(photos.resize)).toMatchObject([
    { body: { photoId: 'a', width: 1 }, attempts: 3, reason: expect.stringContaining('no disk') as string },
  ]);
});

test('park parks a job immediately, and the next job of its key runs', async () => {
  const bus = testBus(photos);
  const done: number[] = [];
  await bus.serve(photos, {
    ...nothing,
    resize({ width }, { park }) {
      if (width === 0) park('nothing to draw');
      done.push(width);
    },
  });
  await bus.submit(photos.resize, { photoId: 'a', width: 0 });
  await bus.submit(photos.resize, { photoId: 'a', width: 1 });
  await bus.settled();
  expect(done).toEqual([1]);
  expect(bus.parked(photos.resize)).toMatchObject([{ attempts: 1, reason: 'nothing to draw' }]);
});

test('an entry with its own queue is not blocked by other entries', async () => {
  const bus = testBus(photos);
  const done: number[] = [];
  await bus.serve(
    photos,
    { ...nothing, clean: () => new Promise(() => {}), urgent: ({ n }) => void done.push(n) },
    { concurrency: 1 },
  );
  for (let n = 0; n < 10; n++) await bus.submit(photos.clean, { n });
  await bus.submit(photos.urgent, { n: 1 });
  await bus.clock.advance(0);
  expect(done).toEqual([1]);
});

test('each event is handled by one instance of each name from the first listen on', async () => {
  const bus = testBus(photos);
  const heard = { index: [] as string[], mail: [] as string[] };
  for (const as of ['index', 'index', 'mail'] as const) {
    await bus.as('search').listen(photos.added, { as }, ({ photoId }) => void heard[as].push(photoId));
  }
  const ids = Array.from({ length: 30 }, (_, n) => `p${n}`);
  for (const photoId of ids) await bus.publish(photos.added, { photoId });
  await bus.settled();
  expect(heard.index.toSorted()).toEqual(ids.toSorted());
  expect(heard.mail.toSorted()).toEqual(ids.toSorted());
});

test('messages sent inside a handler carry their cause', async () => {
  const bus = testBus(photos);
  await bus.serve(photos, {
    ...nothing,
    resize: async ({ photoId }) => void (await bus.publish(photos.added, { photoId })),
  });
  await bus.as('web').submit(photos.resize, { photoId: 'a', width: 1 });
  await bus.settled();
  expect(bus.sent(photos.added)).toMatchObject([{ body: { photoId: 'a' }, from: { module: 'photos' } }]);
});

test('an instance whose handler hangs aborts it after drainMs, and another runs the job', async () => {
  const bus = testBus('web');
  const first = bus.as(photos);
  let aborted = false;
  await first.serve(photos, {
    ...nothing,
    clean: (_job, { signal }) => new Promise<void>(() => signal.addEventListener('abort', () => void (aborted = true))),
  });
  await bus.submit(photos.clean, { n: 1 });
  await bus.clock.advance(0);
  let closed = false;
  void first.close().then(() => (closed = true));
  const attempts: number[] = [];
  await bus.as(photos).serve(photos, { ...nothing, clean: (_job, { attempt }) => void attempts.push(attempt) });
  await bus.clock.advance(9_900);
  expect([closed, aborted, attempts]).toEqual([false, false, []]);
  await bus.clock.advance(1_000);
  await bus.settled();
  expect([closed, aborted, attempts]).toEqual([true, true, [2]]);
});

test('a closing instance finishes its running job, and another handles the rest', async () => {
  const bus = testBus('web');
  const first = bus.as(photos);
  const done: string[] = [];
  let finish = (): void => {};
  await first.serve(
    photos,
    {
      ...nothing,
      clean: () =>
        new Promise<void>(
          (resolve) =>
            (finish = () => {
              done.push('first');
              resolve();
            }),
        ),
    },
    { concurrency: 1 },
  );
  for (let n = 0; n < 3; n++) await bus.submit(photos.clean, { n });
  await bus.clock.advance(0);
  const closing = first.close();
  await bus.as(photos).serve(photos, { ...nothing, clean: () => void done.push('second') });
  await bus.clock.advance(100);
  finish();
  await bus.clock.advance(1_000);
  await closing;
  await bus.settled();
  expect(done.toSorted()).toEqual(['first', 'second', 'second']);
});

test('input that breaks the schema is Invalid at the sender and not queued', async () => {
  const bus = testBus(photos);
  await expect(bus.submit(photos.resize, { photoId: 1, width: 1 } as never)).rejects.toMatchObject({ code: 'Invalid' });
  expect(bus.sent(photos.resize)).toEqual([]);
});

test('a list is acknowledged with one id for each message', async () => {
  const bus = testBus(photos);
  const answers = await bus.submitAll(photos.clean, [{ n: 1 }, { n: 2 }]);
  expect(new Set(answers.map(({ id }) => id)).size).toBe(2);
});

test('a listener that is joining when its bus closes is closed with it', async () => {
  const bus = testBus(photos);
  const search = bus.as('search');
  const listening = search.listen(photos.added, { as: 'index' }, () => {});
  await search.close();
  await listening;
  const heard: string[] = [];
  await bus.as('search').listen(photos.added, { as: 'index' }, ({ photoId }) => void heard.push(photoId));
  for (let n = 0; n < 30; n++) await bus.publish(photos.added, { photoId: `p${n}` });
  await bus.settled();
  expect(heard).toHaveLength(30); // no partition stays with the closed bus
});

test('a message over messageBytesMax is TooLarge', async () => {
  const bus = testBus(photos);
  const job = { photoId: 'x'.repeat(1_000_100), width: 1 };
  await expect(bus.submit(photos.resize, job)).rejects.toMatchObject({ code: 'TooLarge' });
});
