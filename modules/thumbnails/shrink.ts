/** Makes one thumbnail, and tells an image that nobody can read from a machine that cannot read it now. */
import sharp from 'sharp';

sharp.concurrency(1); // the work entry runs several jobs at once already
const pixelsMax = 100_000_000;

export interface Thumbnail {
  readonly bytes: Uint8Array;
  readonly width: number;
  readonly height: number;
}
/** The image itself is at fault: it would fail again. */
export class BrokenImage extends Error {
  override readonly name = 'BrokenImage';
}

/** A WebP of at most `width` pixels, turned upright. Throws BrokenImage for truncated, unknown and enormous images. */
export async function shrink(image: Uint8Array, width: number): Promise<Thumbnail> {
  try {
    const { data, info } = await sharp(image, { failOn: 'warning', limitInputPixels: pixelsMax })
      .autoOrient()
      .resize({ width, withoutEnlargement: true })
      .webp({ quality: 80 })
      .toBuffer({ resolveWithObject: true });
    return { bytes: data, width: info.width, height: info.height };
  } catch (error) {
    const reason = sayFirstLine(error);
    // Nothing but the bytes and memory is used here: what is not the memory's fault is theirs.
    if (/memory/i.test(reason)) throw error;
    throw new BrokenImage(reason, { cause: error });
  }
}

function sayFirstLine(error: unknown): string {
  const text = typeof error === 'object' && error !== null && 'message' in error ? error.message : error;
  return String(text).split('\n')[0] ?? '';
}
