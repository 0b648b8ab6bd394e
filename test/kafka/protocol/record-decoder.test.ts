import { at, measureBatch, writeBatch } from '../../../src/kafka/protocol/batch-writer';
import { RecordDecoder } from '../../../src/kafka/protocol/record-decoder';
import type { LogRecord, Stored } from '../../../src/ports/log';

const decoder = (...bytes: number[]): RecordDecoder => new RecordDecoder(Buffer.from(bytes));

describe('the decoder of records', () => {
  it.each([
    [[0], 0],
    [[1], -1],
    [[2], 1],
    [[127], -64],
    [[128, 1], 64],
    [[254, 255, 255, 255, 15], 2_147_483_647],
    [[255, 255, 255, 255, 15], -2_147_483_648],
  ])('reads the zigzag varint %j as %d', (bytes, value) => {
    expect(decoder(...bytes).varint()).toBe(value);
  });

  it('rejects a varint that does not end', () => {
    expect(() => decoder(128, 128).varint()).toThrow('a number ends outside of the batch');
    expect(() => decoder(128, 128, 128, 128, 128, 0).varint()).toThrow('a number of more than 5 bytes');
    expect(decoder(128, 128, 128, 128, 128, 0).varint(10)).toBe(0);
  });

  it('reads bytes up to its end, and null for a negative length', () => {
    expect(decoder(4, 7, 8).blob()).toEqual(Buffer.from([7, 8]));
    expect(decoder(1).blob()).toBeNull();
    expect(() => decoder(6, 7, 8).blob()).toThrow('3 bytes announced, 2 there');
  });

  it('copies the records from an offset on, apart from the bytes of the batch', () => {
    const sent = ['a', 'b'].map((text): LogRecord => {
      return { key: Buffer.from(text), value: null, headers: { bus: text, other: 'x' } };
    });
    const { bytes, sizes } = measureBatch(sent);
    const batch = Buffer.alloc(bytes);
    writeBatch(batch, 0, sent, sizes, 1_700_000_000_000);
    const read: Stored[] = [];
    new RecordDecoder(batch.subarray(at.records)).readAll({ bytes: batch, partition: 3, from: 1 }, 0, read);
    batch.fill(0);
    expect(read).toEqual([
      {
        partition: 3,
        offset: 1,
        timeMs: 1_700_000_000_000,
        key: Buffer.from('b'),
        value: null,
        headers: { bus: 'b', other: 'x' },
      },
    ]);
  });
});
