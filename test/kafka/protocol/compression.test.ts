import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { unpack } from '../../../src/kafka/protocol/compression';
import { heavy } from '../../heavy';

const hex = (text: string): Buffer => Buffer.from(text.replace(/\s/g, ''), 'hex');
const [snappy, lz4] = [2, 3];
/** Returns a frame without checksums around blocks. */
const frame = (...blocks: string[]): Buffer => hex(`04224d18 60 40 82 ${blocks.join('')} 00000000`);

describe('snappy', () => {
  it('decodes literals and copies of earlier output, including overlapping ones', () => {
    // "ab", then four bytes from two back, then one literal: ab abab c
    expect(unpack(hex('07 04 6162 01 02 00 63'), snappy).toString()).toBe('abababc');
    // copies with offsets of two and of four bytes
    expect(unpack(hex('06 04 6162 06 0200 07 02000000'), snappy).toString()).toBe('ababab');
  });

  it('decodes literals longer than 64 KiB', () => {
    const long = randomBytes(70_000);
    const head = Buffer.from([0xf0, 0xa2, 0x04, 62 << 2, 0x6f, 0x11, 0x01]); // three bytes: 69,999
    expect(unpack(Buffer.concat([head, long]), snappy)).toEqual(long);
  });

  it('decodes the block format of Java', () => {
    const block = '00000004 02 04 6162';
    expect(unpack(hex(`82534e4150505900 00000001 00000001 ${block} ${block}`), snappy).toString()).toBe('abab');
  });
});

describe('lz4', () => {
  it('decodes compressed and plain blocks, with matches in the previous block', () => {
    // "ab" and a match of 4 from 2 back, then the last literals "c"
    expect(unpack(frame('07000000 20 6162 0200 10 63'), lz4).toString()).toBe('abababc');
    expect(unpack(frame('02000080 6162', '05000000 00 0200 10 63'), lz4).toString()).toBe('abababc');
    // a match of 15 + 5 + 4 bytes
    expect(unpack(frame('07000000 1f 61 0100 05 10 62'), lz4).toString()).toBe(`a${'a'.repeat(24)}b`);
  });
});

describe('compressed bytes', () => {
  it('are rejected when they are malformed', () => {
    expect(() => unpack(hex('07 04 6162 01 03'), snappy)).toThrow('before their start');
    expect(() => unpack(hex('07 f4 6162'), snappy)).toThrow(RangeError);
    expect(() => unpack(frame('ff000000 10 61'), lz4)).toThrow(RangeError);
    expect(() => unpack(frame('04000000 10 61 0500'), lz4)).toThrow('before their start');
    expect(() => unpack(hex('00000000'), lz4)).toThrow('not as a frame');
    expect(() => unpack(hex('00'), 9)).toThrow('codec 9');
  });

  heavy('never decompress to more than the limit, and decoding always terminates', () => {
    const longest = `1f 61 0100 ${'ff'.repeat(300_000)} 00`;
    const size = Buffer.alloc(4);
    size.writeUInt32LE(hex(longest).length);
    expect(() => unpack(frame(size.toString('hex'), longest), lz4)).toThrow('more than');
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), fc.constantFrom(snappy, lz4), (bytes, codec) => {
        const all = codec === lz4 ? Buffer.concat([hex('04224d18604082'), bytes]) : Buffer.from(bytes);
        try {
          expect(unpack(all, codec).length).toBeLessThan(64 * 1024 * 1024);
        } catch (error) {
          expect((error as Error).name).toBe('RangeError'); // Node throws RangeErrors of another realm
        }
      }),
      { numRuns: 1_000 },
    );
  });
});
