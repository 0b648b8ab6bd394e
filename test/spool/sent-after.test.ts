/** The offset that a spool states with each record: no copy of the record precedes it at the servers. */
import { BusError } from '../../src/base/errors';
import { sentAfter, sentAfterHeader } from '../../src/format/sent-after';
import type { Stored } from '../../src/ports/log';
import { spoolScene, values, work } from '../support/spools';

const unreachable = (done: boolean) => ({
  error: new BusError('Unreachable', 'no answer', { outcome: done ? 'unknown' : 'not-sent', waitedMs: 1 }),
  done,
});
const stated = (records: readonly Stored[]): readonly (number | undefined)[] =>
  records.map(({ headers }) => sentAfter(headers));

/** Expects that each record and its copies are at or after the stated offset. */
function expectNoneBefore(records: readonly Stored[]): void {
  const first = new Map<string, number>();
  for (const { offset, value } of records) {
    const text = Buffer.from(value ?? []).toString();
    first.set(text, Math.min(offset, first.get(text) ?? Infinity));
  }
  for (const { headers, value } of records)
    expect(sentAfter(headers)).toBeLessThanOrEqual(first.get(Buffer.from(value ?? []).toString()) ?? -1);
}

test('is the end of the last list that was acknowledged', async () => {
  const { clock, open, sent } = spoolScene();
  const one = await open('one');
  for (const count of [2, 3, 1]) {
    await one.send(count);
    await clock.advance(1_000);
  }
  expect(stated(await sent())).toEqual([0, 0, 2, 2, 2, 5]);
});

test('stays for a list that is sent again', async () => {
  const { servers, clock, open, sent } = spoolScene();
  const one = await open('one');
  await one.send(2);
  await clock.advance(1_000);
  let left = 2;
  servers.faults = ({ call }) => (call === 'append' && left-- > 0 ? unreachable(true) : undefined);
  await one.send(2);
  await clock.advance(5_000);
  expect(stated(await sent())).toEqual([0, 0, 2, 2, 2, 2, 2, 2]);
});

test('stays for all that waited when another process takes over, and for the process after it', async () => {
  const { servers, clock, open, sent, handled } = spoolScene();
  const one = await open('one');
  await one.send(2);
  await clock.advance(1_000);
  servers.faults = ({ call }) => (call === 'append' ? unreachable(false) : undefined);
  await one.send(2_500);
  await clock.advance(3_000);
  one.crash();
  /** Each further process sends one list, whose answer is lost, and crashes. */
  for (const name of ['two', 'three']) {
    let lists = 0;
    servers.faults = ({ call }) => (call === 'append' ? unreachable(lists++ < 1) : undefined);
    const next = await open(name);
    await clock.runUntil(() => lists > 0, 60_000);
    await clock.advance(1_000);
    next.crash();
  }
  servers.faults = undefined;
  const last = await open('last');
  await clock.advance(60_000);
  expect(await handled()).toEqual(values('one', 2_502));
  const records = await sent();
  expectNoneBefore(records);
  expect(new Set(stated(records.slice(2)))).toEqual(new Set([2]));
  await last.send(1);
  await clock.advance(1_000);
  expect(stated(await sent()).at(-1)).toBe(records.length);
});

test('stays while the rest of a refused list is sent, also after a restart', async () => {
  const { servers, clock, open, sent, machine } = spoolScene();
  const one = await open('one');
  await one.send(1);
  await clock.advance(1_000);
  // The list is written without an answer, then refused as a whole, and then divided.
  const tooLarge = { error: new BusError('TooLarge', 'too large', { bytes: 2, limitBytes: 1 }), done: false };
  const faults = [unreachable(true), tooLarge, tooLarge, undefined, unreachable(false)];
  servers.faults = ({ call }) => {
    if (call !== 'append') return undefined;
    return faults.length > 1 ? faults.shift() : faults[0];
  };
  await one.send(4);
  await clock.advance(10_000);
  one.crash();
  servers.faults = undefined;
  await open('two');
  await clock.advance(60_000);
  expectNoneBefore(await sent());
  const [commit] = await machine.process('look').log.committedOffsets('drain', work.name);
  expect(commit).toMatchObject({ offset: 5 });
});

test('a foreign value is not an offset', () => {
  const texts = ['', '-1', '1.5', 'NaN', 'x', '99999999999999999999'];
  expect(texts.map((text) => sentAfter({ [sentAfterHeader]: text }))).toEqual(texts.map(() => undefined));
  expect([sentAfter({}), sentAfter({ [sentAfterHeader]: '12' })]).toEqual([undefined, 12]);
});
