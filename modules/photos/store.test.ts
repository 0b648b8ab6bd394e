import { mkdtemp, readdir, rm, writeFile, mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { imageType, sayStart } from './image';
import { PhotoStore } from './store';

let siteDir: string;
beforeEach(async () => {
  siteDir = await mkdtemp(join(tmpdir(), 'busbar-store-'));
});
afterEach(() => rm(siteDir, { recursive: true, force: true }));

const described = (name: string, addedAt = new Date(0)) => ({
  name,
  tags: ['a'],
  type: 'image/png' as const,
  bytes: 3,
  addedAt,
});

test('a saved photo is found by another instance, with its date', async () => {
  const row = await new PhotoStore(siteDir).save(described('Eiger', new Date(5)), Buffer.from('one'));
  if (row === 'Full') throw new Error('full');
  expect(await new PhotoStore(siteDir).find(row.id)).toEqual({ ...row, addedAt: new Date(5) });
});

test('the same bytes are one photo, which keeps its first name', async () => {
  const store = new PhotoStore(siteDir);
  const first = await store.save(described('Eiger'), Buffer.from('one'));
  expect(await store.save(described('Jungfrau'), Buffer.from('one'))).toEqual(first);
  expect(await store.all()).toHaveLength(1);
});

test('the newest photo is listed first, with its thumbnail once it is stored', async () => {
  const store = new PhotoStore(siteDir);
  await store.save(described('old', new Date(1)), Buffer.from('one'));
  const row = await store.save(described('new', new Date(2)), Buffer.from('two'));
  if (row === 'Full') throw new Error('full');
  const thumbnail = { file: 'thumbnails/x.webp', width: 1, height: 1 };
  await new PhotoStore(siteDir).note(row.id, { thumbnail });
  const all = await store.all();
  expect(all.map(({ name }) => name)).toEqual(['new', 'old']);
  expect(all[0]).toMatchObject({ thumbnail });
});

test('a photo is untold until it was published, also for the next instance', async () => {
  const store = new PhotoStore(siteDir);
  const row = await store.save(described('Eiger'), Buffer.from('one'));
  if (row === 'Full') throw new Error('full');
  expect(await new PhotoStore(siteDir).untold()).toEqual([row.id]);
  await store.told(row.id);
  expect(await new PhotoStore(siteDir).untold()).toEqual([]);
});

test('no partly written file remains', async () => {
  await new PhotoStore(siteDir).save(described('Eiger'), Buffer.from('one'));
  const names = await readdir(siteDir, { recursive: true });
  expect(names.filter((name) => name.endsWith('.part'))).toEqual([]);
});

test('an upload is read by its reference, and a missing one is NoUpload', async () => {
  await mkdir(join(siteDir, 'uploads'));
  await writeFile(join(siteDir, 'uploads', 'x'), 'bytes');
  const store = new PhotoStore(siteDir);
  expect(Buffer.from(await store.read({ upload: 'uploads/x' })).toString()).toBe('bytes');
  expect(await store.read({ upload: 'uploads/y' })).toBe('NoUpload');
});

test('JPEG and PNG are detected by their first bytes', () => {
  expect(imageType(Buffer.from('ffd8ffe0', 'hex'))).toBe('image/jpeg');
  expect(imageType(Buffer.from('89504e470d0a1a0a00', 'hex'))).toBe('image/png');
  expect(imageType(Buffer.from('%PDF-1.4'))).toBeUndefined();
  expect(imageType(Buffer.from('ff', 'hex'))).toBeUndefined();
  expect(sayStart(Buffer.from('%PDF'))).toBe('25 50 44 46');
});
