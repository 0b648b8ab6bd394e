/** Assigns keys to partitions in the same way as Kafka's Java producer. */

/** Returns the partition of `key`, from 0 to `partitions` - 1. */
export function partitionOf(key: Uint8Array, partitions: number): number {
  return (murmur2(key) & 0x7fffffff) % partitions;
}

/** Computes MurmurHash2 with Kafka's seed, as a signed 32-bit number. */
export function murmur2(key: Uint8Array): number {
  const { length } = key;
  const whole = length & ~3;
  let hash = 0x9747b28c ^ length;
  for (let at = 0; at < whole; at += 4) {
    let word = byteOf(key, at) | (byteOf(key, at + 1) << 8) | (byteOf(key, at + 2) << 16) | (byteOf(key, at + 3) << 24);
    word = Math.imul(word, mix);
    word = Math.imul(word ^ (word >>> 24), mix);
    hash = Math.imul(hash, mix) ^ word;
  }
  if (whole < length) {
    // Mix in the last one to three bytes. Bytes beyond the end count as 0, which does not change the hash.
    hash ^= byteOf(key, whole) | (byteOf(key, whole + 1) << 8) | (byteOf(key, whole + 2) << 16);
    hash = Math.imul(hash, mix);
  }
  hash = Math.imul(hash ^ (hash >>> 13), mix);
  return hash ^ (hash >>> 15);
}

const mix = 0x5bd1e995;

function byteOf(key: Uint8Array, at: number): number {
  return key[at] ?? 0;
}
