import { openNotices, type LogLevel } from '../../src/base/notices';
import { buildBus } from '../../src/bus/bus';
import { defineModule, request, unchecked, work } from '../../src/contract/contract';
import { memoryWorld, virtualClock } from '../../src/memory';
import { logToStderr } from '../../src/telemetry/stderr';
import { memoryBusParts } from '../../src/testing/parts';

type Line = Record<string, unknown>;
function open(level: LogLevel = 'warn', notices = openNotices()) {
  const lines: string[] = [];
  const fields = () => ({ module: 'photos', instance: 'photos#1', pid: 7 });
  const stop = logToStderr({ notices, level, format: 'json', fields, write: (line) => lines.push(line) });
  /** Returns the lines after pino was loaded. */
  const parsed = async (): Promise<Line[]> => {
    await new Promise((resolve) => setImmediate(resolve));
    return lines.map((line) => JSON.parse(line) as Line);
  };
  return { notices, parsed, stop };
}
const about = { entry: 'photos.resize', id: '01J9' };
const dropped = (reason: string) => ({ type: 'dropped', what: 'packet', reason }) as const;

test('warnings and errors are written with the fields of the bus, in their order', async () => {
  const { notices, parsed } = open();
  notices.emit(dropped('first'));
  notices.emit({ type: 'instance', instance: 'web#a02f', change: 'up' });
  notices.emit({ type: 'parked', queue: 'photos.work', reason: 'Invalid', attempts: 1, ...about });
  expect(await parsed()).toMatchObject([
    { level: 'warn', msg: 'packet dropped: first', module: 'photos', instance: 'photos#1', pid: 7 },
    { level: 'error', notice: 'parked' },
  ]);
  notices.emit(dropped('later'));
  expect((await parsed()).at(-1)).toMatchObject({ msg: 'packet dropped: later' });
});

test('the bus does not create notices of messages that succeed for it, except at the level debug', async () => {
  const { notices, parsed } = open();
  expect(notices.watched).toBe(false);
  notices.emit({ type: 'setting', key: 'logLevel', change: 'applied', value: 'debug' });
  expect(notices.watched).toBe(true);
  notices.emit({ type: 'sent', kind: 'work', ...about });
  notices.emit({ type: 'setting', key: 'logLevel', change: 'removed', value: 'warn' });
  expect(notices.watched).toBe(false);
  notices.emit({ type: 'setting', key: 'drainMs', change: 'applied', value: '5' });
  expect((await parsed()).map(({ notice }) => notice)).toEqual(['setting', 'sent']);
});

test('a refused level changes nothing, and after stop nothing is written', async () => {
  const { notices, parsed, stop } = open('error');
  notices.emit({ type: 'setting', key: 'logLevel', change: 'refused', value: 'debug', reason: 'is loud' });
  notices.emit(dropped('x'));
  stop();
  notices.emit({ type: 'stuck', queue: 'photos.work', partition: 1, reason: 'y' });
  expect(await parsed()).toEqual([]);
});

test('a failed request and each failed attempt of a job are written although no watcher is registered', async () => {
  const shop = defineModule('shop', {
    buy: request(unchecked<number>(), unchecked<number>()),
    bill: work(unchecked<number>(), { attempts: 2, backoffMs: 0 }),
  });
  const clock = virtualClock();
  const parts = memoryBusParts({ ...memoryWorld({ clock }).process('shop#1'), clock });
  const { parsed } = open('warn', parts.notices);
  const { bus, opened } = buildBus(parts);
  await opened;
  const fail = (): never => {
    throw new TypeError('no paper');
  };
  await bus.serve(shop, { buy: fail, bill: fail });
  await expect(bus.request(shop.buy, 1)).rejects.toThrow('no paper');
  await bus.submit(shop.bill, 1);
  await clock.advance(1_000);
  expect(parts.notices.watched).toBe(false);
  expect(await parsed()).toMatchObject([
    { level: 'warn', notice: 'handled', entry: 'shop.buy', err: { type: 'TypeError' } },
    { level: 'warn', notice: 'retried', entry: 'shop.bill', attempt: 1 },
    { level: 'error', notice: 'parked', attempts: 2 },
  ]);
  await bus.close();
});
