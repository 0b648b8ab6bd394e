/** Embedded logs in this process that stop and die like processes, for the conformance suites. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sleep, systemRandom, type Clock } from '../../src/base/clock';
import { openNotices, type Notices } from '../../src/base/notices';
import { openEmbeddedLog } from '../../src/embedded/log';
import type { PeerProcesses } from '../../src/embedded/store/peer-processes';
import type { Log } from '../../src/ports/log';
import type { TestPorts } from './conformance';
import { openLivedClock } from '../elapsed';

/** Doorbells between logs of one process; dead and stopped logs receive none. */
export class SimulatedMachine {
  private readonly processes = new Map<string, SimulatedProcess>();
  private count = 0;
  constructor(private readonly time: Clock) {}

  process(): SimulatedProcess {
    const address = `process-${++this.count}`;
    const process = new SimulatedProcess(address, this.processes, this.time);
    this.processes.set(address, process);
    return process;
  }
}

/** The neighbors of one simulated process, and its clock, which stops with it. */
export class SimulatedProcess implements PeerProcesses {
  dead = false;
  private still = false;
  private readonly hearing = new Set<(topic: string) => void>();
  private missed: (() => void)[] = [];

  constructor(
    readonly address: string,
    private readonly processes: ReadonlyMap<string, SimulatedProcess>,
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
    return this.processes.get(address)?.dead === false;
  }
  ring(addresses: readonly string[], topic: string): void {
    for (const address of addresses) {
      const process = this.processes.get(address);
      if (process && !process.dead) setImmediate(() => process.hear(topic));
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
  readonly process: SimulatedProcess;
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
  const machine = new SimulatedMachine(lived.clock);
  const opened: Opened[] = [];
  return {
    dir,
    clock: lived.clock,
    async open(self) {
      const process = machine.process();
      const notices = openNotices();
      const parts = {
        dir,
        self: self ?? process.address,
        clock: process.clock,
        random: systemRandom,
        notices,
        peers: process,
      };
      const log = await openEmbeddedLog(parts);
      const one = { log, process, notices };
      opened.push(one);
      return one;
    },
    async close() {
      // A stopped log cannot close its files.
      for (const { process } of opened) process.rise();
      await Promise.all(opened.map(({ log }) => log.close()));
      lived.close();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

const sessionMs = 1_000;

export async function openEmbeddedLogs(): Promise<TestPorts> {
  const logs = openLogs();
  // The suites of log and groups use only the log; the other ports are only closed.
  const unused = <T extends object>(): T => ({ close: async () => undefined }) as unknown as T;
  return {
    sessionMs,
    patienceMs: 30_000,
    recordsOutside: true,
    async process() {
      const { log, process } = await logs.open();
      return {
        log,
        messenger: unused(),
        registry: unused(),
        settings: unused(),
        async crash() {
          process.die();
        },
        async pause() {
          process.freeze();
          await sleep(logs.clock, sessionMs * 1.2);
          return () => process.thaw();
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
