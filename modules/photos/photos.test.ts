import { mkdtemp, mkdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { serveModule } from 'busbar/host';
import { testBus } from 'busbar/testing';
import { thumbnails } from '../thumbnails/contract';
import { web } from '../web/contract';
import { photos } from './contract';
import { Photos } from './photos';
import { PhotoStore } from './store';

let siteDir: string;
beforeEach(async () => {
  siteDir = await mkdtemp(join(tmpdir(), 'busbar-photos-'));
});
afterEach(() => rm(siteDir, { recursive: true, force: true }));

const png = (text: string) => Buffer.concat([Buffer.from('89504e470d0a1a0a', 'hex'), Buffer.from(text)]);

async function startPhotos() {
  const bus = testBus(photos);
  const module = new Photos(new PhotoStore(siteDir), bus);
  await module.open();
  await serveModule(bus, module);
  return { bus, caller: bus.as(web) };
}

test('a new photo is stored, submitted to thumbnails, and published', async () => {
  const { bus, caller } = await startPhotos();
  const photo = await caller.request(photos.add, { name: ' Eiger ', tags: ['alps'], content: png('one') });
  expect(photo).toMatchObject({ name: 'Eiger', tags: ['alps'], type: 'image/png', bytes: 11 });
  expect(bus.sent(thumbnails.resize)).toMatchObject([{ body: { photoId: photo.id, file: photo.file } }]);
  expect(bus.sent(photos.added)).toMatchObject([{ body: { id: photo.id } }]);
  expect(bus.sent(web.dropCache)).toMatchObject([{ body: { photoId: photo.id } }]);
});

test('the same picture added again is the same photo, published once', async () => {
  const { bus, caller } = await startPhotos();
  const first = await caller.request(photos.add, { name: 'Eiger', content: png('one') });
  expect(await caller.request(photos.add, { name: 'Other', content: png('one') })).toEqual(first);
  expect(bus.sent(photos.added)).toHaveLength(1);
});

test('a photo can be a reference to an upload', async () => {
  const { caller } = await startPhotos();
  await mkdir(join(siteDir, 'uploads'));
  await writeFile(join(siteDir, 'uploads', 'x1'), png('one'));
  await expect(caller.request(photos.add, { name: 'a', content: { upload: 'uploads/x1' } })).resolves.toMatchObject({
    bytes: 11,
  });
  const gone = await caller.tryRequest(photos.add, { name: 'a', content: { upload: 'uploads/x2' } });
  expect(gone).toMatchObject({ ok: false, error: { code: 'NoUpload', data: { upload: 'uploads/x2' } } });
});

test.each(['../secret', 'uploads/../../secret', '/etc/passwd', 'uploads/.hidden'])(
  '%s is refused as a reference',
  async (upload) => {
    const { caller } = await startPhotos();
    const refused = await caller.tryRequest(photos.add, { name: 'a', content: { upload } });
    expect(refused).toMatchObject({ ok: false, error: { code: 'Invalid' } });
  },
);

test('a file that is neither JPEG nor PNG is refused with its first bytes', async () => {
  const { bus, caller } = await startPhotos();
  const refused = await caller.tryRequest(photos.add, { name: 'a', content: Buffer.from('%PDF') });
  expect(refused).toMatchObject({ ok: false, error: { code: 'NotAnImage', data: { startsWith: '25 50 44 46' } } });
  expect(bus.sent(photos.added)).toEqual([]);
});

test('a thumbnail is stored when it was made, and a broken image with its reason', async () => {
  const { bus, caller } = await startPhotos();
  const [made, broken] = [
    await caller.request(photos.add, { name: 'a', content: png('one') }),
    await caller.request(photos.add, { name: 'b', content: png('two') }),
  ];
  const did = { jobId: '1', attempt: 1, by: 'thumbnails#1', pid: 1 };
  const thumbnail = { file: 'thumbnails/x.webp', width: 48, height: 36 };
  await bus.as(thumbnails).publish(thumbnails.done, { ...did, ...thumbnail, photoId: made.id, tookMs: 1 });
  await bus.as(thumbnails).publish(thumbnails.broken, { ...did, photoId: broken.id, reason: 'premature end' });
  await bus.settled();
  expect(await caller.request(photos.get, { id: made.id })).toMatchObject({ thumbnail });
  expect(await caller.request(photos.get, { id: broken.id })).toMatchObject({ broken: 'premature end' });
  expect(bus.sent(web.dropCache)).toHaveLength(4);
});

test('photos are listed newest first, or in the requested order', async () => {
  const { caller } = await startPhotos();
  const ids: string[] = [];
  for (const text of ['one', 'two', 'three'])
    ids.push((await caller.request(photos.add, { name: text, content: png(text) })).id);
  const asked = [ids[2] ?? '', 'f'.repeat(32), ids[0] ?? ''];
  const found = await caller.request(photos.list, { ids: asked, limit: 10 });
  expect(found.photos.map(({ name }) => name)).toEqual(['three', 'one']);
  expect(await caller.request(photos.list, { limit: 2 })).toMatchObject({ photos: { length: 2 }, total: 3 });
  const missing = await caller.tryRequest(photos.get, { id: 'f'.repeat(32) });
  expect(missing).toMatchObject({ ok: false, error: { code: 'NotFound' } });
});

test('a new instance publishes photos that a killed instance saved only', async () => {
  const { bus, caller } = await startPhotos();
  bus.fault(thumbnails.resize, 'Unreachable', { outcome: 'not-sent', waitedMs: 1 });
  await expect(caller.request(photos.add, { name: 'a', content: png('one') })).rejects.toThrow('Unreachable');
  expect(bus.sent(photos.added)).toEqual([]);
  const next = await startPhotos();
  expect(next.bus.sent(photos.added)).toMatchObject([{ body: { name: 'a' } }]);
  const third = await startPhotos();
  expect(third.bus.sent(photos.added)).toEqual([]);
});
