import { Counter, Registry } from 'prom-client';
import { openNotices, type Notice } from '../../src/base/notices';
import { countIn } from '../../src/telemetry/prometheus';

const about = { entry: 'photos.resize', id: '01J9' };
function open() {
  const notices = openNotices();
  const registry = new Registry();
  const stop = countIn(notices, registry);
  return { notices, registry, stop };
}
/** Returns the samples of all metrics, one a line. */
async function samples(registry: Registry): Promise<readonly string[]> {
  return (await registry.metrics()).split('\n').filter((line) => line !== '' && !line.startsWith('#'));
}

test('a notice about several partitions or parts is counted for each of them', async () => {
  const { notices, registry } = open();
  for (const partition of [3, 4]) notices.emit({ type: 'partition', queue: 'a', partition, change: 'taken' });
  notices.emit({ type: 'partition', queue: 'b', partition: 0, change: 'taken' });
  const also = [
    { queue: 'a', partition: 4 },
    { queue: 'b', partition: 0 },
  ];
  notices.emit({ type: 'partition', queue: 'a', partition: 3, change: 'lost', also });
  notices.emit({
    type: 'state',
    part: 'group a',
    ok: false,
    reason: 'why',
    also: [{ part: 'group b', reason: 'why' }],
  });
  expect(await samples(registry)).toEqual(
    expect.arrayContaining([
      'busbar_partitions{queue="a"} 0',
      'busbar_partitions{queue="b"} 0',
      'busbar_partition_changes_total{queue="a",change="lost"} 2',
      'busbar_part_ok{part="group a"} 0',
      'busbar_part_ok{part="group b"} 0',
    ]),
  );
});

const counted: readonly [Notice, string][] = [
  [{ type: 'sent', kind: 'work', ...about }, 'busbar_messages_sent_total{kind="work",entry="photos.resize"} 1'],
  [{ type: 'received', kind: 'work', ...about }, 'busbar_messages_received_total{kind="work",entry="photos.resize"} 1'],
  [
    { type: 'handled', kind: 'work', attempt: 1, tookMs: 20, outcome: 'failed', ...about },
    'busbar_messages_handled_total{kind="work",entry="photos.resize",outcome="failed"} 1',
  ],
  [
    { type: 'handled', kind: 'work', attempt: 1, tookMs: 20, outcome: 'done', ...about },
    'busbar_handler_duration_seconds_bucket{le="0.025",kind="work",entry="photos.resize"} 1',
  ],
  [
    { type: 'handled', kind: 'work', attempt: 1, tookMs: 20, waitedMs: 2_000, outcome: 'done', ...about },
    'busbar_queueing_duration_seconds_sum{kind="work",entry="photos.resize"} 2',
  ],
  [
    { type: 'handled', kind: 'request', attempt: 1, tookMs: 1, outcome: 'done', entry: 'busbar.status', id: '01J9' },
    'busbar_system_handled_total{entry="busbar.status",outcome="done"} 1',
  ],
  [
    { type: 'answered', outcome: 'ok', tookMs: 1, entry: 'busbar.status', id: '01J9' },
    'busbar_system_requests_total{entry="busbar.status",outcome="ok"} 1',
  ],
  [
    { type: 'answered', outcome: 'NoHandler', tookMs: 2, ...about },
    'busbar_requests_total{entry="photos.resize",outcome="NoHandler"} 1',
  ],
  [
    { type: 'answered', outcome: 'ok', tookMs: 250, ...about },
    'busbar_request_duration_seconds_sum{entry="photos.resize"} 0.25',
  ],
  [
    { type: 'retried', attempt: 1, delayMs: 5, error: 'e', ...about },
    'busbar_messages_retried_total{entry="photos.resize"} 1',
  ],
  [
    { type: 'parked', queue: 'photos.resize', reason: 'Invalid: width of 01J9', attempts: 1, ...about },
    'busbar_messages_parked_total{queue="photos.resize",reason="Invalid"} 1',
  ],
  [
    { type: 'dropped', what: 'event', reason: 'it arrived twice', ...about },
    'busbar_dropped_total{what="event",reason="it arrived twice"} 1',
  ],
  [
    { type: 'stuck', queue: 'photos.work', partition: 3, reason: 'lane img-1' },
    'busbar_partitions_stuck_total{queue="photos.work"} 1',
  ],
  [{ type: 'instance', instance: 'web#a02f', change: 'gone' }, 'busbar_instance_changes_total{change="gone"} 1'],
  [{ type: 'setting', key: 'a.b.c', change: 'refused' }, 'busbar_settings_total{change="refused"} 1'],
  [{ type: 'state', part: 'registry', ok: false, reason: 'silent' }, 'busbar_part_ok{part="registry"} 0'],
  [{ type: 'log', level: 'warn', message: 'm', fields: {} }, 'busbar_log_lines_total{level="warn"} 1'],
];
test.each(counted)('%j counts as %s', async (notice, line) => {
  const { notices, registry } = open();
  notices.emit(notice);
  expect(await samples(registry)).toContain(line);
});

