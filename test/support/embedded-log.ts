/** A rig for the conformance suites: embedded logs in this process that stop and die like processes. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sleep, systemRandom, type Clock } from '../../src/base/clock';
import { openNotices, type Notices } from '../../src/base/notices';
import { openEmbeddedLog } from '../../src/embedded/log';
import type { PeerProcesses } from '../../src/embedded/store/peer-processes';
import type { Log } from '../../src/ports/log';
import type { Rig } from './conformance';
import { openLivedClock } from '../elapsed';

/** Doorbells between logs of one process; dead and stopped logs receive none. */
export class Street {
  private readonly houses = new Map<string, House>();
  private count = 0;
  constructor(private readonly time: Clock) {}

  house(): House {
    const address = `house-${++this.count}`;
    const house = new House(address, this.houses, this.time);
    this.houses.set(address, house);
    return house;
  }
}

/** The neighbors of one simulated process, and its clock, which stops with it. */
export class House implements PeerProcesses {
  dead = false;
  private still = false;
  private readonly hearing = new Set<(topic: string) => void>();
  private missed: (() => void)[] = [];

  constructor(
    readonly address: string,
    private readonly houses: ReadonlyMap<string, House>,
    private readonly time: Clock,
  ) {}

  readonly clock: Clock = {
    now: () => this.time.now(),
    mono: () => this.time.mono(),
    after: (delayMs, run) => this.time.after(delayMs, () => this.happen(run)),
  };
  private happen(run: () => void): void {
    if (this.still) this.missed.push(run);
    else run();
  }
  freeze(): void {
    this.still = true;
  }
  thaw(): void {
    this.still = false;
    for (const run of this.missed.splice(0)) run();
  }
  /** Stops it for good. */
  die(): void {
    this.dead = true;
    this.freeze();
  }

  rise(): void {
    this.dead = false;
    this.thaw();
  }

  alive(address: string): boolean {
    return this.houses.get(address)?.dead === false;
  }
  ring(addresses: readonly string[], topic: string): void {
    for (const address of addresses) {
      const house = this.houses.get(address);
      if (house && !house.dead) setImmediate(() => house.hear(topic));
    }
  }
  private hear(topic: string): void {
    this.happen(() => {
      for (const hear of this.hearing) hear(topic);
    });
  }
  onRing(hear: (topic: string) => void): () => void {
    this.hearing.add(hear);
    return () => void this.hearing.delete(hear);
  }
}

export interface Opened {
  readonly log: Log;
  readonly house: House;
  readonly notices: Notices;
}

/** A directory with logs; `close` closes and removes all of it. */
export function openLogs(): {
  readonly dir: string;
  readonly open: (self?: string) => Promise<Opened>;
  readonly clock: Clock;
  readonly close: () => Promise<void>;
} {
  const dir = mkdtempSync(join(tmpdir(), 'busbar-log-'));
  const lived = openLivedClock(); // sessions are short here, and stalls of this process must not end them
  const street = new Street(lived.clock);
  const opened: Opened[] = [];
  return {
    dir,
    clock: lived.clock,
    async open(self) {
      const house = street.house();
      const notices = openNotices();
      const parts = {
        dir,
        self: self ?? house.address,
        clock: house.clock,
        random: systemRandom,
        notices,
        peers: house,
      };
      const log = await openEmbeddedLog(parts);
      const one = { log, house, notices };
      opened.push(one);
      return one;
    },
    async close() {
      // A stopped log cannot close its files.
      for (const { house } of opened) house.rise();
      await Promise.all(opened.map(({ log }) => log.close()));
      lived.close();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

const sessionMs = 1_000;

export async function openLogRig(): Promise<Rig> {
  const logs = openLogs();
  // The suites of log and groups use only the log; the other ports are only closed.
  const unused = <T extends object>(): T => ({ close: async () => undefined }) as unknown as T;
  return {
    sessionMs,
    patienceMs: 30_000,
    recordsOutside: true,
    async process() {
      const { log, house } = await logs.open();
      return {
        log,
        messenger: unused(),
        registry: unused(),
        settings: unused(),
        async crash() {
          house.die();
        },
        async pause() {
          house.freeze();
          await sleep(logs.clock, sessionMs * 1.2);
          return () => house.thaw();
        },
      };
    },
    async wait(condition, withinMs, what) {
      const untilMs = performance.now() + withinMs;
      while (!(await condition())) {
        if (performance.now() > untilMs) throw new Error(`not within ${withinMs} ms: ${what}`);
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
    },
    close: () => logs.close(),
  };
}
