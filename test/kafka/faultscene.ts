/** Workers and senders in processes of their own on a real cluster, and the ledger of what each of them did. */
import { fork, type ChildProcess } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BusGiven } from '../../src/config';
import type { Line, Load } from './faultcontract';
import { reportOf, type Report } from './faultreport';

export interface FaultSceneOptions {
  /** Options of every bus: brokers, ZooKeeper, ns, sessionMs. */
  readonly bus: BusGiven;
  /** Of each sender; `jobMs` of each worker. */
  readonly load: Load;
  /** Where the ledger files go; they stay. Default: a folder that is removed with the scene. */
  readonly dir?: string;
}
export interface FaultProcess {
  readonly name: string;
  readonly pid: number;
  /** SIGKILL is a death in the ledger's report, SIGSTOP a stop: what the process had not committed can be repeated. */
  readonly signal: (signal: NodeJS.Signals) => void;
  /** Closes its bus, as a process does that is to end; resolves when it has ended. */
  readonly close: () => Promise<void>;
}

const openWithinMs = 120_000;
/** Longer than a submit takes at most. */
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
  /** When the fault began, and when the cluster was whole again; in milliseconds since 1970. */
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

  /** Resolves when the bus of the process is open and, for a worker, serves; a sender sends from then on. */
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
  /** How long the oldest accepted job that has not begun has waited. */
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

  /** The cluster has its fault from now on. */
  fault(): void {
    this.faultMs = Date.now();
  }
  /** The cluster is whole from now on. */
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
   * Ends the senders, and resolves with the report as soon as every accepted job was handled, or after `withinMs` with
   * what is missing then.
   */
  async finish(withinMs: number): Promise<Report> {
    await Promise.all(
      this.#children
        .filter(({ role }) => role === 'sender')
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
