import { seededRandom, virtualClock } from '../../src/memory/clock';
import { memoryWorld } from '../../src/memory/world';
import { conformsToMessenger } from '../conformance/messenger';
import { instanceOf, type TestPorts, type TestProcess } from '../support/conformance';
import { waitIn } from '../support/memory-ports';
import { openOn } from '../support/kafka-messenger';

/** Opens ports whose instances are all announced and watch each other, as callers watch the modules they call. */
async function openPorts(seed?: number): Promise<TestPorts> {
  const clock = virtualClock({ runs: seed === undefined ? 'due' : 'all' });
  const delayed = seed === undefined ? {} : { delays: { minMs: 1, maxMs: 20 }, crashNoticedMs: 500 };
  const world = memoryWorld({ clock, random: seededRandom(seed ?? 1), ...delayed });
  let processes = 0;
  return {
    sessionMs: 5_000,
    patienceMs: 60_000,
    recordsOutside: false,
    async process() {
      const name = `p${++processes}`;
      const process = world.process(name);
      const { messenger, registry } = await openOn(process);
      const { log, settings } = process;
      const one: TestProcess = { log, settings, messenger, registry, crash: async () => process.crash() };
      await registry.announce(instanceOf(one, name, 'peer'));
      await registry.watch('peer', () => undefined);
      return one;
    },
    wait: waitIn(clock),
    async close() {},
  };
}

conformsToMessenger('kafka, on logs in memory', () => openPorts());
conformsToMessenger('kafka, on logs in memory with delays', () => openPorts(7));
