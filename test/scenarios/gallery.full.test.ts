import { sample } from '../../modules/samples';
import { upload } from '../../modules/upload';
import { startSite, until, Viewer, type RunningSite } from './site';

jest.setTimeout(240_000);
let site: RunningSite;
let viewers: readonly Viewer[] = [];
beforeAll(async () => {
  site = await startSite();
  viewers = await Promise.all(site.urls.map((url) => Viewer.open(url)));
});
afterAll(async () => {
  for (const viewer of viewers) viewer.close();
  await site?.end();
});

const idOf = (uploaded: Awaited<ReturnType<typeof upload>>): string => {
  if (!('id' in uploaded)) throw new Error(`refused: ${uploaded.status} ${uploaded.error}`);
  return uploaded.id;
};
const send = async (seed: number, name: string, to = 0) =>
  idOf(await upload([site.urls[to] ?? ''], await sample(seed, name, 800)));
const thumbnailOn = (viewer: Viewer | undefined, id: string) =>
  viewer?.hear(`thumbnail of ${id}`, ({ event, data }) => event === 'thumbnail' && data.id === id);

test('a JPEG and a PNG get thumbnails that both web instances show', async () => {
  const ids = [await send(6, 'a jpeg'), await send(7, 'a png', 1)];
  for (const id of ids) {
    for (const [index, viewer] of viewers.entries()) {
      const told = await thumbnailOn(viewer, id);
      const image = await fetch(`${site.urls[index]}/files/${told?.data.file}`);
      expect([image.status, image.headers.get('content-type')]).toEqual([200, 'image/webp']);
      const tile = new RegExp(`data-id="${id}" data-state="ready"`);
      await until(`${id} is ready on the page`, async () =>
        tile.test(await (await fetch(`${site.urls[index]}/tiles`)).text()),
      );
    }
  }
});

test('a new photo drops the cached lists of both web instances', async () => {
  const listOf = async (index: number): Promise<string> => (await fetch(`${site.urls[index]}/photos`)).text();
  const statsOf = async () =>
    (await (await fetch(`${site.urls[0]}/stats`)).json()) as { drops: number; hits: number }[];
  for (const index of [0, 1, 0, 1]) expect(await listOf(index)).not.toContain('dropped');
  const before = await statsOf();
  const id = await send(9, 'dropped');
  await thumbnailOn(viewers[1], id);
  await until('both lists have it', async () => (await listOf(0)).includes(id) && (await listOf(1)).includes(id));
  const after = await statsOf();
  expect(after).toHaveLength(2);
  expect(before.every(({ hits }) => hits > 0)).toBe(true);
  expect(Math.min(...after.map(({ drops }) => drops))).toBeGreaterThan(Math.min(...before.map(({ drops }) => drops)));
});

test('a broken image is parked with its reason, and other images are processed', async () => {
  const whole = await sample(12, 'whole', 800);
  const half = { ...whole, name: 'half', bytes: whole.bytes.subarray(0, whole.bytes.length / 2) };
  const broken = idOf(await upload(site.urls, half));
  const ids = await Promise.all([13, 14, 15, 16].map((seed) => send(seed, `beside ${seed}`)));
  for (const id of ids) await thumbnailOn(viewers[0], id);
  const told = await viewers[0]?.hear('broken', ({ event, data }) => event === 'broken' && data.id === broken);
  expect(told?.data.reason).toMatch(/premature end|corrupt/i);
  await until('the page has the reason', async () =>
    (await (await fetch(`${site.urls[1]}/tiles`)).text()).includes('cannot be shown'),
  );
  const parked = /thumbnails\.resize parked after 1 attempt: .*(premature end|corrupt)/i;
  await until('it was parked', async () => site.lines.some((line) => parked.test(line)));
});

test('a search finds a new photo, and no other', async () => {
  const id = await send(21, 'Kaiserschmarrn on the terrace');
  const found = async () => {
    const response = await fetch(`${site.urls[1]}/photos?q=kaiser`);
    return ((await response.json()) as { photos: { id: string }[] }).photos.map((photo) => photo.id);
  };
  await until('it is found', async () => (await found()).length > 0);
  expect(await found()).toEqual([id]);
});

test('a file that is not an image is refused', async () => {
  const text = { name: 'notes', tags: [], type: 'image/png' as const, bytes: Buffer.from('just words') };
  expect(await upload(site.urls, text)).toMatchObject({ status: 415 });
});
