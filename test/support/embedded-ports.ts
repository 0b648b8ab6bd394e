/** Messenger, registry and settings of buses in this process on one directory, for the conformance suites. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { type Clock, systemRandom } from '../../src/base/clock';
import { closable } from '../../src/base/lifecycle';
import { openNotices } from '../../src/base/notices';
import { openDirectory } from '../../src/embedded/directory/directory';
import { newAddress } from '../../src/embedded/directory/process-liveness';
import { openMessenger } from '../../src/embedded/messenger';
import { openRegistry } from '../../src/embedded/registry';
import { openDoorbells } from '../../src/embedded/sockets/doorbells';
import { openSettings } from '../../src/embedded/settings';
import { openSockets, type Sockets } from '../../src/embedded/sockets/sockets';
import { Upkeep } from '../../src/embedded/directory/upkeep';
import type { Log } from '../../src/ports/log';
import type { TestPorts, TestProcess } from './conformance';
import { openLivedClock } from '../elapsed';

/** The log is opened by `openEmbeddedLogs`. Here the messenger must throw synchronously, which no proxy of another process can. */
export async function openEmbeddedPorts(): Promise<TestPorts> {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'bb-'));
  const lived = openLivedClock(); // buses wait a second for each other, and stalls of this process must not count
  return {
    sessionMs: 1_000,
    patienceMs: 30_000,
    recordsOutside: true,
    process: () => openProcess(dir, lived.clock),
    async wait(condition, withinMs, what) {
      const untilMs = performance.now() + withinMs;
      while (!(await condition())) {
        if (performance.now() > untilMs) throw new Error(`not within ${withinMs} ms: ${what}`);
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
    },
    async close() {
      lived.close();
      fs.rmSync(dir, { recursive: true, force: true });
    },
  };
}

async function openProcess(dir: string, time: Clock): Promise<TestProcess> {
  let alive = true;
  const clock: Clock = { ...time, after: (ms, run) => time.after(ms, () => alive && run()) };
  const [random, notices] = [systemRandom, openNotices()];
  const directory = openDirectory(dir, 'test', random);
  const sockets = await openSockets({ directory, address: newAddress(random), clock, notices });
  const doorbells = openDoorbells({ directory, sockets, clock });
  const upkeep = new Upkeep(directory, random, notices);
  const registry = openRegistry({ directory, sockets, doorbells, upkeep, clock, notices });
  return {
    // The cast: these suites only close the log.
    log: closable(async () => undefined) as unknown as Log,
    registry,
    messenger: openMessenger({ sockets, instancesOf: (module) => registry.instancesOf(module) }),
    settings: openSettings({ directory, doorbells, clock, random, notices }),
    async crash() {
      alive = false;
      tearDown(sockets);
    },
  };
}

/** Closes all sockets and leaves the files, as the kernel does for a killed process. Uses private parts. */
function tearDown(sockets: Sockets): void {
  sockets['closedAtMs'] = 0;
  sockets['listener']['server'].close();
  for (const peer of sockets['peers'].values()) for (const one of peer.connections) one.destroy();
}
