/** Registry and settings on one ZooKeeper for the conformance suites, with a session for each process. */
import { type Clock, systemClock, systemRandom } from '../../src/base/clock';
import { closable } from '../../src/base/lifecycle';
import { openNotices } from '../../src/base/notices';
import type { Log } from '../../src/ports/log';
import type { Messenger } from '../../src/ports/messenger';
import { openZookeeper } from '../../src/zookeeper/open';
import type { TestPorts, TestProcess } from './conformance';
import { sessionOf } from './zookeeper-sessions';

/** Stalls of a process or a server that are shorter than this drop no instance. */
const sessionMs = 6_000;

export async function openZookeeperPorts(connect: string, ns: string): Promise<TestPorts> {
  let opened = 0;
  return {
    sessionMs,
    patienceMs: 60_000,
    recordsOutside: true,
    process: () => openProcess(connect, ns, `address-${++opened}`),
    async wait(condition, withinMs, what) {
      const untilMs = performance.now() + withinMs;
      while (!(await condition())) {
        if (performance.now() > untilMs) throw new Error(`not within ${withinMs} ms: ${what}`);
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
    },
    close: () => Promise.resolve(),
  };
}

async function openProcess(connect: string, ns: string, address: string): Promise<TestProcess> {
  let alive = true;
  const clock: Clock = { ...systemClock, after: (ms, run) => systemClock.after(ms, () => alive && run()) };
  const notices = openNotices();
  const opened = await openZookeeper({ connect, ns, sessionMs, clock, random: systemRandom, notices });
  return {
    // The casts: these suites read only the address of the messenger, and close both.
    log: closable(() => opened.close()) as unknown as Log,
    messenger: { address, ...closable(async () => undefined) } as unknown as Messenger,
    registry: opened.registry,
    settings: opened.settings,
    async crash() {
      alive = false;
      sessionOf(opened).connection?.cut('killed');
    },
  };
}
