import { openNotices, type Notice } from '../../../src/base/notices';
import { printEnvelope } from '../../../src/format/envelope-printer';
import { virtualClock } from '../../../src/memory';
import type { Stored } from '../../../src/ports/log';
import type { Holder, Message } from '../../../src/work/message';
import { emptyState } from '../../../src/work/progress/commit-state';
import { Admission } from '../../../src/work/queue/admission';
import { PartitionNotices } from '../../../src/work/queue/partition-notices';
import { PartitionState } from '../../../src/work/queue/partition-state';
import type { Queue } from '../../../src/work/types';
import { group, jobs, parked, topic } from '../../support/work-queue';

const record = (offset: number, entry: string, position: number, given?: string): Stored => ({
  partition: 0,
  offset,
  key: null,
  value: Buffer.from('{}'),
  headers: {
    bus: printEnvelope({
      kind: 'work',
      entry,
      id: given ?? `id${offset}`,
      once: given === undefined ? undefined : 'given',
      from: 'web#1',
      stamp: { incarnation: '9f86d081884c7d65', position },
    }),
  },
  timeMs: 0,
});

/** The admission of a queue that serves photos.resize, and what it does with records. */
function open({ other = 'hold' }: { other?: 'hold' | 'skip' } = {}) {
  const clock = virtualClock();
  const entries = new Map([['photos.resize', { entry: jobs().resize, run: () => undefined }]]);
  const queue: Queue = { name: 'photos.work', topic, group, parkedTopic: parked, entries, other };
  const state = new PartitionState({ clock, commitMs: 500 }, { offset: 0, state: emptyState(0) });
  const notices = openNotices();
  const emitted: Notice[] = [];
  notices.watch((notice) => emitted.push(notice));
  const added: string[] = [];
  const offered: (readonly string[])[] = [];
  let skipped = 0;
  const admission = new Admission({
    queue,
    state,
    lanes: { add: (message: Message) => added.push(message.id) },
    received: () => undefined,
    room: { add: () => undefined },
    clock,
    notices: new PartitionNotices(notices, queue.name, 0),
    holder: {} as Holder, // only kept in the message
    givenAway: 0,
    offer: (names) => offered.push(names),
    skipped: () => skipped++,
  });
  return { admission, clock, state, emitted, added, offered, skipped: () => skipped };
}

test('adds a message to the lanes, and reports it as received', () => {
  const { admission, state, emitted, added } = open();
  admission.admit(record(0, 'photos.resize', 1));
  expect(added).toEqual(['id0']);
  expect(emitted).toMatchObject([{ type: 'received', entry: 'photos.resize', id: 'id0' }]);
  expect(state.watermark.unsettled).toBe(1);
});

test('drops a repeated record and a record without a value', () => {
  const { admission, state, emitted, added, skipped } = open();
  admission.admit(record(0, 'photos.resize', 1));
  admission.admit(record(1, 'photos.resize', 1));
  admission.admit({ ...record(2, 'photos.resize', 2), value: null });
  expect(added).toEqual(['id0']);
  expect(emitted.slice(1)).toMatchObject([
    { type: 'dropped', id: 'id1', reason: 'repeated' },
    { type: 'dropped', id: 'id2', reason: 'it has no value' },
  ]);
  expect(skipped()).toBe(2);
  state.settle(0);
  expect(state.watermark.at).toBe(3);
});

test('holds a message of an entry that is not served, and offers the partition', async () => {
  const { admission, clock, emitted, added, offered } = open();
  admission.admit(record(0, 'photos.print', 1));
  expect(added).toEqual(['id0']);
  expect(emitted).toContainEqual(expect.objectContaining({ type: 'stuck', queue: 'photos.work' }));
  await clock.advance(0);
  expect(offered).toEqual([['photos.print']]);
});

test('drops a copy, and settles it', () => {
  const { admission, state, emitted, added } = open();
  for (const offset of [0, 1]) admission.admit(record(offset, 'photos.resize', offset + 1, 'x'));
  expect(added).toEqual(['x']);
  expect(emitted.at(-1)).toMatchObject({ type: 'dropped', id: 'x', reason: expect.stringMatching(/^it is a copy of/) });
  state.settle(0);
  expect(state.watermark.at).toBe(2);
});

test('a message with the id of another one waits like others if its entry is not served', () => {
  const { admission, emitted, added } = open();
  admission.admit(record(0, 'photos.print', 1, 'x'));
  admission.admit({ ...record(1, 'photos.print', 2, 'x'), value: Buffer.from('{"other":1}') });
  expect(added).toEqual(['x', 'x']);
  expect(emitted.filter(({ type }) => type === 'dropped')).toEqual([]);
  expect([...admission.unserved.all()]).toMatchObject([{ entry: 'photos.print', waiting: 2 }]);
});

test('a listener ignores the ids of entries that it does not handle', () => {
  const { admission, state, skipped } = open({ other: 'skip' });
  for (const offset of [0, 1]) admission.admit(record(offset, 'photos.print', offset + 1, 'x'));
  expect([skipped(), state.chosen]).toEqual([2, undefined]);
});

test('a listener skips entries that it does not handle', () => {
  const { admission, state, added, skipped } = open({ other: 'skip' });
  admission.admit(record(0, 'photos.print', 1));
  expect(added).toEqual([]);
  expect(skipped()).toBe(1);
  expect(state.watermark.at).toBe(1);
});
