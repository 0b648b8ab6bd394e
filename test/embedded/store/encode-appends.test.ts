import { limits } from '../../../src/base/limits';
import { encodeAppends } from '../../../src/embedded/store/encode-appends';
import type { Append, Topic } from '../../../src/ports/log';

const topic: Topic = { name: 'topic', partitions: 2, compacted: false, keepMs: null };
const record = (partition: number, value = Buffer.from('x')): Append => ({ partition, key: null, value, headers: {} });

test('encodes every record, and sums their bytes', () => {
  const { encoded, bytes } = encodeAppends(topic, [record(0), record(1)], 7);
  expect(encoded).toHaveLength(2);
  expect(bytes).toBe(encoded.reduce((sum, { length }) => sum + length, 0));
});

test.each([-1, 2, 0.5])('rejects partition %d of a topic with two', (partition) => {
  expect(() => encodeAppends(topic, [record(0), record(partition)], 7)).toThrow(
    expect.objectContaining({ code: 'Config', message: expect.stringContaining('has 2 partitions') }),
  );
});

test('rejects a record of a compacted topic without a key, and a record that is too large', () => {
  expect(() => encodeAppends({ ...topic, compacted: true }, [record(0)], 7)).toThrow('needs a key');
  const large = Buffer.alloc(limits.messageBytesMax + 128 * 1024);
  expect(() => encodeAppends(topic, [record(0, large)], 7)).toThrow(expect.objectContaining({ code: 'TooLarge' }));
});
