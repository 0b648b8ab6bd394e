/** Makes one thumbnail, and separates unreadable images from failures of the machine. */
import sharp from 'sharp';

sharp.concurrency(1); // the work entry runs several jobs at once already
const pixelsMax = 100_000_000;

export interface Thumbnail {
  readonly bytes: Uint8Array;
  readonly width: number;
  readonly height: number;
}
/** The image itself is broken, so a retry would fail too. */
export class BrokenImage extends Error {
  override readonly name = 'BrokenImage';
}

/**
 * Returns a WebP of at most `width` pixels, rotated upright. Throws BrokenImage for truncated, unknown and enormous
 * images.
 */
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
    // Only the bytes and memory are used here: an error that is not about memory is about the bytes.
    if (/memory/i.test(reason)) throw error;
    throw new BrokenImage(reason, { cause: error });
  }
}

function sayFirstLine(error: unknown): string {
  const text = typeof error === 'object' && error !== null && 'message' in error ? error.message : error;
  return String(text).split('\n')[0] ?? '';
}
