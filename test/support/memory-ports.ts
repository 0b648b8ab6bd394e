/** The memory ports on virtual time, for the conformance suites. */
import { promisesRunOut, seededRandom, virtualClock, type VirtualClock } from '../../src/memory/clock';
import { memoryWorld } from '../../src/memory/world';
import type { TestPorts } from './conformance';

/** Turns of the event loop for which a wait continues when no timer is set, because a test can still append from there. */
const idleTurnsMax = 2_000;

/** Without a seed, time passes only in waits. With a seed, it passes by itself, and every call takes 1 to 20 ms. */
export async function openMemoryPorts(seed?: number): Promise<TestPorts> {
  const delayed = seed !== undefined;
  const clock = virtualClock({ runs: delayed ? 'all' : 'due' });
  const world = memoryWorld({
    clock,
    ...(delayed ? { random: seededRandom(seed), delays: { minMs: 1, maxMs: 20 }, crashNoticedMs: 500 } : {}),
  });
  const sessionMs = 5_000;
  let processes = 0;
  return {
    sessionMs,
    patienceMs: 60_000,
    recordsOutside: false,
    async process() {
      const one = world.process(`p${++processes}`);
      return {
        ...one,
        async crash() {
          one.crash();
        },
        async pause() {
          one.freeze();
          await clock.advance(sessionMs);
          return () => one.thaw();
        },
      };
    },
    wait: waitIn(clock),
    async close() {},
  };
}

/** Advances time until a condition holds. */
export function waitIn(clock: VirtualClock): TestPorts['wait'] {
  return async (condition, withinMs, what) => {
    const untilMs = clock.now() + withinMs;
    for (let idle = 0; ;) {
      await promisesRunOut();
      if (await condition()) return;
      const nextMs = clock.nextDueMs;
      if (clock.now() > untilMs || idle > idleTurnsMax) throw new Error(`not within ${withinMs} ms: ${what}`);
      if (nextMs !== undefined && nextMs <= untilMs) await clock.advance(nextMs - clock.now());
      else {
        idle++;
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
  };
}
