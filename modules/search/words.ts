/**
 * The words of photos, in memory and in an append-only file that instances share. Each instance reads from its last
 * position.
 */
import { mkdir, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { z } from 'zod';

const Indexed = z.object({ id: z.string(), addedAtMs: z.number(), words: z.array(z.string()) });
export type Indexed = z.infer<typeof Indexed>;

/** The maximum number of indexed photos, since all words are held in memory. */
export const indexedMax = 100_000;
const readBytes = 1024 * 1024;

/** Returns lower-case words of letters and digits without accents: `Zürich-2024.jpg` → zurich, 2024, jpg. */
export function wordsOf(text: string): string[] {
  const plain = text.normalize('NFKD').replace(/\p{M}/gu, '').toLowerCase();
  return [...new Set(plain.match(/[\p{L}\p{N}]+/gu) ?? [])];
}

export class Words {
  readonly #photos = new Map<string, Indexed>();
  #readTo = 0;
  #reading: Promise<void> = Promise.resolve();

  constructor(private readonly path: string) {}

  get size(): number {
    return this.#photos.size;
  }

  /** Resolves when the photo is on disk. A photo added twice is found once. */
  async add(photo: Indexed): Promise<void> {
    await this.#catchUp();
    if (this.#photos.has(photo.id)) return;
    if (this.#photos.size >= indexedMax) throw new Error(`the index holds ${indexedMax} photos and takes no more`);
    await mkdir(dirname(this.path), { recursive: true });
    const file = await open(this.path, 'a');
    try {
      // The leading newline separates the line from a partial one of a killed writer.
      await file.writeFile(`\n${JSON.stringify(photo)}\n`);
      await file.datasync();
    } finally {
      await file.close();
    }
  }

  /** Returns photos that have, for each word of `text`, a word that starts with it, the newest first. */
  async find(text: string, limit: number): Promise<string[]> {
    await this.#catchUp();
    const wanted = wordsOf(text);
    if (wanted.length === 0) return [];
    return [...this.#photos.values()]
      .filter(({ words }) => wanted.every((start) => words.some((word) => word.startsWith(start))))
      .sort((a, b) => b.addedAtMs - a.addedAtMs)
      .slice(0, limit)
      .map(({ id }) => id);
  }

  /** Reads one at a time, so that no line is read twice or in part. */
  #catchUp(): Promise<void> {
    this.#reading = this.#reading.catch(() => undefined).then(() => this.#readOn());
    return this.#reading;
  }
  async #readOn(): Promise<void> {
    const file = await open(this.path).catch((error: unknown) => {
      if (isMissing(error)) return undefined;
      throw error;
    });
    if (!file) return;
    try {
      const buffer = Buffer.alloc(readBytes);
      for (;;) {
        const { bytesRead } = await file.read(buffer, 0, readBytes, this.#readTo);
        // Bytes after the last newline are still being written; a full buffer without a newline is foreign data.
        const end = bytesRead === readBytes ? lineEnd(buffer) || readBytes : lineEnd(buffer.subarray(0, bytesRead));
        if (end === 0) return;
        for (const line of buffer.toString('utf8', 0, end).split('\n')) this.#take(line);
        this.#readTo += end;
      }
    } finally {
      await file.close();
    }
  }
  #take(line: string): void {
    const photo = parse(line);
    if (photo && this.#photos.size < indexedMax) this.#photos.set(photo.id, photo);
  }
}

function lineEnd(buffer: Buffer): number {
  return buffer.lastIndexOf(0x0a) + 1;
}

/** Returns undefined for empty lines and partial lines of a killed writer, whose event is delivered again. */
function parse(line: string): Indexed | undefined {
  try {
    return Indexed.safeParse(JSON.parse(line)).data;
  } catch {
    return undefined;
  }
}
function isMissing(error: unknown): boolean {
  return typeof error === 'object' && error !== null && 'code' in error && error.code === 'ENOENT';
}
