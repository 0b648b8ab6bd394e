/** Simulated processes in one: each has all ports, and can be crashed, frozen and cut off by a script. */
import type { Clock, Random } from '../base/clock';
import { limits } from '../base/limits';
import type { Log } from '../ports/log';
import type { Post } from '../ports/messenger';
import type { Registry } from '../ports/registry';
import type { Settings } from '../ports/settings';
import { seededRandom } from './clock';
import type { FaultScript } from './faults';
import { groupOf, memoryLog, type LogWorld } from './log';
import { Life, type Surroundings } from './life';
import { memoryPost, type PostWorld } from './messenger';
import { memoryRegistry, Roll } from './registry';
import { memorySettings, Values } from './settings';
import { Topics } from './topics';

export interface WorldOptions {
  readonly clock: Clock;
  /** Draws the delays; default is seeded with 1. */
  readonly random?: Random;
  /** How long each way between a process and the world takes. Default: no time, a call has its effect at once. */
  readonly delays?: { readonly minMs: number; readonly maxMs: number };
  /** How long others take to notice that a process is dead; default 0, with the next event. */
  readonly crashNoticedMs?: number;
  /** How long a frozen process stays in the registry; default 10,000. Groups have their own. */
  readonly sessionMs?: number;
  /** The largest record that a topic takes, in bytes; default leaves 128 KB beside a message. */
  readonly recordBytesMax?: number | ((topic: string) => number);
  /** The largest state of a commit, in bytes; default 3,072, what fits into Kafka's 4,096 characters. */
  readonly stateBytesMax?: number;
  /** Default true; see `Log.holdsUnread`. */
  readonly holdsUnread?: boolean;
  /** Default true: an announcement that another program removed is made again, as the transports do it. */
  readonly keepsAnnouncements?: boolean;
  /** Packets that may wait for one receiver; default 100,000. */
  readonly packetsMax?: number;
}

/** The ports of one simulated process, and its fate. */
export interface MemoryProcess {
  readonly name: string;
  readonly state: 'running' | 'frozen' | 'crashed';
  readonly log: Log;
  readonly post: Post;
  readonly registry: Registry;
  readonly settings: Settings;
  /** As the process sees it: its timers do not fire while it is frozen, and never after a crash. */
  readonly clock: Clock;
  readonly random: Random;
  /** From now on nothing it awaits comes and no callback fires. Others notice after `crashNoticedMs`. */
  crash(): void;
  /** Nothing reaches it until `thaw`, and its sessions run out: others get its partitions. */
  freeze(): void;
  thaw(): void;
  /** Its sessions end although it lives: it loses partitions and announcement, and then comes back by itself. */
  expire(): void;
  /** Another program removes its announcement. */
  removeAnnouncement(): void;
}

export interface MemoryWorld {
  readonly clock: Clock;
  readonly random: Random;
  /** A new process. The same name again is another life of it. */
  process(name: string): MemoryProcess;
  /** What goes wrong from now on; undefined is nothing. */
  faults: FaultScript | undefined;
  /** Moves every partition of a group to its next member. */
  rebalance(group: string, topic: string): void;
  /** No member of the group reaches its coordinator for so long: they cannot commit, and lose what they own. */
  cutOff(group: string, topic: string, forMs: number): void;
}

export function memoryWorld(options: WorldOptions): MemoryWorld {
  const { clock, random = seededRandom(1), sessionMs = 10_000 } = options;
  const around: Surroundings = {
    clock,
    random,
    delays: options.delays,
    crashNoticedMs: options.crashNoticedMs ?? 0,
    faults: undefined,
  };
  const { recordBytesMax = limits.messageBytesMax + 128 * 1024 } = options;
  const logs: LogWorld = {
    topics: new Topics(() => clock.now(), typeof recordBytesMax === 'number' ? () => recordBytesMax : recordBytesMax),
    groups: new Map(),
    stateBytesMax: options.stateBytesMax ?? 3_072,
    holdsUnread: options.holdsUnread ?? true,
  };
  const roll = new Roll();
  const posts: PostWorld = { boxes: new Map(), roll, packetsMax: options.packetsMax ?? 100_000, made: 0 };
  const values = new Values();

  return {
    clock,
    random,
    process(name) {
      const life = new Life(name, around);
      return {
        name,
        get state() {
          return life.state;
        },
        log: memoryLog(logs, life),
        post: memoryPost(posts, life),
        registry: memoryRegistry(roll, life, sessionMs, options.keepsAnnouncements ?? true),
        settings: memorySettings(values, life),
        clock: life.clock,
        random,
        crash: () => life.crash(),
        freeze: () => life.freeze(),
        thaw: () => life.thaw(),
        expire: () => life.expire(),
        removeAnnouncement: () => life.removeAnnouncement(),
      };
    },
    get faults() {
      return around.faults;
    },
    set faults(script) {
      around.faults = script;
    },
    rebalance: (group, topic) => groupOf(logs, group, topic).shake(),
    cutOff: (group, topic, forMs) => groupOf(logs, group, topic).cutOff(clock, forMs),
  };
}
