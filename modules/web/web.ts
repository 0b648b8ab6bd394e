/** One web instance: its pages, its cache, and its connected browsers. */
import { resolve } from 'node:path';
import { handler, type Bus } from 'busbar';
import { BUS, SystemModule } from 'busbar/host';
import { photos } from '../photos/contract';
import { thumbnails } from '../thumbnails/contract';
import { Cache } from './cache';
import { web } from './contract';
import { Site } from './site';
import { Viewers } from './viewers';

/** PORT: the port; by default a free one. HOST: the interface; by default only this machine. */
export class WebOptions {
  constructor(
    readonly port = Number(process.env['PORT'] ?? 0),
    readonly siteDir = resolve(process.env['SITE_DIR'] ?? 'data'),
    readonly host = process.env['HOST'] ?? '127.0.0.1',
  ) {}
}

@SystemModule(web, { needs: [WebOptions, BUS] })
export class Web {
  readonly #cache = new Cache();
  readonly #viewers = new Viewers();
  readonly #site: Site;

  constructor(
    private readonly options: WebOptions,
    private readonly bus: Bus,
  ) {
    this.#site = new Site({ bus, siteDir: options.siteDir, cache: this.#cache, viewers: this.#viewers });
  }

  async open(): Promise<void> {
    await this.bus.listen(photos.added, ({ id, name }) => this.#viewers.tell('added', { id, name }));
    await this.bus.listen(thumbnails.done, ({ photoId, file }) =>
      this.#viewers.tell('thumbnail', { id: photoId, file }),
    );
    await this.bus.listen(thumbnails.broken, ({ photoId, reason }) =>
      this.#viewers.tell('broken', { id: photoId, reason }),
    );
    const url = await this.#site.open(this.options.port, this.options.host);
    console.log(`listening on ${url}`);
    process.send?.({ url });
  }
  close(): Promise<void> {
    return this.#site.close();
  }

  dropCache = handler(web.dropCache, () => {
    this.#cache.drop();
    this.#viewers.tell('changed', {});
  });

  stats = handler(web.stats, () => ({
    ...this.#cache.stats,
    port: this.#site.port,
    uploads: this.#site.uploaded,
    viewers: this.#viewers.size,
  }));
}
