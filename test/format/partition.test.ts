import { murmur2, partitionOf } from '../../src/format/partition';

const bytes = (text: string): Uint8Array => Buffer.from(text);

describe('partitionOf', () => {
  // The vectors of Kafka's own org.apache.kafka.common.utils.UtilsTest.
  it.each([
    ['21', -973932308],
    ['foobar', -790332482],
    ['a-little-bit-long-string', -985981536],
    ['a-little-bit-longer-string', -1486304829],
    ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
    ['abc', 479470107],
  ])("hashes %j like Kafka's Java client", (key, hash) => {
    expect(murmur2(bytes(key))).toBe(hash);
  });

  it('clears the sign bit instead of negating, like Java', () => {
    expect(partitionOf(bytes('21'), 12)).toBe((-973932308 & 0x7fffffff) % 12);
    expect(partitionOf(bytes('21'), 12)).not.toBe(973932308 % 12);
  });

  it('assigns every key, including the empty one, to a valid partition', () => {
    for (const partitions of [1, 2, 12, 64]) {
      const keys = Array.from({ length: 50 }, (_, length) => new Uint8Array(length).fill(length * 37));
      const places = keys.map((key) => partitionOf(key, partitions));
      expect(Math.min(...places)).toBeGreaterThanOrEqual(0);
      expect(Math.max(...places)).toBeLessThan(partitions);
    }
  });
});
