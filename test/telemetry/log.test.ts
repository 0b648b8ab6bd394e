import { systemClock, tookMs } from '../../src/base/clock';
import { openNotices, type Notice } from '../../src/base/notices';
import { defineModule, unchecked, work } from '../../src/contract/contract';
import { logTo } from '../../src/telemetry/log';
import { openLogger } from '../../src/telemetry/logger';
import { testBus } from '../../src/testing';

type Line = Record<string, unknown>;
function open(level = 'debug', format: 'json' | 'text' = 'json') {
  const notices = openNotices();
  const lines: string[] = [];
  const fields = () => ({ module: 'photos', pid: 7 });
  const logger = openLogger({ level, format, fields, write: (line) => lines.push(line) });
  const stop = logTo(notices, logger);
  const parsed = (): Line[] => lines.map((line) => JSON.parse(line) as Line);
  return { notices, logger, lines, parsed, stop };
}
const about = { entry: 'photos.resize', id: '01J9' };

test('a notice about several parts is one line with their number and names', () => {
  const { notices, parsed } = open();
  const also = [{ part: 'group b' as const, reason: 'second' }];
  notices.emit({ type: 'state', part: 'group a', ok: false, reason: 'no answer', also });
  const partitions = [{ queue: 'photos.bills', partition: 4 }];
  notices.emit({
    type: 'partition',
    queue: 'photos.work',
    partition: 3,
    change: 'lost',
    reason: 'late',
    also: partitions,
  });
  expect(parsed()).toMatchObject([
    { level: 'warn', msg: 'group a and 1 more do not work: no answer', also },
    { level: 'warn', msg: 'partition 3 of photos.work and 1 more lost: late', also: partitions },
  ]);
});

const levels: readonly [string, Notice][] = [
  ['debug', { type: 'sent', kind: 'work', ...about }],
  ['debug', { type: 'received', kind: 'work', ...about }],
  ['debug', { type: 'handled', kind: 'work', attempt: 1, tookMs: 3, outcome: 'done', ...about }],
  ['debug', { type: 'handled', kind: 'request', attempt: 1, tookMs: 3, outcome: 'failure', ...about }],
  ['warn', { type: 'handled', kind: 'request', attempt: 1, tookMs: 3, outcome: 'failed', error: 'no disk', ...about }],
  ['debug', { type: 'handled', kind: 'work', attempt: 1, tookMs: 3, outcome: 'failed', durable: true, ...about }],
  ['debug', { type: 'answered', outcome: 'Timeout', tookMs: 5_000, ...about }],
  ['warn', { type: 'retried', attempt: 1, delayMs: 1_000, error: 'no disk', ...about }],
  ['error', { type: 'parked', queue: 'photos.resize', reason: 'Invalid: width', attempts: 5, ...about }],
  ['warn', { type: 'dropped', what: 'packet', reason: 'no envelope' }],
  ['debug', { type: 'partition', queue: 'photos.work', partition: 3, change: 'taken' }],
  ['warn', { type: 'partition', queue: 'photos.work', partition: 3, change: 'lost' }],
  ['error', { type: 'stuck', queue: 'photos.work', partition: 3, reason: 'lane img-1' }],
  ['debug', { type: 'instance', instance: 'web#a02f', change: 'gone' }],
  ['info', { type: 'setting', key: 'photos.resize.concurrency', change: 'applied', value: '4' }],
  ['warn', { type: 'setting', key: 'photos.resize.concurrency', change: 'refused', reason: 'is not a number' }],
  ['info', { type: 'state', part: 'registry', ok: true, reason: 'connected' }],
  ['warn', { type: 'state', part: 'registry', ok: false, reason: 'no answer for 5 s' }],
  ['error', { type: 'log', level: 'error', message: 'out of paper', fields: {} }],
];
test.each(levels)('logs at %s: %j', (level, notice) => {
  const { notices, parsed } = open();
  notices.emit(notice);
  expect(parsed()).toHaveLength(1);
  expect(parsed()[0]).toMatchObject({ level, module: 'photos', pid: 7, time: expect.stringMatching(/^\d{4}-.*Z$/) });
});

test('a line has a sentence that summarizes its fields', () => {
  const { notices, parsed } = open();
  notices.emit({ type: 'parked', queue: 'photos.resize', reason: 'Invalid: width', attempts: 1, ...about });
  expect(parsed()[0]).toMatchObject({
    msg: 'photos.resize parked after 1 attempt: Invalid: width',
    notice: 'parked',
    entry: 'photos.resize',
    id: '01J9',
    attempts: 1,
  });
});

test('notices below the level are not written', () => {
  const { notices, lines } = open('warn');
  notices.emit({ type: 'sent', kind: 'work', ...about });
  notices.emit({ type: 'instance', instance: 'web#a02f', change: 'up' });
  expect(lines).toEqual([]);
});

