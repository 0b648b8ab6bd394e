import { openLive } from '../../src/base/live';
import { openNotices, type Notice } from '../../src/base/notices';
import { options, readOptions } from '../../src/base/options';
import { virtualClock } from '../../src/memory';
import { heavy } from '../heavy';

const bus = options({
  logLevel: { type: 'choice', choices: ['info', 'debug'], default: 'info', live: true, description: 'The log.' },
  timeoutMs: { type: 'duration', default: 5_000, min: 1, max: 60_000, live: true, description: 'Requests.' },
  dir: { type: 'text', description: 'Where.' },
});
const entry = options({
  concurrency: { type: 'integer', min: 1, max: 100, live: true, description: 'At once.' },
  paused: { type: 'flag', live: true, description: 'Whether.' },
});

function open() {
  const notices = openNotices();
  const told: Notice[] = [];
  notices.watch((notice) => told.push(notice));
  const configured = readOptions(bus, [{ sourceOf: () => 'openBus', values: { timeoutMs: 3_000 } }]).values;
  const clock = virtualClock();
  const live = openLive({ bus, entry, configured, notices, clock });
  const seen: string[] = [];
  live.watch((name) => seen.push(name));
  return { live, told, seen, clock };
}
const say = (key: string, value: string, version = 1) => ({ key, value, version });

test('without settings the bus has its configuration, and entries have no options', () => {
  const { live } = open();
  expect(live.bus).toEqual({ logLevel: 'info', timeoutMs: 3_000, dir: undefined });
  expect(live.entry('photos.resize')).toEqual({});
});

test('a bus setting overrides the configuration, and reverts when removed', () => {
  const { live, told, seen } = open();
  live.take([say('timeoutMs', '1s')]);
  expect(live.bus.timeoutMs).toBe(1_000);
  live.take([]);
  expect(live.bus.timeoutMs).toBe(3_000);
  expect(seen).toEqual(['', '']);
  expect(told).toEqual([
    { type: 'setting', key: 'timeoutMs', change: 'applied', value: '1000' },
    { type: 'setting', key: 'timeoutMs', change: 'removed', value: '3000' },
  ]);
});

test('a setting of one entry applies to that entry alone', () => {
  const { live, told, seen } = open();
  live.take([say('photos.resize.concurrency', '4'), say('photos.resize.paused', 'true')]);
  expect(live.entry('photos.resize')).toEqual({ concurrency: 4, paused: true });
  expect(live.entry('photos.add')).toEqual({});
  live.take([say('photos.resize.concurrency', '4')]);
  expect(live.entry('photos.resize')).toEqual({ concurrency: 4 });
  live.take([]);
  expect(live.entry('photos.resize')).toEqual({});
  expect(seen).toEqual(['photos.resize', 'photos.resize', 'photos.resize']);
  expect(told.at(-1)).toEqual({ type: 'setting', key: 'photos.resize.concurrency', change: 'removed' });
});

test('an invalid value is refused with its reason, and the last valid one stays', () => {
  const { live, told } = open();
  live.take([say('photos.resize.concurrency', '4')]);
  live.take([say('photos.resize.concurrency', '400', 2)]);
  expect(live.entry('photos.resize')).toEqual({ concurrency: 4 });
  expect(told.at(-1)).toEqual({
    type: 'setting',
    key: 'photos.resize.concurrency',
    change: 'refused',
    reason: '"400" is above the maximum of 100',
  });
});

test('a refused setting is listed with its time until corrected or removed', () => {
  const { live, clock } = open();
  live.take([say('photos.resize.concurrency', '400'), say('logLvel', 'debug'), say('timeoutMs', 'soon')]);
  const atMs = clock.now();
  expect(live.refused.map(({ key, atMs: at }) => [key, at])).toEqual([
    ['photos.resize.concurrency', atMs],
    ['logLvel', atMs],
    ['timeoutMs', atMs],
  ]);
  live.take([say('photos.resize.concurrency', '40', 2), say('timeoutMs', 'soon')]);
  expect(live.refused.map(({ key }) => key)).toEqual(['timeoutMs']);
});

test.each([
  ['logLvel', 'logLvel is not a live option; did you mean logLevel?'],
  ['dir', 'dir is read only when the bus is opened'],
  ['photos.resize.concurency', 'concurency is not a live option; did you mean concurrency?'],
  ['photos.resize.dir', 'dir is not a live option; the live options are concurrency, paused'],
  ['photos.resize.', 'an empty name is not a live option; the live options are concurrency, paused'],
  ['photos.constructor', 'constructor is not a live option; the live options are concurrency, paused'],
])('a setting with the key %j is refused', (key, reason) => {
  const { live, told, seen } = open();
  live.take([say(key, '1')]);
  expect(told).toEqual([{ type: 'setting', key, change: 'refused', reason }]);
  expect(seen).toEqual([]);
  expect(live.bus.logLevel).toBe('info');
});

test('an unchanged setting is neither reported nor applied again, refused or not', () => {
  const { live, told, seen } = open();
  const all = [say('logLevel', 'debug'), say('timeoutMs', 'soon')];
  live.take(all);
  live.take(all);
  expect(told).toHaveLength(2);
  expect(seen).toEqual(['']);
});

test('a key removed and rewritten at the same version counts as new', () => {
  const { live } = open();
  live.take([say('logLevel', 'debug')]);
  live.take([]);
  live.take([say('logLevel', 'debug')]);
  expect(live.bus.logLevel).toBe('debug');
});

test('a key rewritten at the same version between two reads counts as new', () => {
  const { live, told, seen } = open();
  live.take([say('photos.resize.concurrency', '2')]);
  live.take([say('photos.resize.concurrency', '8')]);
  expect(live.entry('photos.resize')).toEqual({ concurrency: 8 });
  live.take([say('photos.resize.concurrency', '800')]);
  expect(live.refused.map(({ key }) => key)).toEqual(['photos.resize.concurrency']);
  live.take([say('photos.resize.concurrency', '8')]);
  expect(live.refused).toEqual([]);
  expect(told).toHaveLength(4);
  expect(seen).toHaveLength(3);
});

heavy('settings beyond 10,000 are refused and reported', () => {
  const { live, told } = open();
  live.take(Array.from({ length: 10_001 }, (_, i) => say(`m.e${i}.concurrency`, '2')));
  expect(live.entry('m.e9999')).toEqual({ concurrency: 2 });
  expect(live.entry('m.e10000')).toEqual({});
  expect(told.filter((notice) => notice.type === 'setting' && notice.change === 'refused')).toEqual([
    { type: 'setting', key: 'm.e10000.concurrency', change: 'refused', reason: 'more than 10000 settings' },
  ]);
});

test('a stopped watcher receives no more changes', () => {
  const { live } = open();
  const seen: string[] = [];
  live.watch((name) => seen.push(name))();
  live.take([say('logLevel', 'debug')]);
  expect(seen).toEqual([]);
});
