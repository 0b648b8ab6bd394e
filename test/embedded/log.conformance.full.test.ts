import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock, systemRandom } from '../../src/base/clock';
import { openNotices } from '../../src/base/notices';
import { openEmbedded } from '../../src/embedded/open';
import { conformsToLog } from '../conformance/log';
import type { TestPorts } from '../support/conformance';
import { openEmbeddedLogs } from '../support/embedded-log';

/** Opens logs with the doorbells that they have in production. */
async function openEmbeddedBuses(): Promise<TestPorts> {
  const logs = await openEmbeddedLogs();
  const dir = mkdtempSync(join(tmpdir(), 'bb-'));
  let count = 0;
  return {
    ...logs,
    async process() {
      const name = `bus#${++count}`;
      const notices = openNotices();
      const parts = await openEmbedded({ dir, ns: 'test', name, clock: systemClock, random: systemRandom, notices });
      return { ...parts, crash: () => Promise.reject(new Error('these cannot crash')) };
    },
    async close() {
      await logs.close();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

conformsToLog('embedded', openEmbeddedLogs);
conformsToLog('embedded, with sockets', openEmbeddedBuses);
