/** Recipients of goodbye packets, and callers that a leaving instance waits for. */
import { BusError } from '../../src/base/errors';
import { closable } from '../../src/base/lifecycle';
import { openNotices } from '../../src/base/notices';
import { virtualClock } from '../../src/memory';
import { createLeaver } from '../../src/request/goodbye';

function open(send: (to: string) => void = () => undefined) {
  const clock = virtualClock();
  const told: string[] = [];
  const notices = openNotices();
  const dropped: string[] = [];
  notices.watch((notice) => notice.type === 'dropped' && dropped.push(notice.reason));
  const leaver = createLeaver({
    clock,
    notices,
    self: 'maths#1',
    caller: { ask: async () => undefined, reply() {}, gone() {}, leaving() {}, open: () => [], close() {} },
    messenger: {
      address: 'here',
      receive() {},
      send(to) {
        told.push(to);
        send(to);
      },
      broadcast: async () => 0,
      join: async () => closable(async () => {}),
      ...closable(async () => {}),
    },
  });
  let left = false;
  const leave = (): void => void leaver.goodbye(5_000, 500).then(() => (left = true));
  return { clock, leaver, told, dropped, leave, left: () => left };
}
const hourMs = 3_600_000;

test('a caller without a request for an hour receives no goodbye and is not awaited', async () => {
  const { clock, leaver, told, leave, left } = open();
  for (const address of ['dead', 'alive']) leaver.recordCaller(address);
  await clock.advance(hourMs - 1);
  leaver.recordCaller('alive');
  await clock.advance(1);
  leave();
  await clock.advance(1);
  expect(told).toEqual(['alive']);
  expect(left()).toBe(false);
  leaver.leave({ kind: 'leave', entry: 'busbar.leave', id: 'web#1', from: 'web#1', code: 'understood' }, 'alive');
  await clock.advance(1);
  expect(left()).toBe(true);
});

test('the leaver remembers the latest 10,000 callers', async () => {
  const { clock, leaver, told, leave } = open();
  for (let n = 0; n < 10_002; n++) leaver.recordCaller(`${n}`);
  leave();
  await clock.advance(1);
  expect(told).toHaveLength(10_000);
  expect(told[0]).toBe('2');
});

test('an instance that has stopped is not awaited and not reported, another failure is reported', async () => {
  const { clock, leaver, dropped, leave, left } = open((to) => {
    throw to === 'gone'
      ? new BusError('Unreachable', 'none listens', { outcome: 'not-sent', waitedMs: 0 })
      : new Error('no memory');
  });
  for (const address of ['gone', 'other']) leaver.recordCaller(address);
  leave();
  await clock.advance(1);
  expect(left()).toBe(true);
  expect(dropped).toEqual(['no memory']);
});
