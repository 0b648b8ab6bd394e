import { sample, type Sample } from '../../modules/samples';
import { upload } from '../../modules/upload';
import { startSite, until, Viewer, type RunningSite } from './site';

jest.setTimeout(240_000);
let site: RunningSite;
let viewers: Viewer[] = [];
beforeEach(async () => {
  site = await startSite();
});
afterEach(async () => {
  for (const viewer of viewers) viewer.close();
  viewers = [];
  await site?.end();
});

const watch = async (index: number): Promise<Viewer> => {
  const viewer = await Viewer.open(site.urls[index] ?? '');
  viewers.push(viewer);
  return viewer;
};
const draw = async (count: number, width: number): Promise<Sample[]> => {
  const all: Sample[] = [];
  for (let seed = 0; seed < count; seed++) all.push(await sample(seed, `picture ${seed}`, width));
  return all;
};
const addAll = (pictures: readonly Sample[], urls: readonly string[]) =>
  Promise.all(pictures.map((picture, index) => upload(urls, picture, index)));
const readyCount = async (url: string): Promise<number> =>
  ((await (await fetch(`${url}/tiles`)).text()).match(/data-state="ready"/g) ?? []).length;

test('every photo gets its thumbnail although a worker is killed during its jobs', async () => {
  const pictures = await draw(16, 1_600);
  const viewer = await watch(0);
  const uploads = addAll(pictures, site.urls);
  await viewer.hear('the first thumbnail', ({ event }) => event === 'thumbnail');
  await site.supervisor.kill('thumbnails-1', 'SIGKILL');
  expect((await uploads).map(({ status }) => status)).toEqual(pictures.map(() => 201));
  await until('all are ready', async () => (await readyCount(site.urls[1])) === pictures.length);
});

test('without photos a web instance answers 503 with Retry-After, and recovers', async () => {
  const [picture] = await draw(1, 400);
  if (!picture) throw new Error('no picture');
  await site.supervisor.kill('photos', 'SIGKILL');
  await site.supervisor.stop(['photos']); // otherwise it could be running again before the request
  const away = await fetch(`${site.urls[0]}/photos?name=x`, {
    method: 'POST',
    headers: { 'content-type': picture.type },
    body: picture.bytes,
  });
  expect([away.status, away.headers.get('retry-after')]).toEqual([503, '1']);
  site.supervisor.start({ name: 'photos', script: 'photos/index.js' });
  expect(await upload([site.urls[0]], picture)).toMatchObject({ status: 201 });
  await until('its thumbnail exists', async () => (await readyCount(site.urls[0])) === 1);
});

test('photos killed during uploads loses no accepted photo', async () => {
  const pictures = await draw(12, 800);
  const viewer = await watch(0);
  const uploads = addAll(pictures, site.urls);
  await viewer.hear('the first photo', ({ event }) => event === 'added');
  await site.supervisor.kill('photos', 'SIGKILL');
  expect((await uploads).map(({ status }) => status)).toEqual(pictures.map(() => 201));
  await until('all are ready', async () => (await readyCount(site.urls[0])) === pictures.length);
});

test('a leaving web instance answers its running uploads and fails no other', async () => {
  const pictures = await draw(24, 400);
  const post = async (url: string, { name, type, bytes }: Sample) => {
    const path = `/photos?${new URLSearchParams({ name }).toString()}`;
    return (await fetch(url + path, { method: 'POST', headers: { 'content-type': type }, body: bytes })).status;
  };
  const toLeaving = pictures.slice(0, 4).map((picture) => post(site.urls[0], picture));
  const toOther = pictures.slice(4).map((picture) => post(site.urls[1], picture));
  await Promise.race(toLeaving);
  await site.supervisor.stop(['web-1']);
  expect(await Promise.all(toOther)).toEqual(toOther.map(() => 201));
  expect(await Promise.all(toLeaving)).toEqual(toLeaving.map(() => 201));
  await expect(fetch(`${site.urls[0]}/photos`)).rejects.toThrow('fetch failed');
});
