import { BusError } from '../../../src/base/errors';
import { limits } from '../../../src/base/limits';
import { virtualClock } from '../../../src/memory';
import { SentIds } from '../../../src/work/ids/sent-ids';

const entry = 'photos.resize';
const [body, other] = [Buffer.from('a'), Buffer.from('b')];
const given = () => 'x';
const claimIn = (ids: SentIds) => (of: string, id: string, bytes: Uint8Array) =>
  ids.call(given).choose(of, id, null, bytes);
const conflict = (text: string) =>
  expect.objectContaining({ code: 'Conflict', message: text, details: { key: 'x' }, retryable: false });

test('another body under the same id is a Conflict for 10 minutes, the same body is not', async () => {
  const clock = virtualClock();
  const ids = new SentIds(clock);
  claimIn(ids)(entry, 'x', body);
  await clock.advance(3_000);
  expect(() => claimIn(ids)(entry, 'x', other)).toThrow(
    conflict("the id 'x' for photos.resize was given to another body 3 s ago"),
  );
  expect(() => claimIn(ids)(entry, 'x', other)).toThrow(/3 s ago$/);
  claimIn(ids)(entry, 'x', body);
  claimIn(ids)('photos.crop', 'x', other);
  await clock.advance(limits.idWindowMs + 1);
  claimIn(ids)(entry, 'x', other);
});

test('the remedy names both ways out', () => {
  const ids = new SentIds(virtualClock());
  claimIn(ids)(entry, 'x', body);
  const remedy = 'Give the message an id of its own, or send the body to which the id belongs.';
  expect(() => claimIn(ids)(entry, 'x', other)).toThrow(expect.objectContaining({ remedy }));
});

test('a call that was not sent releases its ids, and one of unknown outcome keeps them', () => {
  const ids = new SentIds(virtualClock());
  const refused = ids.call(given);
  refused.choose(entry, 'x', null, body);
  refused.failed(new BusError('Overloaded', 'full', { retryAfterMs: 1 }));
  const lost = ids.call(given);
  lost.choose(entry, 'x', null, other);
  lost.failed(new BusError('Unreachable', 'away', { outcome: 'unknown', waitedMs: 1 }));
  expect(() => claimIn(ids)(entry, 'x', body)).toThrow(/^the id 'x'/);
  const late = ids.call(given);
  late.choose(entry, 'x', null, other);
  late.failed(new BusError('Overloaded', 'full', { retryAfterMs: 1 })); // the earlier call can have been sent
  expect(() => claimIn(ids)(entry, 'x', body)).toThrow(/^the id 'x'/);
});

test('memory is bounded, and the oldest ids are forgotten first', () => {
  const ids = new SentIds(virtualClock());
  for (let n = 0; n < 25_000; n++) claimIn(ids)(entry, `id ${n}`, body);
  expect(ids.size).toBeLessThanOrEqual(11_000);
  claimIn(ids)(entry, 'id 0', other);
  expect(() => claimIn(ids)(entry, 'id 24999', other)).toThrow(BusError);
});
