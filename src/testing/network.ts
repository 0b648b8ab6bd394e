/** What the test buses of one test share: a world in memory, its time, and a record of what was sent. */
import { openNotices } from '../base/notices';
import { buildBus, type BuiltBus } from '../bus/bus';
import type { Timings } from '../bus/parts';
import { memoryWorld, seededRandom, virtualClock, type VirtualClock } from '../memory';
import { recordLog, recordPost, type Tape } from './record';

/** As the real ones. */
const timings: Timings = {
  drainMs: 10_000,
  commitMs: 500,
  timeoutMs: 5_000,
  sessionMs: 10_000,
  keepMs: 7 * 24 * 3_600_000,
  lingerMs: 0, // nobody reads a registry late here, and a test that closes must not have to move the time
  messageBytesMax: 1_000_000,
  requestConcurrency: 100,
  workConcurrency: 8,
};
const settleMsMax = 5_000; // real time: a handler that takes longer belongs into a test of its own

export interface Network {
  readonly clock: VirtualClock;
  readonly tape: Tape;
  /** Another instance of `module`. */
  join(module: string): BuiltBus;
  /** See TestBus.settled. */
  settled(): Promise<void>;
}

export function openNetwork(): Network {
  const clock = virtualClock();
  const world = memoryWorld({ clock, sessionMs: timings.sessionMs, stateBytesMax: 1_000_000 });
  const random = seededRandom(1);
  const tape: Tape = { sent: [], parked: [] };
  const members: BuiltBus[] = [];

  function join(module: string): BuiltBus {
    const instance = `${module}#${members.length + 1}`;
    const { log, post, registry, settings } = world.process(instance);
    const built = buildBus({
      clock,
      random,
      notices: openNotices(),
      log: recordLog(log, tape),
      post: recordPost(post, tape),
      registry,
      settings,
      self: { module, instance },
      ns: 'test',
      host: 'test',
      pid: 1,
      rssBytes: () => 0,
      version: '0',
      reached: 'disk',
      middleware: [],
      timings,
      async closePorts() {
        await Promise.all([registry.close(), post.close(), log.close(), settings.close()]);
      },
    });
    members.push(built);
    return built;
  }
  async function settled(): Promise<void> {
    const giveUp = AbortSignal.timeout(settleMsMax);
    for (let quiet = 0; quiet < 2;) {
      if (giveUp.aborted) throw new Error(`not settled within ${settleMsMax} ms: a handler still runs or waits`);
      await clock.advance(0);
      // A handler may wait for something real, such as a file: a turn of the real event loop lets it come.
      await new Promise((resolve) => setImmediate(resolve));
      quiet = members.some((member) => member.busy()) ? 0 : quiet + 1;
    }
  }
  return { clock, tape, join, settled };
}
