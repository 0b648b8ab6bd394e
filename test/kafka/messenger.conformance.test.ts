import { seededRandom, virtualClock } from '../../src/memory/clock';
import { memoryWorld } from '../../src/memory/world';
import { conformsToPost } from '../conformance/messenger';
import { instanceOf, type Rig, type RigProcess } from '../support/conformance';
import { waitIn } from '../support/memory-ports';
import { openOn } from '../support/kafka-messenger';

/** Opens a rig whose instances are all announced and watch each other, as callers watch the modules they call. */
async function openRig(seed?: number): Promise<Rig> {
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
      const one: RigProcess = { log, settings, messenger, registry, crash: async () => process.crash() };
      await registry.announce(instanceOf(one, name, 'rig'));
      await registry.watch('rig', () => undefined);
      return one;
    },
    wait: waitIn(clock),
    async close() {},
  };
}

conformsToPost('kafka, on logs in memory', () => openRig());
conformsToPost('kafka, on logs in memory with delays', () => openRig(7));
