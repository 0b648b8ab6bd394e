import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { testBus, type TestBus } from 'busbar/testing';
import { photoBytesMax, photos } from '../photos/contract';
import { search } from '../search/contract';
import { Cache } from './cache';
import { web } from './contract';
import { Site } from './site';
import { Viewers } from './viewers';

const id = 'a'.repeat(32);
const photo = {
  id,
  name: 'Eiger',
  tags: ['alps'],
  type: 'image/jpeg' as const,
  bytes: 3,
  file: `photos/originals/${id}.jpg`,
  addedAt: new Date(0),
};

let siteDir: string;
let bus: TestBus;
let site: Site;
let url: string;
beforeEach(async () => {
  siteDir = await mkdtemp(join(tmpdir(), 'busbar-web-'));
  bus = testBus(web);
  site = new Site({ bus, siteDir, cache: new Cache(), viewers: new Viewers() });
  url = await site.open(0, '127.0.0.1');
});
afterEach(async () => {
  await site.close();
  await bus.close();
  await rm(siteDir, { recursive: true, force: true });
});

const stubPhotos = () =>
  bus.stub(photos, {
    add: ({ name, content }, { fail }) =>
      content instanceof Uint8Array || name === 'text' ? fail('NotAnImage', { startsWith: '' }) : { ...photo, name },
    list: () => ({ photos: [photo], total: 1 }),
  });
const post = (path: string, body: Uint8Array | string, type = 'image/jpeg') =>
  fetch(url + path, { method: 'POST', body, headers: { 'content-type': type } });
const errorOf = async (response: Response) => ((await response.json()) as { error: string }).error;

