import { BadRecord, decodeRecord, encodeRecord, timeOf } from '../../../src/embedded/store/record-format';
import type { LogRecord } from '../../../src/ports/log';

const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));
const hex = (part: Uint8Array | null): string | null => part && Buffer.from(part).toString('hex');
/** Converts bytes to hex: expect compares byte by byte, which takes a second for 100 kB. */
const readable = (record: LogRecord): object => ({ ...record, key: hex(record.key), value: hex(record.value) });

function isBad(block: Buffer): boolean {
  try {
    decodeRecord(block, 0, 0);
    return false;
  } catch (error) {
    return error instanceof BadRecord;
  }
}

describe('a record as bytes', () => {
  const cases: Record<string, LogRecord> = {
    'with everything': { key: bytes('k'), value: bytes('value'), headers: { bus: 'é 漢 🚌', traceparent: '00' } },
    'with nothing': { key: null, value: null, headers: {} },
    'with empty parts': { key: bytes(''), value: bytes(''), headers: { '': '' } },
    'with a header called __proto__': { key: null, value: bytes('v'), headers: JSON.parse('{"__proto__":"x"}') },
    'with 100 kB and 255 headers': {
      key: bytes('k'.repeat(100_000)),
      value: bytes('v'.repeat(100_000)),
      headers: Object.fromEntries(Array.from({ length: 255 }, (_, n) => [`header ${n}`, `${n}`.repeat(50)])),
    },
  };
  for (const [name, record] of Object.entries(cases)) {
    it(`is decoded unchanged ${name}`, () => {
      const stored = decodeRecord(encodeRecord(record, 1_234_567_890_123), 3, 99);
      expect(readable(stored)).toEqual({ ...readable(record), partition: 3, offset: 99, timeMs: 1_234_567_890_123 });
    });
  }

  it('has a time that is readable without decoding it', () => {
    expect(timeOf(encodeRecord(cases['with nothing']!, 1_795_349_705_574))).toBe(1_795_349_705_574);
  });

  it('shares no memory with the bytes it was read from', () => {
    const block = encodeRecord(cases['with everything']!, 1);
    const stored = decodeRecord(block, 0, 0);
    block.fill(0);
    expect(stored.value).toEqual(bytes('value'));
  });

  it('is rejected when any byte has changed or bytes are missing', () => {
    const block = encodeRecord(cases['with everything']!, 1);
    const read: number[] = [];
    for (let index = 0; index < block.length; index += 1) {
      const damaged = Buffer.from(block);
      damaged[index]! ^= 1;
      if (!isBad(damaged) || !isBad(block.subarray(0, index))) read.push(index);
    }
    expect(read).toEqual([]);
  });

  it('rejects the layout of a newer version by its number', () => {
    const block = encodeRecord(cases['with nothing']!, 1);
    block[0] = 2;
    expect(() => decodeRecord(block, 0, 0)).toThrow('layout 2, this version supports 1');
  });

  it('rejects more headers, or longer header names, than the layout can hold', () => {
    const many = Object.fromEntries(Array.from({ length: 256 }, (_, n) => [`${n}`, '']));
    expect(() => encodeRecord({ key: null, value: null, headers: many }, 1)).toThrow('at most 255 headers, not 256');
    const long = { ['n'.repeat(256)]: '' };
    expect(() => encodeRecord({ key: null, value: null, headers: long }, 1)).toThrow('at most 255 bytes, not 256');
  });
});
