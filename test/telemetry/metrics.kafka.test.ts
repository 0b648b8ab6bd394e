/** The metrics page of a process on Kafka, with a spool. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { kafkaSuite } from '../cluster/suite';
import { expectedLines, missing, pageOfBusyBus } from './metrics-scene';

kafkaSuite('metrics on Kafka', (suite) => {
  const spool = mkdtempSync(join(tmpdir(), 'bb-metrics-'));
  afterAll(() => rmSync(spool, { recursive: true, force: true }));

  test('the page of a busy bus has what waits, runs and is parked, and the limit of its spool', async () => {
    const { brokers, zookeeper } = suite.cluster;
    const ns = suite.namespace;
    const given = { transport: 'kafka', brokers: brokers.split(','), zookeeper, ns, spool } as const;
    const limit = 'busbar_spool_limit_bytes 1073741824';
    const lines = await pageOfBusyBus(given, limit);
    expect(missing(lines, [...expectedLines, limit])).toEqual([]);
    expect(lines.find((line) => line.startsWith('busbar_spool_bytes '))).toBeDefined();
    const [, oldestS] = /^busbar_queue_oldest_seconds\{queue="photos.work"\} (.*)$/m.exec(lines.join('\n')) ?? [];
    expect(Number(oldestS)).toBeGreaterThan(0);
  });
});
