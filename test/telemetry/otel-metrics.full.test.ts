/** Metrics that a bus exports through the SDK of OpenTelemetry. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { metrics } from '@opentelemetry/api';
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics';
import { defineModule, openBus, unchecked, work } from '../../src/index';

const dir = mkdtempSync(join(tmpdir(), 'bb-otel-'));
afterAll(() => {
  metrics.disable();
  rmSync(dir, { recursive: true, force: true });
});

test('openBus exports metrics through a registered meter provider, and a collection after the close works too', async () => {
  const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
  const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 1_000_000 });
  metrics.setGlobalMeterProvider(new MeterProvider({ readers: [reader] }));
  /** Returns the names of the metrics that have a value now. */
  async function exported(): Promise<readonly string[]> {
    exporter.reset();
    await reader.forceFlush();
    const all = exporter.getMetrics().flatMap(({ scopeMetrics }) => scopeMetrics.flatMap((scope) => scope.metrics));
    return all.flatMap(({ descriptor, dataPoints }) => (dataPoints.length > 0 ? [descriptor.name] : []));
  }
  const photos = defineModule('photos', { resize: work(unchecked<number>()) });
  const bus = await openBus({ module: photos, dir });
  await bus.serve(photos, { resize: () => undefined });
  await bus.submit(photos.resize, 1);
  const open = await exported();
  expect(open).toEqual(expect.arrayContaining(['busbar_messages_sent_total', 'busbar_handlers_limit']));
  await bus.close();
  expect(await exported()).toContain('busbar_messages_sent_total');
  await reader.shutdown();
});
