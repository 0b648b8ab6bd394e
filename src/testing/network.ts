/** What the test buses of one test share: a world in memory, its time, and a record of what was sent. */
import { allEnded } from '../base/lifecycle';
import { openNotices } from '../base/notices';
import { buildBus, type BuiltBus } from '../bus/bus';
import { defaults, liveConfig } from '../config';
import { memoryWorld, seededRandom, virtualClock, type VirtualClock } from '../memory';
import { recordLog, recordPost, type Tape } from './record';

/** Nobody reads a registry late here, and a test that closes must not have to move the time. */
const timings = { ...defaults, lingerMs: 0 };
const settleMsMax = 5_000; // real time: a handler that takes longer belongs into a test of its own

export interface Network {
  readonly clock: VirtualClock;
  readonly tape: Tape;
  /** Another instance of `module`. */
  join(module: string): BuiltBus;
  /** See TestBus.settled. */
  settled(): Promise<void>;
  /** See TestBus.set. */
  set(key: string, value: string | number | boolean | null): Promise<void>;
}

export function openNetwork(): Network {
  const clock = virtualClock();
  const world = memoryWorld({ clock, sessionMs: timings.sessionMs, stateBytesMax: 1_000_000 });
  const random = seededRandom(1);
  const tape: Tape = { sent: [], parked: [] };
  const members: BuiltBus[] = [];
  const operator = world.process('operator').settings;

  function join(module: string): BuiltBus {
    const instance = `${module}#${members.length + 1}`;
    const { log, post, registry, settings } = world.process(instance);
    const notices = openNotices();
    const built = buildBus({
      clock,
      random,
      notices,
      log: recordLog(log, tape),
      post: recordPost(post, tape),
      registry,
      settings,
      live: liveConfig(defaults, notices, clock),
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
        await allEnded('closing the ports', [registry.close(), post.close(), log.close(), settings.close()]);
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
  async function set(key: string, value: string | number | boolean | null): Promise<void> {
    await Promise.all(members.map(({ opened }) => opened));
    const was = (await operator.get(key))?.version ?? 0;
    await operator.set(key, value === null ? null : String(value), was);
    await clock.advance(0);
  }
  return { clock, tape, join, settled, set };
}
