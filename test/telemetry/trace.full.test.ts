/** Spans of two processes on one machine, exported by the SDK of OpenTelemetry. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chainOfUpload, expectedChain } from './trace-scene';

const dir = mkdtempSync(join(tmpdir(), 'bb-trace-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

test('a request that submits a job that publishes an event is one trace in two processes', async () => {
  const chain = await chainOfUpload({ dir });
  expect(chain.map(({ process, name }) => `${process}: ${name}`)).toEqual(expectedChain);
  expect(new Set(chain.map(({ traceId }) => traceId)).size).toBe(1);
});
