/** Stores the body of an upload in a file, in bounded memory, so that a reference is sent instead of the bytes. */
import { randomUUID } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { HttpError } from './answers';

const orphanMs = 60 * 60_000; // longer than any upload takes

export class Uploads {
  constructor(
    private readonly siteDir: string,
    private readonly bytesMax: number,
  ) {}

  /** Stores a body and returns its reference. Throws HttpError 413 above the limit, and leaves no file. */
  async take(request: IncomingMessage): Promise<string> {
    // A declared length is refused before a byte is read.
    if (Number(request.headers['content-length'] ?? 0) > this.bytesMax) throw this.#tooLarge();
    await mkdir(join(this.siteDir, 'uploads'), { recursive: true });
    const upload = `uploads/${randomUUID()}`;
    try {
      const file = createWriteStream(join(this.siteDir, upload), { flags: 'wx', flush: true });
      await pipeline(this.#bounded(request), file);
      return upload;
    } catch (error) {
      await this.drop(upload);
      throw error;
    }
  }

  async drop(upload: string): Promise<void> {
    await rm(join(this.siteDir, upload), { force: true });
  }

  /** Removes uploads of killed instances. */
  async dropOrphans(nowMs: number): Promise<void> {
    const folder = join(this.siteDir, 'uploads');
    await mkdir(folder, { recursive: true });
    for (const name of await readdir(folder)) {
      const found = await stat(join(folder, name)).catch(() => undefined); // another instance has removed it
      if (found && nowMs - found.mtimeMs > orphanMs) await this.drop(`uploads/${name}`);
    }
  }

  async *#bounded(request: IncomingMessage): AsyncGenerator<Uint8Array> {
    let bytes = 0;
    // Not destroyed on an early stop: the answer uses the same connection.
    for await (const chunk of request.iterator({ destroyOnReturn: false })) {
      const part = Buffer.from(chunk);
      bytes += part.length;
      if (bytes > this.bytesMax) throw this.#tooLarge();
      yield part;
    }
  }
  #tooLarge(): HttpError {
    const limitMb = Math.floor(this.bytesMax / 1024 / 1024);
    return new HttpError(413, `The image is larger than ${limitMb} MB.`);
  }
}
