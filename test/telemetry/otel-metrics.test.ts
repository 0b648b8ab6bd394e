import { metrics } from '@opentelemetry/api';
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics';
import { Registry } from 'prom-client';
import { openNotices, type Notice } from '../../src/base/notices';
import { metricNames } from '../../src/telemetry/instruments';
import { openOtelMetrics } from '../../src/telemetry/otel-metrics';
import { countIn } from '../../src/telemetry/prometheus';
import { registeredMetrics } from '../../src/telemetry/registered';
import type { BusStats } from '../../src/index';

const about = { entry: 'photos.resize', id: '01J9' };
const notices: readonly Notice[] = [
  { type: 'sent', kind: 'work', ...about },
  { type: 'received', kind: 'work', ...about },
  { type: 'handled', kind: 'work', attempt: 1, tookMs: 20, waitedMs: 3_000, outcome: 'done', ...about },
  { type: 'handled', kind: 'request', attempt: 1, tookMs: 1, outcome: 'done', entry: 'busbar.status', id: '01J9' },
  { type: 'answered', outcome: 'ok', tookMs: 250, ...about },
  { type: 'answered', outcome: 'ok', tookMs: 250, entry: 'busbar.status', id: '01J9' },
  { type: 'retried', attempt: 1, delayMs: 5, error: 'e', ...about },
  { type: 'parked', queue: 'photos.work', reason: 'Invalid', attempts: 1, ...about },
  { type: 'dropped', what: 'event', reason: 'it arrived twice' },
  { type: 'partition', queue: 'photos.work', partition: 1, change: 'taken' },
  { type: 'stuck', queue: 'photos.work', partition: 3, reason: 'lane img-1' },
  { type: 'instance', instance: 'web#a02f', change: 'gone' },
  { type: 'setting', key: 'a.b.c', change: 'refused' },
  { type: 'state', part: 'registry', ok: false, reason: 'silent' },
  { type: 'log', level: 'warn', message: 'm', fields: {} },
];
const stats: BusStats = {
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
  parked: [],
  spool: { bytes: 1_000, limitBytes: 4_000 },
};

function open() {
  const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
  const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 1_000_000 });
  metrics.setGlobalMeterProvider(new MeterProvider({ readers: [reader] }));
  /** Returns the values of all metrics, by name and labels. A histogram has its sum. */
  async function exported(): Promise<ReadonlyMap<string, number>> {
    exporter.reset();
    await reader.forceFlush();
    const all = exporter.getMetrics().flatMap(({ scopeMetrics }) => scopeMetrics.flatMap((scope) => scope.metrics));
    return new Map(
      all.flatMap(({ descriptor, dataPoints }) =>
        dataPoints.map(({ attributes, value }) => {
          const number = typeof value === 'number' ? value : (value.sum ?? 0);
          return [`${descriptor.name} ${JSON.stringify(attributes)}`, number] as const;
        }),
      ),
    );
  }
  return { exported, close: () => reader.shutdown() };
}
afterEach(() => metrics.disable());

test('every metric of the Prometheus page is exported under its name, with its labels and value', async () => {
  const { exported, close } = open();
  const registry = new Registry();
  const source = openNotices();
  const bus = { watch: (listener: (notice: Notice) => void) => source.watch(listener), stats: async () => stats };
  countIn(bus, registry);
  openOtelMetrics(source).measures(bus);
  for (const notice of notices) source.emit(notice);
  const found = await exported();
  const page: unknown = await registry.getMetricsAsJSON();
  const expected = new Map<string, number>();
  // prom-client has no type for the values of its JSON
  for (const { name, type, values } of page as readonly {
    readonly name: string;
    readonly type: string;
    readonly values: readonly { readonly metricName?: string; readonly labels: object; readonly value: number }[];
  }[])
    for (const { metricName, labels, value } of values)
      if (type !== 'histogram' || metricName === `${name}_sum`)
        expected.set(`${name} ${JSON.stringify(labels)}`, value);
  expect(found).toEqual(expected);
  expect(new Set([...found.keys()].map((key) => key.split(' ')[0]))).toEqual(new Set(metricNames));
  await close();
});

test('two buses of a process share the instruments, and a stopped one is not counted', async () => {
  const { exported, close } = open();
  const [one, other] = [openNotices(), openNotices()];
  const [first, second] = [openOtelMetrics(one), openOtelMetrics(other)];
  for (const each of [first, second]) each.measures({ stats: async () => stats });
  for (const each of [one, other]) {
    each.emit({ type: 'sent', kind: 'work', ...about });
    each.emit({ type: 'partition', queue: 'photos.work', partition: 1, change: 'taken' });
  }
  const sent = 'busbar_messages_sent_total {"kind":"work","entry":"photos.resize"}';
  expect((await exported()).get(sent)).toBe(2);
  expect((await exported()).get('busbar_partitions {"queue":"photos.work"}')).toBe(2);
  expect((await exported()).get('busbar_queue_waiting {"queue":"photos.work"}')).toBe(14);
  second.stop();
  other.emit({ type: 'sent', kind: 'work', ...about });
  expect((await exported()).get(sent)).toBe(2);
  expect((await exported()).get('busbar_queue_waiting {"queue":"photos.work"}')).toBe(7);
  await close();
});

test('a registered meter provider is enough, and without one nothing is counted', async () => {
  const source = openNotices();
  expect(await registeredMetrics(source)).toBeUndefined();
  expect(source.watched).toBe(false);
  const { exported, close } = open();
  expect(await registeredMetrics(source)).toBeDefined();
  source.emit({ type: 'sent', kind: 'work', ...about });
  expect([...(await exported()).keys()]).toContain(
    'busbar_messages_sent_total {"kind":"work","entry":"photos.resize"}',
  );
  await close();
});
