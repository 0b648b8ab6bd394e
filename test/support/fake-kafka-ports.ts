/** The Kafka log on brokers in memory, on virtual time that passes by itself, for the conformance suites. */
import { seededRandom, virtualClock } from '../../src/memory/clock';
import type { TestPorts } from './conformance';
import { FakeCluster } from './fake-cluster';
import { openProcess, testProcess } from './kafka-log-ports';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Opens ports on which each request and each answer takes `latencyMs`. */
export function openFakeKafkaPorts(latencyMs: number): Promise<TestPorts> {
  const clock = virtualClock({ runs: 'all', drain: turn });
  const random = seededRandom(7);
  const cluster = new FakeCluster(clock);
  cluster.latencyMs = latencyMs;
  const sessionMs = 1_500; // few heartbeats, so that virtual time passes faster
  let made = 0;
  return Promise.resolve({
    sessionMs,
    patienceMs: 120_000,
    recordsOutside: false,
    process() {
      const self = `p${++made}`;
      const client = cluster.wire(self);
      const one = openProcess(self, client, { clock, random });
      return Promise.resolve(
        testProcess(one, client, () => new Promise<void>((resolve) => clock.after(sessionMs * 1.5, resolve))),
      );
    },
    async wait(condition, withinMs, what) {
      const untilMs = clock.now() + withinMs;
      while (!(await condition())) {
        if (clock.now() > untilMs) throw new Error(`not within ${withinMs} ms: ${what}`);
        await turn();
      }
    },
    close() {
      cluster.close();
      return Promise.resolve();
    },
  });
}
