/** Stores photos as files, each written once and completely: instances can share them, and be killed at any time. */
import { createHash } from 'node:crypto';
import { mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import type { Body, Output } from 'busbar';
import { Photo, photoBytesMax, ShownPhoto, type photos } from './contract';

export type PhotoRow = Body<typeof photos.added>;
export type ShownRow = Output<typeof photos.get>;
export type Shown = Pick<ShownRow, 'thumbnail' | 'broken'>;
export type Content = Body<typeof photos.add>['content'];

/** The maximum number of photos. More are refused as Full, since `list` holds all rows in memory. */
export const photosMax = 5_000;
const readsAtOnce = 64;

export class PhotoStore {
  // Rows never change and notes change once, so cached values stay valid.
  readonly #rows = new Map<string, PhotoRow>();
  readonly #shown = new Map<string, Shown>();

  constructor(private readonly siteDir = resolve(process.env['SITE_DIR'] ?? 'data')) {}

  /** Reads the bytes of a new photo; 'TooBig' and 'NoUpload' are failures of `add`. */
  async read(content: Content): Promise<Uint8Array | 'TooBig' | 'NoUpload'> {
    if (content instanceof Uint8Array) return content.length > photoBytesMax ? 'TooBig' : content;
    const path = join(this.siteDir, content.upload);
    try {
      if ((await stat(path)).size > photoBytesMax) return 'TooBig';
      return await readFile(path);
    } catch (error) {
      if (isMissing(error)) return 'NoUpload';
      throw error;
    }
  }

  /** Adds the photo unless it exists, marked as not yet published. Returns the stored row, with its first name. */
  async save(photo: Omit<PhotoRow, 'id' | 'file'>, bytes: Uint8Array): Promise<PhotoRow | 'Full'> {
    const id = createHash('sha256').update(bytes).digest('hex').slice(0, 32);
    const known = await this.row(id);
    if (known) return known;
    if ((await this.#names('rows')).length >= photosMax) return 'Full';
    const file = `photos/originals/${id}.${photo.type === 'image/png' ? 'png' : 'jpg'}`;
    const row: PhotoRow = { ...photo, id, file };
    await writeWhole(join(this.siteDir, file), bytes);
    await writeWhole(this.#path('untold', id), '');
    await writeWhole(this.#path('rows', id), JSON.stringify(row));
    return row;
  }

  async row(id: string): Promise<PhotoRow | undefined> {
    return this.#rows.get(id) ?? (await this.#read('rows', id, this.#rows, readRow));
  }
  async find(id: string): Promise<ShownRow | undefined> {
    const row = await this.row(id);
    if (!row) return undefined;
    return { ...row, ...(this.#shown.get(id) ?? (await this.#read('shown', id, this.#shown, readShown))) };
  }

  /** Returns all photos, the newest first. */
  async all(): Promise<readonly ShownRow[]> {
    await this.#readAll('rows', this.#rows, readRow);
    await this.#readAll('shown', this.#shown, readShown);
    const rows = [...this.#rows.values()].map((row) => ({ ...row, ...this.#shown.get(row.id) }));
    return rows.sort((a, b) => b.addedAt.getTime() - a.addedAt.getTime() || (a.id < b.id ? -1 : 1));
  }

  /** Stores the thumbnail, or that there will be none. */
  async note(id: string, shown: Shown): Promise<void> {
    await writeWhole(this.#path('shown', id), JSON.stringify(shown));
    this.#shown.set(id, shown);
  }

  /** Returns whether the photo may not have been published. */
  async isUntold(id: string): Promise<boolean> {
    return (await this.#names('untold')).includes(id);
  }
  async untold(): Promise<readonly string[]> {
    return this.#names('untold');
  }
  async told(id: string): Promise<void> {
    await rm(this.#path('untold', id), { force: true });
  }

  #path(kind: 'rows' | 'shown' | 'untold', id: string): string {
    return join(this.siteDir, 'photos', kind, `${id}.json`);
  }
  async #names(kind: 'rows' | 'shown' | 'untold'): Promise<string[]> {
    try {
      const files = await readdir(join(this.siteDir, 'photos', kind));
      return files.filter((file) => file.endsWith('.json')).map((file) => file.slice(0, -'.json'.length));
    } catch (error) {
      if (isMissing(error)) return [];
      throw error;
    }
  }
  async #readAll<T>(kind: 'rows' | 'shown', into: Map<string, T>, parse: (text: string) => T): Promise<void> {
    const unread = (await this.#names(kind)).filter((id) => !into.has(id)).slice(0, photosMax);
    for (let first = 0; first < unread.length; first += readsAtOnce) {
      const some = unread.slice(first, first + readsAtOnce);
      await Promise.all(some.map((id) => this.#read(kind, id, into, parse)));
    }
  }
  async #read<T>(
    kind: 'rows' | 'shown',
    id: string,
    into: Map<string, T>,
    parse: (text: string) => T,
  ): Promise<T | undefined> {
    try {
      const value = parse(await readFile(this.#path(kind, id), 'utf8'));
      into.set(id, value);
      return value;
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }
}

function readRow(text: string): PhotoRow {
  return Photo.parse(withDates(text));
}
function readShown(text: string): Shown {
  return ShownPhoto.pick({ thumbnail: true, broken: true }).parse(JSON.parse(text));
}
function withDates(text: string): unknown {
  return JSON.parse(text, (key, value: unknown) => (key === 'addedAt' ? new Date(String(value)) : value));
}
function isMissing(error: unknown): boolean {
  return typeof error === 'object' && error !== null && 'code' in error && error.code === 'ENOENT';
}

let writes = 0;
/** Writes a file so that readers see the whole file or none, also after a crash. */
async function writeWhole(path: string, content: Uint8Array | string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const part = `${path}.${process.pid}-${++writes}.part`;
  const file = await open(part, 'w');
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(part, path);
  const folder = await open(dirname(path));
  await folder.sync().finally(() => folder.close());
}
