/** The log on Kafka over brokers in memory, on virtual time that passes by itself: for the conformance suites. */
import { seededRandom, virtualClock } from '../../src/memory/clock';
import type { Rig } from '../conformance/rig';
import { FakeCluster } from './fakewire';
import { openProcess, rigProcess } from './rig';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Each way to a broker and back takes `latencyMs`. */
export function openFakeRig(latencyMs: number): Promise<Rig> {
  const clock = virtualClock({ runs: 'all', drain: turn });
  const random = seededRandom(7);
  const cluster = new FakeCluster(clock);
  cluster.latencyMs = latencyMs;
  const sessionMs = 1_500; // heartbeats are few then, and time passes sooner
  let made = 0;
  return Promise.resolve({
    sessionMs,
    patienceMs: 120_000,
    recordsOutside: false,
    process() {
      const self = `p${++made}`;
      const wire = cluster.wire(self);
      const one = openProcess(self, wire, { clock, random });
      return Promise.resolve(
        rigProcess(one, wire, () => new Promise<void>((resolve) => clock.after(sessionMs * 1.5, resolve))),
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
