import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { testBus } from 'busbar/testing';
import sharp from 'sharp';
import { thumbnails } from './contract';
import { SiteDir, Thumbnails } from './thumbnails';

let siteDir: string;
beforeEach(async () => {
  siteDir = await mkdtemp(join(tmpdir(), 'busbar-thumbnails-'));
  await mkdir(join(siteDir, 'photos'));
});
afterEach(() => rm(siteDir, { recursive: true, force: true }));

async function startThumbnails() {
  const bus = testBus(thumbnails);
  await bus.serve(thumbnails, new Thumbnails(new SiteDir(siteDir), bus));
  return bus;
}
const job = (name: string) => ({ photoId: name, file: `photos/${name}.png`, width: 32 });
const put = (name: string, bytes: Uint8Array) => writeFile(join(siteDir, 'photos', `${name}.png`), bytes);
const picture = () =>
  sharp({ create: { width: 64, height: 48, channels: 3, background: '#b3461b' } })
    .png()
    .toBuffer();

test('a thumbnail is written and published with the id of its job', async () => {
  const bus = await startThumbnails();
  await put('a', await picture());
  const { id } = await bus.as('photos').submit(thumbnails.resize, job('a'));
  await bus.settled();
  expect(bus.sent(thumbnails.done)).toMatchObject([
    {
      body: {
        photoId: 'a',
        jobId: id,
        attempt: 1,
        by: bus.self.instance,
        file: 'thumbnails/a.webp',
        width: 32,
        height: 24,
      },
    },
  ]);
  expect(await readdir(join(siteDir, 'thumbnails'))).toEqual(['a.webp']);
});

test('a broken image is parked immediately with its reason, and others are processed', async () => {
  const bus = await startThumbnails();
  const whole = await picture();
  await put('a', whole);
  await put('broken', whole.subarray(0, whole.length / 2));
  await put('c', whole);
  for (const name of ['a', 'broken', 'c']) await bus.as('photos').submit(thumbnails.resize, job(name));
  await bus.settled();
  const [parked, ...others] = bus.parked(thumbnails.resize);
  expect([parked?.body.photoId, parked?.attempts, others]).toEqual(['broken', 1, []]);
  expect(bus.sent(thumbnails.broken)).toMatchObject([{ body: { photoId: 'broken', reason: parked?.reason } }]);
  expect(
    bus
      .sent(thumbnails.done)
      .map(({ body }) => body.photoId)
      .toSorted(),
  ).toEqual(['a', 'c']);
});

test('a job whose original is missing is parked', async () => {
  const bus = await startThumbnails();
  await bus.as('photos').submit(thumbnails.resize, job('gone'));
  await bus.settled();
  expect(bus.parked(thumbnails.resize)).toMatchObject([{ reason: 'photos/gone.png is gone' }]);
});

test('a job whose thumbnail cannot be written is retried', async () => {
  const bus = await startThumbnails();
  await put('a', await picture());
  await writeFile(join(siteDir, 'thumbnails'), 'a file where a folder should be');
  await bus.as('photos').submit(thumbnails.resize, job('a'));
  await bus.settled();
  expect(bus.parked(thumbnails.resize)).toEqual([]);
  await rm(join(siteDir, 'thumbnails'));
  await bus.clock.advance(1_000); // the first wait is about 500 ms
  await bus.settled();
  expect(bus.sent(thumbnails.done)).toMatchObject([{ body: { photoId: 'a', attempt: 2 } }]);
});
