import zlib from 'node:zlib';
import fc from 'fast-check';
import type { LogRecord } from '../../../src/ports/log';
import { at, measureBatch, writeBatch } from '../../../src/kafka/protocol/batch-writer';
import { readI64, Reader, writeI64, Writer } from '../../../src/kafka/protocol/primitives';
import { crc32c } from '../../../src/kafka/protocol/crc32c';
import { parseEnvelope } from '../../../src/format/envelope-parser';
import { readRecords, BatchRead } from '../../../src/kafka/protocol/batch-reader';
import { anyCharacter } from '../../characters';
import { cpuMs } from '../../elapsed';

const record = (value: string, headers: Record<string, string> = {}): LogRecord => ({
  key: null,
  value: Buffer.from(value),
  headers,
});

function batchOf(records: readonly LogRecord[], baseOffset = 0, timeMs = 1_700_000_000_000): Buffer {
  const { bytes, sizes } = measureBatch(records);
  const buffer = Buffer.alloc(bytes + 10, 0xee);
  writeBatch(buffer, 5, records, sizes, timeMs);
  expect([...buffer.subarray(0, 5), ...buffer.subarray(-5)]).toEqual(Array.from({ length: 10 }, () => 0xee));
  const batch = Buffer.from(buffer.subarray(5, -5));
  writeI64(batch, baseOffset, at.baseOffset); // as the broker does; the checksum does not cover it
  return batch;
}

/** Changes a batch as a foreign client would have written it, with a matching checksum. */
function altered(batch: Buffer, change: (batch: Buffer) => void): Buffer {
  change(batch);
  batch.writeUInt32BE(crc32c(batch, at.attributes, batch.length), at.checksum);
  return batch;
}

describe('the checksum of record batches', () => {
  it('is CRC-32C', () => {
    expect(crc32c(Buffer.from('123456789'), 0, 9)).toBe(0xe3069283);
    expect(crc32c(Buffer.alloc(32), 0, 32)).toBe(0x8a9136aa);
  });
});