test('the setting logLevel changes the level of notices, and removing it restores the level', () => {
  const { notices, logger, lines, parsed } = open('warn');
  notices.emit({ type: 'setting', key: 'logLevel', change: 'applied', value: 'debug' });
  notices.emit({ type: 'sent', kind: 'work', ...about });
  notices.emit({ type: 'setting', key: 'logLevel', change: 'applied', value: 'error' });
  notices.emit({ type: 'dropped', what: 'packet', reason: 'no envelope' });
  expect(lines).toHaveLength(2);
  expect(logger.level).toBe('warn');
  notices.emit({ type: 'setting', key: 'logLevel', change: 'refused', reason: 'loud is none of them' });
  notices.emit({ type: 'setting', key: 'logLevel', change: 'removed', value: 'info' });
  notices.emit({ type: 'log', level: 'info', message: 'again too quiet', fields: {} });
  notices.emit({ type: 'log', level: 'warn', message: 'loud enough', fields: {} });
  expect(parsed().at(-1)).toMatchObject({ msg: 'loud enough' });
  expect(parsed().filter(({ msg }) => msg === 'again too quiet')).toEqual([]);
});

test('a line of a handler keeps its fields, and cannot overwrite those of the log', () => {
  const { notices, parsed } = open();
  const fields = { ...about, time: 'noon', level: 99, width: 200 };
  notices.emit({ type: 'log', level: 'info', message: 'scaled', fields });
  const [line] = parsed();
  expect(line).toMatchObject({ level: 'info', msg: 'scaled', width: 200, time_: 'noon', level_: 99, ...about });
  expect(line?.['time']).not.toBe('noon');
});

test('a line about another instance has its name as peer, not as instance', () => {
  const { notices, parsed } = open();
  notices.emit({ type: 'instance', instance: 'web#a02f', change: 'up' });
  expect(parsed()[0]).toMatchObject({ peer: 'web#a02f', change: 'up' });
  expect(parsed()[0]).not.toHaveProperty('instance');
});

test('an error of a handler is logged with its stack', () => {
  const { notices, parsed } = open();
  const thrown = new TypeError('no disk');
  notices.emit({ type: 'handled', kind: 'work', attempt: 1, tookMs: 3, outcome: 'failed', thrown, ...about });
  expect(parsed()[0]).toMatchObject({ err: { type: 'TypeError', message: 'no disk', stack: thrown.stack } });
  expect(parsed()[0]).not.toHaveProperty('thrown');
});

test('each failed attempt of a job is one line with its stack', async () => {
  const job = defineModule('job', { w: work(unchecked<number>(), { attempts: 2, backoffMs: 0 }) });
  const bus = testBus(job);
  const lines: string[] = [];
  const logger = openLogger({ level: 'info', format: 'json', fields: () => ({}), write: (line) => lines.push(line) });
  const handled: number[] = [];
  logTo(bus, logger);
  bus.watch((notice) => notice.type === 'handled' && handled.push(notice.tookMs));
  await bus.serve(job, {
    w: () => {
      throw new TypeError('no disk');
    },
  });
  await bus.submit(job.w, 1);
  await bus.settled();
  await bus.clock.advance(1);
  await bus.settled();
  const told = lines.map((line) => JSON.parse(line) as Line).filter(({ level }) => level !== 'info');
  expect(told).toMatchObject([
    {
      level: 'warn',
      notice: 'retried',
      attempt: 1,
      err: { type: 'TypeError', stack: expect.stringContaining('no disk') },
    },
    { level: 'error', notice: 'parked', attempts: 2, err: { type: 'TypeError' } },
  ]);
  expect(handled).toHaveLength(2);
  await bus.close();
});

test('the duration of a handler is rounded to a microsecond', async () => {
  let monoMs = 0.1;
  const clock = { ...systemClock, mono: () => monoMs };
  const startMs = clock.mono();
  monoMs = 0.1 + 0.7804429999999911;
  expect(tookMs(clock, startMs)).toBe(0.78);
});

test('notices after stop are not written', () => {
  const { notices, lines, stop } = open();
  stop();
  notices.emit({ type: 'dropped', what: 'packet', reason: 'no envelope' });
  expect(lines).toEqual([]);
});

test('a text line has time, level, module, sentence, and the fields that the sentence omits', () => {
  const { notices, lines } = open('debug', 'text');
  notices.emit({ type: 'retried', attempt: 2, delayMs: 1_000, error: 'no disk', ...about });
  expect(lines[0]?.replace(/^[\d:.]{12}/, 'TIME')).toBe(
    'TIME  warn   photos  photos.resize failed in attempt 2, retried in 1000 ms: no disk  id=01J9\n',
  );
});

test('in text format an indented stack follows its line', () => {
  const { notices, lines } = open('debug', 'text');
  const thrown = new Error('no disk');
  notices.emit({ type: 'handled', kind: 'work', attempt: 1, tookMs: 3, outcome: 'failed', thrown, ...about });
  expect(lines[0]).toMatch(/\n {4}Error: no disk\n {8}at /);
});

test('a text line of a handler has all its fields, with control characters escaped', () => {
  const { notices, lines } = open('debug', 'text');
  const message = 'page 1\u001b[2J\nforged';
  notices.emit({ type: 'log', level: 'info', message, fields: { page: 1, title: 'a\nb' } });
  expect(lines[0]).toMatch(/  page 1·\[2J·forged  page=1  title=a·b\n$/);
});
