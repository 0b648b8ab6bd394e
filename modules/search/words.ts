/** The words of photos, in memory and in an append-only file that instances share: each reads on where it stopped. */
import { mkdir, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { z } from 'zod';

const Indexed = z.object({ id: z.string(), addedAtMs: z.number(), words: z.array(z.string()) });
export type Indexed = z.infer<typeof Indexed>;

/** More photos are not indexed: the words of all are held in memory. */
export const indexedMax = 100_000;
const readBytes = 1024 * 1024;

/** Lower-case words of letters and digits, accents removed: `Zürich-2024.jpg` → zurich, 2024, jpg. */
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

  /** Resolves when it is on disk. A photo added twice is found once. */
  async add(photo: Indexed): Promise<void> {
    await this.#catchUp();
    if (this.#photos.has(photo.id)) return;
    if (this.#photos.size >= indexedMax) throw new Error(`the index holds ${indexedMax} photos and takes no more`);
    await mkdir(dirname(this.path), { recursive: true });
    const file = await open(this.path, 'a');
    try {
      // The newline in front keeps a line apart from one that a killed writer left half.
      await file.writeFile(`\n${JSON.stringify(photo)}\n`);
      await file.datasync();
    } finally {
      await file.close();
    }
  }

  /** Those that have, for each word of `text`, a word that starts with it; the newest first. */
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

  /** One at a time, so that no line is read twice or in halves. */
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
        // What follows the last newline is still being written; a whole buffer without one is nothing of ours.
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

/** undefined for empty lines and for what a killed writer left half: its event is delivered again. */
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
