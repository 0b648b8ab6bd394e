import { Gauge, Registry } from 'prom-client';
import { openNotices } from '../../src/base/notices';
import type { BusStats } from '../../src/index';
import { countIn, measureIn } from '../../src/telemetry/prometheus';

const stats = (change: Partial<BusStats> = {}): BusStats => ({
  queues: [
    {
      queue: 'photos.work',
      waiting: 7,
      oldestMs: 2_500,
      entries: [{ entry: 'photos.resize', running: 2, limit: 4, inBackoff: 1 }],
    },
  ],
  requests: [{ entry: 'photos.add', running: 1, limit: 100, waiting: 3 }],
  pending: [{ entry: 'search.find', count: 5 }],
  parked: [{ queue: 'photos.work', entry: 'photos.resize', count: 2 }],
  spool: { bytes: 1_000, limitBytes: 4_000 },
  ...change,
});
const bus = (read: () => Promise<BusStats>) => ({ stats: read });
/** Returns the samples of all metrics, one a line. */
async function samples(registry: Registry): Promise<readonly string[]> {
  return (await registry.metrics()).split('\n').filter((line) => line !== '' && !line.startsWith('#'));
}

test('what waits and runs at a bus is on the page, by queue and entry', async () => {
  const registry = new Registry();
  measureIn(
    bus(async () => stats()),
    registry,
  );
  expect(await samples(registry)).toEqual([
    'busbar_queue_waiting{queue="photos.work"} 7',
    'busbar_queue_oldest_seconds{queue="photos.work"} 2.5',
    'busbar_queue_parked{queue="photos.work",entry="photos.resize"} 2',
    'busbar_handlers_running{queue="photos.work",entry="photos.resize"} 2',
    'busbar_handlers_running{queue="",entry="photos.add"} 1',
    'busbar_handlers_limit{queue="photos.work",entry="photos.resize"} 4',
    'busbar_handlers_limit{queue="",entry="photos.add"} 100',
    'busbar_backoff_messages{queue="photos.work",entry="photos.resize"} 1',
    'busbar_requests_waiting{entry="photos.add"} 3',
    'busbar_requests_pending{entry="search.find"} 5',
    'busbar_spool_bytes 1000',
    'busbar_spool_limit_bytes 4000',
  ]);
});

test('the statistics are read once for a page, and a value that no longer exists disappears', async () => {
  const registry = new Registry();
  let reads = 0;
  let now = stats();
  const stop = measureIn(
    bus(async () => (reads++, now)),
    registry,
  );
  await samples(registry);
  expect(reads).toBe(1);
  now = stats({ queues: [], pending: [] });
  const lines = await samples(registry);
  expect(lines.filter((line) => /queue_waiting|pending/.test(line))).toEqual([]);
  stop();
  expect((await samples(registry)).filter((line) => !/^busbar_spool_\w+ 0$/.test(line))).toEqual([]);
  expect(reads).toBe(2);
});

test('two buses of a process are added, except values that both have of the same thing', async () => {
  const registry = new Registry();
  for (const oldestMs of [2_500, 4_000]) {
    const [queue] = stats().queues;
    const queues = queue ? [{ ...queue, oldestMs }] : [];
    measureIn(
      bus(async () => stats({ queues })),
      registry,
    );
  }
  measureIn(
    bus(() => Promise.reject(new Error('closed'))),
    registry,
  );
  expect(await samples(registry)).toEqual(
    expect.arrayContaining([
      'busbar_queue_waiting{queue="photos.work"} 14',
      'busbar_queue_oldest_seconds{queue="photos.work"} 4',
      'busbar_queue_parked{queue="photos.work",entry="photos.resize"} 2',
      'busbar_requests_pending{entry="search.find"} 10',
      'busbar_spool_bytes 1000',
    ]),
  );
});

test('a queue without parked messages is 0, so that an alert can end', async () => {
  const registry = new Registry();
  measureIn(
    bus(async () => stats({ parked: [] })),
    registry,
  );
  expect(await samples(registry)).toContain('busbar_queue_parked{queue="photos.work",entry="photos.resize"} 0');
});

test('the number of entries and queues is bounded', async () => {
  const registry = new Registry();
  const many = Array.from({ length: 3_000 }, (_, n) => ({ entry: `m.e${n}`, count: 1 }));
  measureIn(
    bus(async () => stats({ queues: [], requests: [], parked: [], pending: many })),
    registry,
  );
  const pending = (await samples(registry)).filter((line) => line.startsWith('busbar_requests_pending'));
  expect(pending).toHaveLength(1_001);
  expect(pending).toContain('busbar_requests_pending{entry="other"} 2000');
});

test('countIn measures a bus, and only counts notices alone', async () => {
  const registry = new Registry();
  const notices = openNotices();
  countIn({ watch: (listener) => notices.watch(listener) }, registry);
  expect(registry.getSingleMetric('busbar_queue_waiting')).toBeUndefined();
  const stop = countIn({ watch: (listener) => notices.watch(listener), stats: async () => stats() }, registry);
  expect(registry.getSingleMetric('busbar_queue_waiting')).toBeInstanceOf(Gauge);
  expect(await samples(registry)).toContain('busbar_queue_waiting{queue="photos.work"} 7');
  stop();
  expect(await samples(registry)).not.toContain('busbar_queue_waiting{queue="photos.work"} 7');
});
