/** Runs workers and senders in separate processes on a real cluster, and keeps a ledger of their steps. */
import { fork, type ChildProcess } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BusGiven } from '../../src/options';
import type { Line, Load } from './faultcontract';
import { reportOf, type Report } from './faultreport';

export interface FaultSceneOptions {
  /** Options of every bus: brokers, ZooKeeper, ns, sessionMs. */
  readonly bus: BusGiven;
  /** Load of each sender, and `jobMs` of each worker. */
  readonly load: Load;
  /** Folder that keeps the ledger files. @default a folder that is removed with the scene */
  readonly dir?: string;
}
export interface FaultProcess {
  readonly name: string;
  readonly pid: number;
  /** Sends a signal. The report counts SIGKILL as a death and SIGSTOP as a stop: uncommitted jobs can be repeated. */
  readonly signal: (signal: NodeJS.Signals) => void;
  /** Closes its bus, as a process does before it exits. Resolves when it has exited. */
  readonly close: () => Promise<void>;
}

const openWithinMs = 120_000;
/** Longer than the longest submit. */
const stopWithinMs = 60_000;

interface Child extends FaultProcess {
  readonly role: 'worker' | 'sender';
  readonly process: ChildProcess;
  readonly ended: Promise<void>;
  readonly said: (word: string, withinMs: number) => Promise<void>;
}

export class FaultScene {
  readonly #children: Child[] = [];
  readonly #dir: string;
  readonly #deaths = new Map<string, number>();
  readonly #stops = new Map<string, number>();
  /** Start of the fault, and time of the cluster's recovery, in milliseconds since 1970. */
  faultMs = 0;
  wholeMs = 0;

  constructor(private readonly options: FaultSceneOptions) {
    this.#dir = options.dir ?? mkdtempSync(join(tmpdir(), 'busbar-faults-'));
  }

  get workers(): readonly FaultProcess[] {
    return this.#children.filter(({ role }) => role === 'worker');
  }
  get senders(): readonly FaultProcess[] {
    return this.#children.filter(({ role }) => role === 'sender');
  }

  /** Starts a process. Resolves when its bus is open, and a worker serves or a sender sends. */
  async start(role: 'worker' | 'sender'): Promise<FaultProcess> {
    const name = `${role[0]}${this.#children.length + 1}`;
    const args = [
      role,
      name,
      join(this.#dir, name),
      JSON.stringify(this.options.bus),
      JSON.stringify(this.options.load),
    ];
    const child = fork(join(__dirname, 'faultchild.ts'), args, {
      execArgv: ['-r', join(__dirname, '..', 'register.cjs')],
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    const said = (word: string, withinMs: number): Promise<void> =>
      new Promise((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error(`${name} is not ${word} after ${withinMs} ms`)), withinMs);
        child.on('message', (message) => {
          if (message !== word) return;
          clearTimeout(timer);
          resolve();
        });
        child.once('exit', (code) => {
          clearTimeout(timer);
          reject(new Error(`${name} ended with ${code} before it was ${word}`));
        });
      });
    const one: Child = {
      role,
      name,
      pid: child.pid ?? 0,
      process: child,
      ended,
      said,
      signal: (signal) => {
        if (signal === 'SIGKILL') this.#deaths.set(name, Date.now());
        if (signal === 'SIGSTOP') this.#stops.set(name, Date.now());
        child.kill(signal);
      },
      close: async () => {
        child.send('close');
        await ended;
      },
    };
    this.#children.push(one);
    await said('open', openWithinMs);
    return one;
  }

  /** Halves the rates of all senders. */
  slower(): void {
    for (const { role, process } of this.#children) if (role === 'sender') process.send('slower');
  }
  /** Returns the waiting time of the oldest accepted job that has not begun. */
  waitMs(): number {
    const begun = new Set<string>();
    let sinceMs = Infinity;
    const lines = this.lines();
    for (const { words } of lines) if (words[0] === 'begin') begun.add(`${words[1]}/${words[2]}`);
    for (const { atMs, words } of lines) {
      if (words[0] === 'accepted' && !begun.has(`${words[1]}/${words[2]}`)) sinceMs = Math.min(sinceMs, atMs);
    }
    return Math.max(0, Date.now() - sinceMs);
  }

  /** Records the start of the fault. */
  fault(): void {
    this.faultMs = Date.now();
  }
  /** Records the recovery of the cluster. */
  whole(): void {
    this.wholeMs = Date.now();
  }

  lines(): readonly Line[] {
    return readdirSync(this.#dir).flatMap((process) =>
      readFileSync(join(this.#dir, process), 'utf8')
        .trimEnd()
        .split('\n')
        .map((line) => {
          const [atMs, ...words] = line.split(' ');
          return { process, atMs: Number(atMs), words };
        }),
    );
  }

  report(): Report {
    const { faultMs, wholeMs } = this;
    return reportOf(this.lines(), { faultMs, wholeMs, deaths: this.#deaths, stops: this.#stops });
  }

  /**
   * Ends the senders. Resolves with the report as soon as every accepted job was handled, or after `withinMs` with the
   * unhandled ones.
   */
  async finish(withinMs: number): Promise<Report> {
    await Promise.all(
      this.#children
        .filter(({ role, process }) => role === 'sender' && process.connected) // a killed one sends nothing
        .map(async ({ process, said }) => {
          const stopped = said('stopped', stopWithinMs);
          process.send('stop');
          await stopped;
        }),
    );
    const endMs = performance.now() + withinMs;
    for (;;) {
      const report = this.report();
      if (report.unhandled.length === 0 || performance.now() > endMs) return report;
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  }

  async close(): Promise<void> {
    for (const { process } of this.#children) {
      process.kill('SIGCONT');
      process.kill('SIGKILL');
    }
    await Promise.all(this.#children.map(({ ended }) => ended));
    if (this.options.dir === undefined) rmSync(this.#dir, { recursive: true, force: true });
  }
}