test('requests of operators are in no metric of messages', async () => {
  const { notices, registry } = open();
  const status = { entry: 'busbar.status', id: '01J9' };
  notices.emit({ type: 'sent', kind: 'request', ...status });
  notices.emit({ type: 'received', kind: 'request', ...status });
  notices.emit({ type: 'handled', kind: 'request', attempt: 1, tookMs: 1, waitedMs: 1, outcome: 'done', ...status });
  notices.emit({ type: 'answered', outcome: 'ok', tookMs: 1, ...status });
  const lines = (await samples(registry)).filter((line) => line.includes('busbar.status'));
  expect(lines).toEqual([
    'busbar_system_handled_total{entry="busbar.status",outcome="done"} 1',
    'busbar_system_requests_total{entry="busbar.status",outcome="ok"} 1',
  ]);
});

test('the gauge of owned partitions rises on assignment and falls on revocation and loss', async () => {
  const { notices, registry } = open();
  for (const change of ['taken', 'taken', 'taken', 'given', 'lost'] as const) {
    notices.emit({ type: 'partition', queue: 'photos.work', partition: 1, change });
  }
  const lines = await samples(registry);
  expect(lines).toContain('busbar_partitions{queue="photos.work"} 1');
  expect(lines).toContain('busbar_partition_changes_total{queue="photos.work",change="taken"} 3');
});

test('ids, keys and unbounded texts never become labels', async () => {
  const { notices, registry } = open();
  for (let i = 0; i < 2_000; i++) {
    const words = `a word${'x'.repeat(i % 40)}${String.fromCharCode(97 + (i % 26))}`;
    notices.emit({ type: 'dropped', what: `what${i}`, reason: words, entry: `m.e${i}`, id: `${i}` });
    notices.emit({ type: 'parked', queue: `m.e${i}`, reason: `photo ${i} is broken`, attempts: 1, ...about });
    notices.emit({ type: 'retried', entry: `m.e${i}`, id: `${i}`, attempt: 1, delayMs: 1, error: `${i}` });
  }
  const lines = await samples(registry);
  const of = (name: string) => lines.filter((line) => line.startsWith(name));
  expect(of('busbar_messages_retried_total')).toHaveLength(1_001);
  expect(of('busbar_messages_retried_total{entry="other"}')).toEqual([
    'busbar_messages_retried_total{entry="other"} 1000',
  ]);
  expect(new Set(of('busbar_messages_parked_total').map((line) => /reason="(.*?)"/.exec(line)?.[1]))).toEqual(
    new Set(['other']),
  );
  expect(new Set(of('busbar_dropped_total').map((line) => /reason="(.*?)"/.exec(line)?.[1])).size).toBe(51);
});

test('two buses of a process share one registry', async () => {
  const { notices, registry } = open();
  const second = openNotices();
  countIn(second, registry);
  for (const each of [notices, second]) each.emit({ type: 'sent', kind: 'work', ...about });
  expect(await samples(registry)).toContain('busbar_messages_sent_total{kind="work",entry="photos.resize"} 2');
});

test('a registry that has a foreign metric of the same name is rejected', () => {
  const registry = new Registry();
  new Counter({ name: 'busbar_partitions', help: 'not ours', registers: [registry] });
  expect(() => countIn(openNotices(), registry)).toThrow('the registry already holds busbar_partitions');
});

test('notices after stop are not counted', async () => {
  const { notices, registry, stop } = open();
  stop();
  notices.emit({ type: 'sent', kind: 'work', ...about });
  expect(await samples(registry)).not.toContainEqual(expect.stringContaining('photos.resize'));
});
