/** The HTTP side of one web instance: finds the route, requests data from other modules, answers. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Bus } from 'busbar';
import { photoBytesMax, photos, photosPerListMax } from '../photos/contract';
import { foundMax, search } from '../search/contract';
import { HttpError, safeHeaders, send, sendJson, toHttpError, type Visit } from './answers';
import type { Cache } from './cache';
import { web } from './contract';
import { sendFile } from './files';
import { icon, inlineHashes, page, tiles, type Listed } from './page';
import { Uploads } from './uploads';
import type { Viewers } from './viewers';

const connectionsMax = 1_000;
const lingerMs = 10_000;
const sweepMs = 50;
const headers = safeHeaders(inlineHashes);
const imageTypes = ['image/jpeg', 'image/png'];
type Route = (visit: Visit) => Promise<void> | void;

export interface SiteParts {
  readonly bus: Bus;
  readonly siteDir: string;
  readonly cache: Cache;
  readonly viewers: Viewers;
}

export class Site {
  readonly #server: Server;
  readonly #uploads: Uploads;
  readonly #routes: ReadonlyMap<string, Readonly<Record<string, Route>>>;
  #uploaded = 0;
  #closing: Promise<void> | undefined;

  constructor(private readonly parts: SiteParts) {
    this.#uploads = new Uploads(parts.siteDir, photoBytesMax);
    this.#routes = this.#table();
    this.#server = createServer((request, response) => void this.#answer(request, response));
    this.#server.maxConnections = connectionsMax;
  }

  get uploaded(): number {
    return this.#uploaded;
  }
  get port(): number {
    const address = this.#server.address();
    return typeof address === 'object' && address ? address.port : 0;
  }

  /** Resolves with the URL once it listens; port 0 means any. Rejects when the port is in use. */
  async open(port: number, host: string): Promise<string> {
    await this.#uploads.dropOrphans(Date.now());
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(port, host, resolve);
    });
    return `http://127.0.0.1:${this.port}`;
  }

  /** Accepts no new connections; resolves when the running requests were answered. */
  close(): Promise<void> {
    this.#closing ??= new Promise((resolve) => {
      // A connection that becomes idle after the close would be kept for another five seconds.
      const sweep = setInterval(() => this.#server.closeIdleConnections(), sweepMs);
      this.#server.close(() => {
        clearInterval(sweep);
        resolve();
      });
      this.parts.viewers.close();
    });
    return this.#closing;
  }

  #table(): ReadonlyMap<string, Readonly<Record<string, Route>>> {
    return new Map<string, Readonly<Record<string, Route>>>([
      ['/', { GET: (visit) => this.#page(visit) }],
      ['/tiles', { GET: (visit) => this.#tiles(visit) }],
      [
        '/photos',
        {
          GET: async ({ response, url }) => sendJson(response, 200, await this.#list(query(url))),
          POST: (visit) => this.#upload(visit),
        },
      ],
      ['/files', { GET: (visit) => sendFile(this.parts.siteDir, visit) }],
      ['/events', { GET: (visit) => this.#watch(visit) }],
      ['/stats', { GET: (visit) => this.#stats(visit) }],
      ['/health', { GET: (visit) => this.#health(visit) }],
      [
        '/icon.svg',
        { GET: ({ response }) => send(response, 200, 'image/svg+xml', icon, { 'cache-control': 'max-age=3600' }) },
      ],
    ]);
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
    if (this.#closing) response.setHeader('connection', 'close');
    try {
      const url = readUrl(request);
      const methods = this.#routes.get(url.pathname.startsWith('/files/') ? '/files' : url.pathname);
      if (!methods) throw new HttpError(404, 'There is no such page.');
      const route = methods[request.method === 'HEAD' ? 'GET' : (request.method ?? '')];
      if (!route) throw new HttpError(405, 'This page does not take that.', { allow: Object.keys(methods).join(', ') });
      await route({ request, response, url });
    } catch (error) {
      refuse({ request, response }, error);
    }
  }

  async #page({ response, url }: Visit): Promise<void> {
    const html = page(await this.#list(query(url)), query(url), this.parts.bus.self.instance);
    send(response, 200, 'text/html; charset=utf-8', html, { 'cache-control': 'no-store' });
  }
  async #tiles({ response, url }: Visit): Promise<void> {
    const html = tiles(await this.#list(query(url)), query(url));
    send(response, 200, 'text/html; charset=utf-8', html, { 'cache-control': 'no-store' });
  }

  #list(text: string): Promise<Listed> {
    const { bus, cache } = this.parts;
    return cache.get(`list ${text}`, async () => {
      if (text === '') return bus.request(photos.list, { limit: photosPerListMax });
      const { ids } = await bus.request(search.find, { text, limit: foundMax });
      return bus.request(photos.list, { ids, limit: foundMax });
    });
  }

  /** Stores the body, which is the image, before it sends a reference, because messages are bounded. */
  async #upload({ request, response, url }: Visit): Promise<void> {
    const type = request.headers['content-type']?.split(';')[0]?.trim() ?? '';
    if (!imageTypes.includes(type)) throw new HttpError(415, `Send ${imageTypes.join(' or ')}, not '${type}'.`);
    const upload = await this.#uploads.take(request);
    const { bus } = this.parts;
    const added = bus.request(photos.add, { ...described(url), content: { upload } });
    const photo = await added.finally(() => this.#uploads.drop(upload));
    this.#uploaded++;
    sendJson(response, 201, photo);
  }

  #watch({ response }: Visit): void {
    if (this.#closing || !this.parts.viewers.add(response)) {
      throw new HttpError(503, 'Too many viewers here.', { 'retry-after': '5' });
    }
  }
  #health({ response }: Visit): void {
    const health = this.parts.bus.health();
    sendJson(response, health.ready ? 200 : 503, health);
  }
  async #stats({ response }: Visit): Promise<void> {
    const answers = await this.parts.bus.requestAll(web.stats, {});
    sendJson(
      response,
      200,
      answers.map((answer) => ({
        instance: answer.from.instance,
        ...(answer.ok ? answer.value : { error: answer.error.code }),
      })),
    );
  }
}

function readUrl(request: IncomingMessage): URL {
  try {
    return new URL(request.url ?? '/', 'http://site');
  } catch {
    throw new HttpError(400, 'This is not a URL.');
  }
}
function query(url: URL): string {
  return (url.searchParams.get('q') ?? '').trim().slice(0, 200);
}
function described(url: URL): { name: string; tags: string[] } {
  const tags = (url.searchParams.get('tags') ?? '').split(',').map((tag) => tag.trim());
  return { name: url.searchParams.get('name') ?? 'untitled', tags: tags.filter((tag) => tag !== '') };
}

function refuse({ request, response }: Pick<Visit, 'request' | 'response'>, thrown: unknown): void {
  if (request.destroyed && !request.complete) return; // the browser disconnected during its body
  const error = toHttpError(thrown);
  if (error.status === 500) console.error(thrown);
  if (response.headersSent || response.destroyed) return void response.destroy();
  for (const [name, value] of Object.entries(error.headers)) response.setHeader(name, value);
  sendJson(response, error.status, { error: error.message });
  if (request.complete) return;
  // The rest of the body is read and discarded: closing now would reset the connection before the answer was read.
  request.resume();
  const timer = setTimeout(() => request.destroy(), lingerMs).unref();
  request.once('close', () => clearTimeout(timer));
}
