/** Detects image types by their first bytes, since names and content types can be wrong. */

const jpeg = Uint8Array.of(0xff, 0xd8, 0xff);
const png = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);

/** Returns undefined for every other type. Does not check whether the rest of the image is complete. */
export function imageType(bytes: Uint8Array): 'image/jpeg' | 'image/png' | undefined {
  if (startsWith(bytes, jpeg)) return 'image/jpeg';
  return startsWith(bytes, png) ? 'image/png' : undefined;
}

/** Returns the first bytes in readable form, such as `25 50 44 46`. */
export function sayStart(bytes: Uint8Array): string {
  return Buffer.from(bytes.subarray(0, png.length))
    .toString('hex')
    .replace(/..(?=.)/g, '$& ');
}

function startsWith(bytes: Uint8Array, start: Uint8Array): boolean {
  return start.every((byte, index) => bytes[index] === byte);
}
