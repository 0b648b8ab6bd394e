import sharp from 'sharp';
import { BrokenImage, shrink } from './shrink';

const picture = sharp({ create: { width: 64, height: 48, channels: 3, background: '#b3461b' } });

test.each(['jpeg', 'png'] as const)('a real %s becomes a WebP of the requested width', async (format) => {
  const { bytes, width, height } = await shrink(await picture.clone().toFormat(format).toBuffer(), 32);
  expect([width, height]).toEqual([32, 24]);
  expect((await sharp(bytes).metadata()).format).toBe('webp');
});

test('a small image is not enlarged', async () => {
  expect(await shrink(await picture.clone().png().toBuffer(), 480)).toMatchObject({ width: 64, height: 48 });
});

test('an image taken sideways is rotated upright', async () => {
  const sideways = await picture.clone().withMetadata({ orientation: 6 }).jpeg().toBuffer();
  expect(await shrink(sideways, 480)).toMatchObject({ width: 48, height: 64 });
});

test.each(['jpeg', 'png'] as const)('a truncated %s is a BrokenImage with the reason', async (format) => {
  const noise = await sharp({
    create: {
      width: 200,
      height: 200,
      channels: 3,
      background: '#fff',
      noise: { type: 'gaussian', mean: 128, sigma: 30 },
    },
  })
    .toFormat(format)
    .toBuffer();
  const error = await shrink(noise.subarray(0, noise.length / 2), 32).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(BrokenImage);
  expect(String(error)).not.toBe('BrokenImage: ');
});

test('bytes that only start like a JPEG are a BrokenImage', async () => {
  const garbage = Buffer.concat([Buffer.from('ffd8ff', 'hex'), Buffer.alloc(500, 7)]);
  await expect(shrink(garbage, 32)).rejects.toBeInstanceOf(BrokenImage);
});
