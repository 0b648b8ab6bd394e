import { BusError } from '../../../src/base/errors';
import type { Store } from '../../../src/disk/lmdb';
import { Appender } from '../../../src/embedded/store/append';
import type { Topics } from '../../../src/embedded/store/topics';
import { seededRandom, virtualClock } from '../../../src/memory';
import type { Append, Topic } from '../../../src/ports/log';

const topic: Topic = { name: 'topic', partitions: 2, compacted: false, keepMs: null };
const record = (partition: number): Append => ({ partition, key: null, value: Buffer.from('x'), headers: {} });
const refusal = new BusError('Unreachable', 'not writable', { outcome: 'not-sent', waitedMs: 0 });

/** An appender on a store that accepts the first writes and rejects the others. */
function open(writesTaken: number): Appender {
  let writes = 0;
  // The casts: an appender uses nothing else of these two.
  const store = {
    path: '/log',
    refresh: () => undefined,
    holder: () => '',
    version: () => undefined,
    write: async () => {
      if (++writes > writesTaken) throw refusal;
      return true;
    },
  } as unknown as Store;
  const topics = { get: () => topic, edge: () => ({ offset: 0, bytes: 0 }) } as unknown as Topics;
  return new Appender({ store, topics, clock: virtualClock(), random: seededRandom(1), appended: () => undefined });
}

test('an append that was rejected as a whole has the outcome not-sent and is retryable', async () => {
  const error: unknown = await open(0)
    .append('topic', [record(0)])
    .catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({ details: { outcome: 'not-sent' }, retryable: true });
});

test('an append that was written in part has an unknown outcome and is not retryable', async () => {
  const error: unknown = await open(1)
    .append('topic', [record(0), record(1)])
    .catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({ code: 'Unreachable', details: { outcome: 'unknown' }, retryable: false });
});
