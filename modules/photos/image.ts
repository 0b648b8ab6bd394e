/** Tells images by their first bytes: names and content types are what somebody says, bytes are what they are. */

const jpeg = Uint8Array.of(0xff, 0xd8, 0xff);
const png = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);

/** undefined for everything that is neither. Says nothing about whether the rest of the image is whole. */
export function imageType(bytes: Uint8Array): 'image/jpeg' | 'image/png' | undefined {
  if (startsWith(bytes, jpeg)) return 'image/jpeg';
  return startsWith(bytes, png) ? 'image/png' : undefined;
}

/** The first bytes for a person, such as `25 50 44 46`. */
export function sayStart(bytes: Uint8Array): string {
  return Buffer.from(bytes.subarray(0, png.length))
    .toString('hex')
    .replace(/..(?=.)/g, '$& ');
}

function startsWith(bytes: Uint8Array, start: Uint8Array): boolean {
  return start.every((byte, index) => bytes[index] === byte);
}
