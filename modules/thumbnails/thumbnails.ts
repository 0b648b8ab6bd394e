/** Makes the thumbnail of each photo: retried when the machine fails, parked when the image is broken. */
import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { handler, type Bus } from 'busbar';
import { BUS, SystemModule } from 'busbar/host';
import { thumbnails } from './contract';
import { BrokenImage, shrink, type Thumbnail } from './shrink';

export class SiteDir {
  constructor(readonly path = resolve(process.env['SITE_DIR'] ?? 'data')) {}
}

@SystemModule(thumbnails, { needs: [SiteDir, BUS], concurrency: { resize: 2 } })
export class Thumbnails {
  constructor(
    private readonly site: SiteDir,
    private readonly bus: Bus,
  ) {}

  resize = handler(
    thumbnails.resize,
    async ({ photoId, file, width }, { id, attempt, park, progress, signal, log }) => {
      const did = { photoId, jobId: id, attempt, by: this.bus.self.instance, pid: process.pid };
      const startedMs = performance.now();
      try {
        progress(`reading ${file}`);
        const image = await this.#read(file);
        progress(`shrinking ${image.length} bytes to ${width} pixels`);
        const thumbnail = await shrink(image, width);
        signal.throwIfAborted();
        const made = await this.#write(photoId, thumbnail);
        const tookMs = Math.round(performance.now() - startedMs);
        await this.bus.publish(thumbnails.done, { ...did, ...made, tookMs });
        log.info(`made ${made.file}, ${made.width} × ${made.height}, in ${tookMs} ms`, { photoId, attempt });
      } catch (error) {
        if (!(error instanceof BrokenImage)) throw error;
        await this.bus.publish(thumbnails.broken, { ...did, reason: error.message });
        park(error.message);
      }
    },
  );

  async #read(file: string): Promise<Uint8Array> {
    try {
      return await readFile(join(this.site.path, file));
    } catch (error) {
      // It was stored before the job was sent, so waiting cannot restore it.
      if (isMissing(error)) throw new BrokenImage(`${file} is gone`);
      throw error;
    }
  }

  /** Writes the file completely or not at all, since another attempt can be writing the same file. */
  async #write(
    photoId: string,
    { bytes, width, height }: Thumbnail,
  ): Promise<{ file: string; width: number; height: number }> {
    const folder = join(this.site.path, 'thumbnails');
    await mkdir(folder, { recursive: true });
    const part = join(folder, `${photoId}.${process.pid}.part`);
    const output = await open(part, 'w');
    try {
      await output.writeFile(bytes);
      await output.sync();
    } finally {
      await output.close();
    }
    await rename(part, join(folder, `${photoId}.webp`));
    return { file: `thumbnails/${photoId}.webp`, width, height };
  }
}

function isMissing(error: unknown): boolean {
  return typeof error === 'object' && error !== null && 'code' in error && error.code === 'ENOENT';
}
