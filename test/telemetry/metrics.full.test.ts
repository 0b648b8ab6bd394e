/** The metrics page of a process on one machine. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expectedLines, missing, pageOfBusyBus } from './metrics-scene';

const dir = mkdtempSync(join(tmpdir(), 'bb-metrics-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

test('the page of a busy bus has what waits, runs and is parked', async () => {
  const lines = await pageOfBusyBus({ dir });
  expect(missing(lines, expectedLines)).toEqual([]);
  const [, oldestS] = /^busbar_queue_oldest_seconds\{queue="photos.work"\} (.*)$/m.exec(lines.join('\n')) ?? [];
  expect(Number(oldestS)).toBeGreaterThan(0);
});