test('the gallery is a page with safe headers', async () => {
  await stubPhotos();
  const response = await fetch(url);
  expect([response.status, response.headers.get('content-type')]).toEqual([200, 'text/html; charset=utf-8']);
  expect(response.headers.get('content-security-policy')).toMatch(/default-src 'none'.*script-src 'sha256-/);
  expect(response.headers.get('x-content-type-options')).toBe('nosniff');
  expect(await response.text()).toContain('Eiger');
});

test('an upload is stored, sent by reference, and removed when photos has it', async () => {
  await stubPhotos();
  const response = await post('/photos?name=Eiger&tags=alps,%20winter', Buffer.alloc(200_000, 1));
  expect(response.status).toBe(201);
  expect(bus.sent(photos.add)).toMatchObject([
    { body: { name: 'Eiger', tags: ['alps', 'winter'], content: { upload: expect.stringMatching(/^uploads\//) } } },
  ]);
  expect(await readdir(join(siteDir, 'uploads'))).toEqual([]);
});

test('an upload above the limit is 413, with or without Content-Length, and leaves nothing', async () => {
  await stubPhotos();
  const said = await post('/photos?name=x', Buffer.alloc(photoBytesMax + 1));
  expect([said.status, await errorOf(said)]).toEqual([413, 'The image is larger than 25 MB.']);
  expect(await postChunked('/photos?name=x', photoBytesMax + 100_000)).toBe(413);
  expect(await readdir(join(siteDir, 'uploads'))).toEqual([]);
  expect(bus.sent(photos.add)).toEqual([]);
});

test('another type is 415, declared or detected, and an overlong name is 400', async () => {
  await stubPhotos();
  expect((await post('/photos?name=x', 'words', 'text/plain')).status).toBe(415);
  expect((await post('/photos?name=text', 'words')).status).toBe(415);
  expect((await post(`/photos?name=${'x'.repeat(121)}`, 'words')).status).toBe(400);
});

test('without photos the site answers 503 with Retry-After and keeps no upload', async () => {
  for (const response of [await fetch(url), await post('/photos?name=x', 'x')]) {
    expect([response.status, response.headers.get('retry-after')]).toEqual([503, '1']);
    expect(await errorOf(response)).toContain('NoHandler');
  }
  expect(await readdir(join(siteDir, 'uploads'))).toEqual([]);
});

test('an overloaded module is 503 with its retryAfterMs', async () => {
  await stubPhotos();
  bus.fault(photos.list, 'Overloaded', { retryAfterMs: 4_000 });
  const response = await fetch(`${url}/photos`);
  expect([response.status, response.headers.get('retry-after')]).toEqual([503, '4']);
});

test('a query requests ids from search and the rest from photos', async () => {
  await bus.stub(photos, {
    list: ({ ids }) => ({ photos: ids?.includes(id) ? [photo] : [], total: ids?.length ?? 0 }),
  });
  await bus.stub(search, { find: ({ text }) => ({ ids: text === 'eiger' ? [id] : [] }) });
  expect(await (await fetch(`${url}/photos?q=eiger`)).json()).toMatchObject({ total: 1 });
  expect(await (await fetch(`${url}/photos?q=other`)).json()).toMatchObject({ total: 0 });
});

test('the list is requested once for many pages', async () => {
  await stubPhotos();
  for (let times = 0; times < 5; times++) await fetch(url);
  expect(bus.sent(photos.list)).toHaveLength(1);
});

test('a thumbnail is sent with type and ETag, and is 304 the next time', async () => {
  await mkdir(join(siteDir, 'thumbnails'));
  await writeFile(join(siteDir, 'thumbnails', `${id}.webp`), 'picture');
  const path = `${url}/files/thumbnails/${id}.webp`;
  const response = await fetch(path);
  expect([response.status, response.headers.get('content-type'), await response.text()]).toEqual([
    200,
    'image/webp',
    'picture',
  ]);
  const etag = response.headers.get('etag') ?? '';
  expect((await fetch(path, { headers: { 'if-none-match': etag } })).status).toBe(304);
  const head = await fetch(path, { method: 'HEAD' });
  expect([head.status, head.headers.get('content-length'), await head.text()]).toEqual([200, '7', '']);
});

test.each([
  '/files/../secret.jpg',
  '/files/thumbnails/..%2f..%2fsecret.jpg',
  '/files/thumbnails/%2e%2e/secret.jpg',
  `/files/photos/rows/${'a'.repeat(32)}.json`,
  '/files/thumbnails//etc/passwd',
  `/files/thumbnails/${'b'.repeat(32)}.webp`,
  '/nothing',
])('%s is 404', async (path) => {
  await writeFile(join(siteDir, 'secret.jpg'), 'secret');
  expect(await rawStatus(path)).toBe(404);
});

test('an unsupported method is 405 and lists the allowed ones', async () => {
  const response = await fetch(`${url}/photos`, { method: 'DELETE' });
  expect([response.status, response.headers.get('allow')]).toEqual([405, 'GET, POST']);
});

test('an aborted upload is not stored', async () => {
  await stubPhotos();
  const aborted = new Promise((resolve) => {
    const half = httpRequest(`${url}/photos?name=x`, {
      method: 'POST',
      headers: { 'content-type': 'image/png', 'content-length': 1_000 },
    });
    half.on('error', resolve);
    half.write('half', () => half.destroy(new Error('gone')));
  });
  await aborted;
  await site.close(); // resolves when every running request has ended
  expect(await readdir(join(siteDir, 'uploads'))).toEqual([]);
  expect(bus.sent(photos.add)).toEqual([]);
});

/** Uses http because fetch would normalize the path. */
function rawStatus(path: string): Promise<number> {
  return new Promise((resolve, reject) => {
    httpRequest(url, { path }, (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    })
      .on('error', reject)
      .end();
  });
}

function postChunked(path: string, bytes: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const request = httpRequest(
      url + path,
      { method: 'POST', headers: { 'content-type': 'image/png' } },
      (response) => {
        response.resume();
        resolve(response.statusCode ?? 0);
      },
    );
    request.on('error', reject);
    request.end(Buffer.alloc(bytes));
  });
}
