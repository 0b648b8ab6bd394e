import { virtualClock } from '../../../src/memory';
import type { OwnedPartition, ReadMax, Stored } from '../../../src/ports/log';
import { Reader, type ReaderParts } from '../../../src/work/queue/reader';

/** A reader of an endless log, and the message counts that it requested. */
function open(room: () => ReadMax) {
  const clock = virtualClock();
  const asked: number[] = [];
  let next = 0;
  const record = (): Stored => ({ partition: 0, offset: next++, key: null, value: null, headers: {}, timeMs: 0 });
  const owned: Pick<OwnedPartition, 'read'> = {
    read: async (_from, { messages }) => {
      asked.push(messages);
      return Array.from({ length: messages }, record);
    },
  };
  const parts: ReaderParts = {
    clock,
    owned: owned as OwnedPartition, // it only reads
    admit: () => undefined,
    come: () => undefined,
    room,
    roomy: () => true,
    lowest: () => 0,
    stuck: () => undefined,
    gap: () => undefined,
    cut: () => Promise.resolve(),
    lost: () => undefined,
    report: () => undefined,
  };
  return { clock, asked, reader: new Reader(parts, 0, undefined) };
}

test('a reader requests no messages without room, also when new room is used meanwhile', async () => {
  let free = 2;
  const { clock, asked, reader } = open(() => ({ messages: free, bytes: 1_000 }));
  const running = reader.run();
  free = 0;
  await clock.advance(10);
  for (let n = 0; n < 3; n++) {
    free = 1;
    reader.look();
    free = 0; // before the reader continues
    await clock.advance(10);
  }
  expect(asked).toEqual([2]);
  free = 1;
  reader.look();
  await Promise.resolve();
  free = 0;
  await clock.advance(10);
  reader.stop();
  await running;
  expect(asked.filter((messages) => messages === 0)).toEqual([]);
});