describe('a record batch', () => {
  it('is read as it was written, byte for byte, and distinguishes null from empty', () => {
    const bytes = fc.option(fc.uint8Array({ maxLength: 200 }));
    // An object literal cannot have this key as its own property.
    const text = fc.string({ unit: anyCharacter, maxLength: 100 }).filter((one) => one !== '__proto__');
    const records = fc.array(
      fc.record({ key: bytes, value: bytes, headers: fc.dictionary(text, text, { maxKeys: 5 }) }),
      {
        minLength: 1,
        maxLength: 20,
      },
    );
    fc.assert(
      fc.property(records, fc.nat(2 ** 52), (written, offset) => {
        const { records: read, next, error } = readRecords(batchOf(written, offset), 7, offset);
        expect(error).toBeNull();
        expect(next).toBe(offset + written.length);
        expect(read).toEqual(
          written.map(({ key, value, headers }, i) => ({
            partition: 7,
            offset: offset + i,
            timeMs: 1_700_000_000_000,
            key: key && Buffer.from(key),
            value: value && Buffer.from(value),
            headers: { ...headers },
          })),
        );
      }),
      { numRuns: 100 },
    );
  });

  it('returns copies, so that a kept record does not retain the response', () => {
    const batch = batchOf([record('kept')]);
    const [kept] = readRecords(batch, 0, 0).records;
    batch.fill(0);
    expect(kept?.value?.toString()).toBe('kept');
  });

  it('is read from the requested offset on, and ignored when the broker truncated it', () => {
    const two = Buffer.concat([batchOf([record('a'), record('b')], 10), batchOf([record('c'), record('d')], 12)]);
    const values = (bytes: Buffer, from: number) => {
      const { records, next } = readRecords(bytes, 0, from);
      return [records.map(({ value }) => value?.toString()), next];
    };
    expect(values(two, 11)).toEqual([['b', 'c', 'd'], 14]);
    expect(values(two.subarray(0, -1), 11)).toEqual([['b'], 12]);
    expect(values(two.subarray(0, 30), 10)).toEqual([[], 10]);
  });

  it('is skipped when compaction has removed its records', () => {
    const emptied = altered(batchOf([record('a')], 20), (batch) => {
      batch.writeInt32BE(4, at.lastDelta); // records 20 to 24, which were removed
    });
    expect(readRecords(emptied, 0, 21)).toEqual({ records: [], next: 25, error: null });
  });

  it('has the timestamp of the broker when its timestamp type is LogAppendTime', () => {
    const stamped = altered(batchOf([record('a'), record('b')]), (batch) => {
      batch.writeInt16BE(8, at.attributes);
      writeI64(batch, 1_800_000_000_000, at.maxTime);
    });
    expect(readRecords(stamped, 0, 0).records.map(({ timeMs }) => timeMs)).toEqual([
      1_800_000_000_000, 1_800_000_000_000,
    ]);
  });

  describe('with timestamps in nanoseconds', () => {
    const nanoseconds = 1_700_000_000_000_000_000n;
    const inNanoseconds = (batch: Buffer): void => {
      batch.writeBigInt64BE(nanoseconds, at.baseTime);
    };
    /** Returns a batch of one record whose time delta is the lowest possible number, of ten bytes. */
    const farApart = (): Buffer => {
      const body = Buffer.from('00ffffffffffffffffff010001026100', 'hex');
      const records = Buffer.concat([Buffer.from([body.length * 2]), body]);
      const head = batchOf([record('a')]).subarray(0, at.records);
      return altered(Buffer.concat([head, records]), (whole) => {
        whole.writeInt32BE(whole.length - at.leaderEpoch, at.length);
        inNanoseconds(whole);
      });
    };
    const said = (bytes: Buffer) => {
      const { records, error } = readRecords(bytes, 0, 0);
      return [records.map(({ value, timeMs }) => [value?.toString(), timeMs]), error];
    };
    const stamped = (batch: Buffer): Buffer =>
      altered(batch, () => {
        batch.writeInt16BE(8, at.attributes);
        writeI64(batch, 1_800_000_000_000, at.maxTime);
      });

    it('is read with the timestamp of the broker when its timestamp type is LogAppendTime', () => {
      const batch = altered(batchOf([record('a')]), inNanoseconds);
      expect(said(stamped(batch))).toEqual([[['a', 1_800_000_000_000]], null]);
      expect(said(stamped(farApart()))).toEqual([[['a', 1_800_000_000_000]], null]);
    });

    it('is read with a valid date or -1 when its timestamp type is CreateTime', () => {
      const [[[, timeMs]], error] = said(altered(batchOf([record('a')]), inNanoseconds)) as [[[string, number]], null];
      expect([error, new Date(timeMs).getUTCFullYear()]).toEqual([null, 275_760]);
      expect(said(farApart())).toEqual([[['a', -1]], null]);
    });
  });

  /** Compresses a batch as a foreign client would. */
  function packed(batch: Buffer, codec: number, pack: (bytes: Buffer) => Buffer): Buffer {
    return altered(Buffer.concat([batch.subarray(0, at.records), pack(batch.subarray(at.records))]), (whole) => {
      whole.writeInt16BE(codec, at.attributes);
      whole.writeInt32BE(whole.length - at.leaderEpoch, at.length);
    });
  }

  it('is rejected when it has more than 200,000 records, however well it is compressed', () => {
    const many = (count: number) => packed(batchOf(Array.from({ length: count }, () => record(''))), 1, zlib.gzipSync);
    const { records, error } = readRecords(many(200_001), 0, 0);
    expect([records, error?.code, error?.until]).toEqual([[], 'UNDECODABLE', 200_001]);
    expect(readRecords(many(200_000), 0, 0).records).toHaveLength(200_000);
  });

  it('is left unread once its response has yielded the maximum number of records', () => {
    const batch = batchOf(Array.from({ length: 60_000 }, () => record('')));
    const batches = [0, 60_000, 120_000].map((offset) => {
      const one = packed(batch, 1, zlib.gzipSync);
      writeI64(one, offset, at.baseOffset);
      return one;
    });
    const taken = new BatchRead();
    const first = readRecords(Buffer.concat(batches), 0, 0, [], taken);
    expect([first.records.length, first.next, first.error]).toEqual([120_000, 120_000, null]);
    expect(readRecords(batches[0]!, 1, 7, [], taken)).toEqual({ records: [], next: 7, error: null });
    const rest = readRecords(batches[2]!, 0, 120_000);
    expect([rest.records.length, rest.next]).toEqual([60_000, 180_000]);
  });

  it('is decompressed, and rejected with its codec when that is unknown', () => {
    const plain = batchOf([record('packed')], 3);
    const [read] = readRecords(packed(plain, 1, zlib.gzipSync), 0, 3).records;
    expect(read?.value?.toString()).toBe('packed');
    const { error, next } = readRecords(packed(plain, 5, zlib.gzipSync), 0, 3);
    expect(error).toMatchObject({ code: 'UNSUPPORTED_COMPRESSION_TYPE', step: 'fatal', until: 4 });
    expect(error?.message).toContain('codec 5');
    expect(next).toBe(3);
  });

  it('is rejected when it decompresses to more than the limit', () => {
    const bomb = packed(batchOf([record('x')]), 1, () => zlib.gzipSync(Buffer.alloc(65 * 1024 * 1024)));
    expect(readRecords(bomb, 0, 0).error).toMatchObject({ code: 'UNDECODABLE', until: 1 });
  });

  it('is reported with its offsets when damaged, and the records before it are returned', () => {
    const damaged = batchOf([record('b'), record('c')], 1);
    damaged[at.records + 4] = 99;
    const { records, next, error } = readRecords(Buffer.concat([batchOf([record('a')]), damaged]), 0, 0);
    expect([records.length, next, error?.code, error?.until]).toEqual([1, 1, 'CORRUPT_MESSAGE', 3]);
  });

  it('ends before the next intact batch, whichever single bit of it is flipped', () => {
    const whole = batchOf(['a', 'b', 'c', 'd', 'e'].map((value) => record(value)));
    const behind = batchOf([record('f')], 5);
    for (let bit = at.leaderEpoch * 8; bit < whole.length * 8; bit++) {
      const bytes = Buffer.from(whole);
      bytes[bit >> 3]! ^= 1 << (bit & 7);
      const alone = readRecords(bytes, 0, 0).error;
      if (bit < at.version * 8)
        expect([bit, alone]).toEqual([bit, null]); // the leader epoch is not read
      else {
        expect([bit, alone?.code]).toEqual([bit, 'CORRUPT_MESSAGE']);
        expect(alone?.until).toBeLessThanOrEqual(5); // a later batch is never skipped with it
        expect([bit, readRecords(Buffer.concat([bytes, behind]), 0, 0).error?.until]).toEqual([bit, 5]);
      }
    }
  });

  it('returns neither records of an aborted transaction nor control records', () => {
    const transactional = (batch: Buffer, control = false): Buffer =>
      altered(batch, () => {
        batch.writeInt16BE(control ? 0x30 : 0x10, at.attributes);
        writeI64(batch, 5, at.producer);
      });
    const marker = (offset: number, type: number): Buffer => {
      const key = Buffer.from([0, 0, 0, type]);
      return transactional(batchOf([{ key, value: Buffer.alloc(6), headers: {} }], offset), true);
    };
    const log = Buffer.concat([
      transactional(batchOf([record('aborted')], 0)),
      batchOf([record('plain')], 1),
      marker(2, 0),
      transactional(batchOf([record('committed')], 3)),
      marker(4, 1),
    ]);
    const { records, next } = readRecords(log, 0, 0, [{ producer: 5, first: 0 }]);
    expect(records.map(({ offset, value }) => [offset, value?.toString()])).toEqual([
      [1, 'plain'],
      [3, 'committed'],
    ]);
    expect(next).toBe(5);
  });

  it('keeps both lines of a duplicate envelope header, so that neither is valid', () => {
    const batch = altered(batchOf([record('x', { bus: 'one', bux: 'two' })]), (bytes) => {
      bytes.write('bus', bytes.indexOf('bux'));
    });
    const [read] = readRecords(batch, 0, 0).records;
    expect(read?.headers).toEqual({ bus: 'one\ntwo' });
    expect(parseEnvelope(read?.headers['bus'] ?? '')).toHaveProperty('bad');
  });

  it('is read within 100 ms with 20,000 headers, of which it keeps 100', () => {
    const many = Object.fromEntries(Array.from({ length: 20_000 }, (_, i) => [`h${i}`, 'x']));
    const bomb = batchOf([record('bomb', many), record('after', { bus: 'line' })]);
    const tookMs = Math.min(...[1, 2, 3].map(() => cpuMs(() => readRecords(bomb, 0, 0)))); // excludes garbage of other tests
    expect(tookMs).toBeLessThan(100);
    const { records } = readRecords(bomb, 0, 0);
    expect(Object.keys(records[0]?.headers ?? {}).length).toBe(100);
    expect(records[1]?.headers).toEqual({ bus: 'line' });
  });

  it('yields at most its own number of records, whatever bytes are changed', () => {
    const whole = batchOf(Array.from({ length: 20 }, (_, i) => record(`value ${i}`, { bus: 'x' })));
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { minLength: 1, maxLength: 8 }),
        (changes) => {
          const bytes = Buffer.from(whole);
          for (const [place, byte] of changes) bytes[place] = byte;
          if (bytes.readInt32BE(at.length) === whole.length - at.leaderEpoch)
            bytes.writeUInt32BE(crc32c(bytes, at.attributes, bytes.length), at.checksum);
          const { records } = readRecords(bytes, 0, 0);
          expect(records.length).toBeLessThanOrEqual(20);
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe('numbers, strings and lists', () => {
  it('are read as they were written', () => {
    const writer = new Writer(1)
      .i8(-3)
      .i16(-300)
      .i32(-70_000)
      .i64(-1)
      .i64(2 ** 53 - 1)
      .text('é')
      .text(null);
    writer
      .bool(true)
      .blob(Buffer.from('b'))
      .list([1, 2], (n) => writer.i16(n))
      .list(null, () => undefined);
    const reader = new Reader(writer.bytes);
    expect([reader.i8(), reader.i16(), reader.i32(), reader.i64(), reader.i64()]).toEqual([
      -3,
      -300,
      -70_000,
      -1,
      2 ** 53 - 1,
    ]);
    expect([reader.text(), reader.textOrNull(), reader.bool(), reader.blob().toString()]).toEqual([
      'é',
      null,
      true,
      'b',
    ]);
    expect([reader.list((one) => one.i16()), reader.list((one) => one.i16()), reader.left]).toEqual([[1, 2], [], 0]);
  });

  it('are rejected before any allocation when they announce more than the buffer holds', () => {
    expect(() => new Reader(Buffer.from('7fffffff', 'hex')).list((one) => one.i8())).toThrow(RangeError);
    expect(() => new Reader(Buffer.from('7fffffff00', 'hex')).blob()).toThrow(RangeError);
    expect(() => new Reader(Buffer.from('0005616263', 'hex')).text()).toThrow(RangeError);
    expect(() => readI64(Buffer.from('7fffffffffffffff', 'hex'), 0)).toThrow(RangeError);
  });
});
