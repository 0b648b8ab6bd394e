import { virtualClock } from '../../src/memory';
import type { OwnedPartition, Stored } from '../../src/ports/log';
import { PartitionDrain } from '../../src/spool/partition-drain';

const total = 2_000;
/** Sends 2,000 waiting records, while the process has `owned` partitions. Returns the sizes of the lists. */
async function listsOf(owned: number): Promise<readonly number[]> {
  const record = (offset: number): Stored => {
    return { partition: 0, offset, key: null, value: null, headers: {}, timeMs: 0 };
  };
  const partition: OwnedPartition = {
    partition: 0,
    epoch: 1,
    committed: null,
    lost: new AbortController().signal,
    check: () => undefined,
    cannotServe: () => undefined,
    commit: async () => undefined,
    async read(from, max, signal) {
      if (from < total) return Array.from({ length: Math.min(max.messages, total - from) }, (_, n) => record(from + n));
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
      return [];
    },
  };
  const lists: number[] = [];
  let place = 0;
  let ended = (): void => undefined;
  const all = new Promise<void>((resolve) => (ended = resolve));
  const drain = new PartitionDrain(
    {
      clock: virtualClock(),
      topic: 't',
      log: {
        async append(_, records) {
          lists.push(records.length);
          return records.map(() => ({ partition: 0, offset: place++ }));
        },
      },
      local: { trim: async () => undefined, bounds: async () => [{ partition: 0, start: 0, end: total }] },
      ensure: async () => undefined,
      owned: () => owned,
      park: async () => undefined,
      failing: () => undefined,
      sent: (_, offset) => offset === total && ended(),
    },
    partition,
  );
  void drain.run();
  await all;
  await drain.stop();
  return lists;
}

describe('the lists of a partition', () => {
  it('begin short, so that the first message is sent at once, and grow to 1,000 records', async () => {
    expect(await listsOf(1)).toEqual([20, 80, 320, 1_000, 580]);
  });

  it('are shorter in a process that sends many partitions', async () => {
    expect(await listsOf(24)).toEqual([20, 80, ...Array.from({ length: 7 }, () => 250), 150]);
    expect((await listsOf(100)).slice(0, 4)).toEqual([20, 80, 200, 200]);
  });
});
