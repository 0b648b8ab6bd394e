import { limits } from '../../../src/base/limits';
import { openBuffered, Room } from '../../../src/work/queue/read-ahead';

/** The room of a partition at `watermark`, and the offers of refused messages. */
function open({ isHungry = false, stateBytesMax = 1_000_000 } = {}) {
  const watermark = { at: 0, seen: 1_000, openRanges: 0, unsettled: 0 };
  const offers: (number | undefined)[] = [];
  const commit = { isFull: false };
  const room = new Room({
    watermark,
    stateBytesMax: () => stateBytesMax,
    running: new Set(),
    seenBefore: 0,
    whole: openBuffered(),
    isHungry: () => isHungry,
    wake: () => undefined,
    isCommitFull: () => commit.isFull,
    offer: (offset) => offers.push(offset),
  });
  return { room, watermark, offers, commit };
}

test('reads few messages while the handlers are busy', () => {
  const { room } = open();
  expect(room.next(0).messages).toBe(32);
  for (let n = 0; n < 32; n++) room.add({ bytes: 10 });
  expect(room.next(0)).toEqual({ messages: 0, bytes: 0 });
  expect(room.isWorth(0)).toBe(false);
  for (let n = 0; n < 9; n++) room.remove({ bytes: 10 });
  expect(room.isWorth(0)).toBe(true);
});

test('reads up to a full buffer while handlers are free', () => {
  const { room } = open({ isHungry: true });
  for (let n = 0; n < 32; n++) room.add({ bytes: 10 });
  expect(room.next(0).messages).toBe(1_000);
  expect(room.isWorth(0)).toBe(true);
});

test('at the limit of ranges, starts only the lowest message and reads nothing', () => {
  const { room, watermark } = open();
  watermark.openRanges = limits.openRangesMax;
  expect(room.rangesMax).toBe(limits.openRangesMax);
  expect(room.mayStart(7)).toBe(false);
  expect(room.mayStart(0)).toBe(true);
  expect(room.next(1_000)).toEqual({ messages: 0, bytes: 0 });
});

test('offers a refused message when it is the lowest, and all of them when there is room for ranges', () => {
  const { room, watermark, offers } = open();
  watermark.openRanges = limits.openRangesMax;
  room.mayStart(7);
  room.settled(false);
  expect(offers).toEqual([]);
  watermark.at = 7;
  room.settled(true);
  expect(offers).toEqual([7]);
  watermark.openRanges = 0;
  room.settled(false);
  room.settled(false); // none is refused now
  expect(offers).toEqual([7, undefined]);
});

test('starts no message while a commit is full, and offers the refused ones after it', () => {
  const { room, offers, commit } = open();
  expect(room.committed()).toBe(false);
  commit.isFull = true;
  expect(room.mayStart(0)).toBe(false);
  commit.isFull = false;
  expect(room.committed()).toBe(true);
  expect(offers).toEqual([undefined]);
});

test('describes what fills the room', () => {
  const { room, watermark } = open();
  Object.assign(watermark, { unsettled: 3, openRanges: 2 });
  expect(room.describeFull()).toBe('3 messages are in memory, 2 ranges are settled above it');
});
