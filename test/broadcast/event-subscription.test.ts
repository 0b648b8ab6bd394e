/** Memory of a plain listener that does not keep up. */
import { limits } from '../../src/base/limits';
import { closable } from '../../src/base/lifecycle';
import { openNotices, type Notice } from '../../src/base/notices';
import { openEventSubscription } from '../../src/broadcast/event-subscription';
import { defineModule, event, unchecked } from '../../src/contract/contract';
import { openScopes } from '../../src/delivery/context';
import { printEnvelope } from '../../src/format/envelope-printer';
import { encodeBody } from '../../src/format/codec';
import { virtualClock } from '../../src/memory';
import type { Log, ReadMax, Stored, Topic } from '../../src/ports/log';
import { turns } from './turns';

const { sold } = defineModule('shop', { sold: event(unchecked<string>()) });
const topic: Topic = { name: 't.shop.events', partitions: 1, compacted: false, keepMs: 1_000 };
/** Set when a test has ended, since the endless log would be read further. */
let isOver = false;
beforeEach(() => (isOver = false));
afterEach(() => (isOver = true));

/** A log with an endless topic: each read returns as many events as allowed. */
function endlessLog(bodyBytes: number) {
  const value = encodeBody('x'.repeat(bodyBytes), 1_000_000);
  const given = { records: 0, bytes: 0 };
  const read = async (max: ReadMax): Promise<readonly Stored[]> => {
    await turns(1); // like a read from a disk or a socket
    if (isOver) await new Promise(() => {});
    const count = Math.max(1, Math.min(max.messages, Math.floor(max.bytes / value.length)));
    return Array.from({ length: count }, (): Stored => {
      const id = `id${given.records++}`;
      given.bytes += value.length;
      const bus = printEnvelope({ kind: 'event', entry: sold.name, id, from: 'shop#1' });
      return { partition: 0, offset: given.records, timeMs: 0, key: null, value, headers: { bus } };
    });
  };
  const tail = { read, ...closable(async () => undefined) };
  // The listener calls only these functions of the log.
  const log = { ensure: async () => topic, tail: async () => tail } as unknown as Log;
  return { log, given };
}

async function listening(bodyBytes: number) {
  const clock = virtualClock();
  const notices = openNotices();
  const told: Notice[] = [];
  notices.watch((notice) => told.push(notice));
  const { log, given } = endlessLog(bodyBytes);
  const subscription = await openEventSubscription(
    { clock, notices, scopes: openScopes(), middleware: [], log, drainMs: 1_000 },
    {
      ...topic,
      keepMs: 1,
    } as never,
  );
  const ends: (() => void)[] = [];
  subscription.add(sold, () => new Promise<void>((resolve) => ends.push(resolve)));
  return { given, told, ends };
}

test.each([
  ['small events by count', 10, { records: limits.bufferMessagesMax }],
  ['large events by bytes', 900_000, { bytes: limits.bufferBytesMax }],
])('a hanging listener bounds %s, emits a notice, and resumes reading later', async (_what, bodyBytes, bound) => {
  const { given, told, ends } = await listening(bodyBytes);
  await turns(200);
  const atBound = { ...given };
  await turns(200);
  expect(given).toEqual(atBound);
  for (const [what, max] of Object.entries(bound)) {
    const figure = atBound[what as keyof typeof atBound]; // the table names its fields
    expect(figure).toBeLessThanOrEqual(max);
    expect(figure).toBeGreaterThan(max * 0.9);
  }
  expect(told).toEqual([
    expect.objectContaining({ type: 'stuck', queue: topic.name, reason: expect.stringContaining('do not keep up') }),
  ]);
  while (ends.length > 0 && given.records === atBound.records) {
    ends.splice(0).forEach((end) => end());
    await turns(2);
  }
  expect(given.records).toBeGreaterThan(atBound.records);
});
