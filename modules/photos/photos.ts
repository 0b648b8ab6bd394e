/** Adds photos, submits their thumbnails, and publishes them. */
import { handler, type Body, type Bus } from 'busbar';
import { BUS, Listen, SystemModule } from 'busbar/host';
import { thumbnails } from '../thumbnails/contract';
import { web } from '../web/contract';
import { photoBytesMax, photos } from './contract';
import { imageType, sayStart } from './image';
import { photosMax, PhotoStore, type PhotoRow, type Shown } from './store';

const thumbnailWidth = 480; // twice the width of a tile, for dense screens

@SystemModule(photos, { needs: [PhotoStore, BUS], concurrency: { add: 4 } }) // four images of 25 MB fit into memory
export class Photos {
  constructor(
    private readonly store: PhotoStore,
    private readonly bus: Bus,
  ) {}

  /** Sends the messages that a killed instance could not send. */
  async open(): Promise<void> {
    for (const id of await this.store.untold()) await this.#tell(id);
  }

  @Listen(thumbnails.done, { as: 'done' })
  done({ photoId, file, width, height }: Body<typeof thumbnails.done>): Promise<void> {
    return this.#note(photoId, { thumbnail: { file, width, height } });
  }
  @Listen(thumbnails.broken, { as: 'broken' })
  broken({ photoId, reason }: Body<typeof thumbnails.broken>): Promise<void> {
    return this.#note(photoId, { broken: reason });
  }

  add = handler(photos.add, async ({ name, tags, content }, { fail, log }) => {
    const bytes = await this.store.read(content);
    if (bytes === 'TooBig') return fail('TooBig', { limitBytes: photoBytesMax });
    if (bytes === 'NoUpload') return fail('NoUpload', { upload: 'upload' in content ? content.upload : '' });
    const type = imageType(bytes);
    if (!type) return fail('NotAnImage', { startsWith: sayStart(bytes) });
    const row = await this.store.save({ name, tags, type, bytes: bytes.length, addedAt: new Date() }, bytes);
    if (row === 'Full') return fail('Full', { limitPhotos: photosMax });
    if (await this.store.isUntold(row.id)) await this.#tell(row.id);
    log.info(`has '${row.name}', ${row.bytes} bytes`, { photoId: row.id });
    return row;
  });

  get = handler(photos.get, async ({ id }, { fail }) => (await this.store.find(id)) ?? fail('NotFound', {}));

  list = handler(photos.list, async ({ ids, limit }) => {
    const all = await this.store.all();
    if (!ids) return { photos: all.slice(0, limit), total: all.length };
    const byId = new Map(all.map((photo) => [photo.id, photo]));
    const asked = ids.flatMap((id) => byId.get(id) ?? []);
    return { photos: asked.slice(0, limit), total: asked.length };
  });

  /** Sends first and records it afterwards: an instance killed between the two sends again, which is harmless. */
  async #tell(id: string): Promise<void> {
    const row = await this.store.row(id);
    if (row) await this.#send(row);
    await this.store.told(id); // without a row the instance was killed before it saved the photo, so it was never answered
  }
  async #send(row: PhotoRow): Promise<void> {
    await this.bus.submit(thumbnails.resize, { photoId: row.id, file: row.file, width: thumbnailWidth });
    await this.bus.publish(photos.added, row);
    await this.bus.broadcast(web.dropCache, { photoId: row.id });
  }

  async #note(photoId: string, shown: Shown): Promise<void> {
    await this.store.note(photoId, shown);
    await this.bus.broadcast(web.dropCache, { photoId });
  }
}
