/** Simulates processes within one process: each has all ports, and a script can crash, freeze and cut it off. */
import type { Clock, Random } from '../base/clock';
import { limits } from '../base/limits';
import type { Log } from '../ports/log';
import type { Messenger } from '../ports/messenger';
import type { Registry } from '../ports/registry';
import type { Settings } from '../ports/settings';
import { seededRandom } from './clock';
import type { FaultScript } from './faults';
import { groupOf, memoryLog, type LogWorld } from './log';
import { Life, type Surroundings } from './life';
import { memoryMessenger, type MessengerWorld } from './messenger';
import { memoryRegistry, MemoryAnnouncements } from './registry';
import { memorySettings, Values } from './settings';
import { Topics } from './topics';

export interface WorldOptions {
  readonly clock: Clock;
  /** Draws the delays. The default is seeded with 1. */
  readonly random?: Random;
  /** Delay of each direction between a process and the world. Default: none, so a call has its effect immediately. */
  readonly delays?: { readonly minMs: number; readonly maxMs: number };
  /** Delay in ms until other processes notice that a process is dead. @default 0, with the next event */
  readonly crashNoticedMs?: number;
  /** Time in ms for which a frozen process stays in the registry. Groups have their own session. @default 10_000 */
  readonly sessionMs?: number;
  /** Largest record of a topic, in bytes. The default leaves 128 KB beside a message. */
  readonly recordBytesMax?: number | ((topic: string) => number);
  /** Largest state of a commit, in bytes. It fits into Kafka's 4,096 characters. @default 3_072 */
  readonly stateBytesMax?: number;
  /** Keeps records that a group has not read; see `Log.holdsUnread`. @default true */
  readonly holdsUnread?: boolean;
  /** Makes a process recreate an announcement that another program removed, as the transports do. @default true */
  readonly keepsAnnouncements?: boolean;
  /** Most packets that can wait for one receiver. @default 100_000 */
  readonly packetsMax?: number;
}

/** Ports of one simulated process, and the controls that crash, freeze or expire it. */
export interface MemoryProcess {
  readonly name: string;
  readonly state: 'running' | 'frozen' | 'crashed';
  readonly log: Log;
  readonly messenger: Messenger;
  readonly registry: Registry;
  readonly settings: Settings;
  /** Clock as the process sees it: its timers do not fire while it is frozen, and never after a crash. */
  readonly clock: Clock;
  readonly random: Random;
  /**
   * Crashes the process: its pending promises never settle and its callbacks never run. Other processes notice after
   * `crashNoticedMs`.
   */
  crash(): void;
  /**
   * Freezes the process: nothing reaches it until `thaw`, and its sessions expire. Other members then get its
   * partitions.
   */
  freeze(): void;
  thaw(): void;
  /** Ends its sessions although it is running. It loses its partitions and announcement, and then rejoins by itself. */
  expire(): void;
  /** Removes its announcement, as another program would. */
  removeAnnouncement(): void;
}

export interface MemoryWorld {
  readonly clock: Clock;
  readonly random: Random;
  /** Returns a new process. The same name stands for a new start of that process. */
  process(name: string): MemoryProcess;
  /** Script of the faults that happen from now on; undefined means none. */
  faults: FaultScript | undefined;
  /** Moves every partition of a group to its next member. */
  rebalance(group: string, topic: string): void;
  /** Makes the coordinator of the group unreachable for `forMs`: members cannot commit, and lose their partitions. */
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
  const roll = new MemoryAnnouncements();
  const messengers: MessengerWorld = { boxes: new Map(), roll, packetsMax: options.packetsMax ?? 100_000, made: 0 };
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
        messenger: memoryMessenger(messengers, life),
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
