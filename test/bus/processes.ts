/** Starts instances of the shop as processes, and stops each by its own handle. */
import { fork, type ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BusGiven } from '../../src/options';
import { openBus, type Bus } from '../../src/index';

export interface Shop {
  readonly instance: string;
  readonly pid: number;
  readonly kill: (signal: NodeJS.Signals) => void;
  readonly ended: Promise<number | null>;
}
export interface Note {
  readonly pid: number;
  readonly atMs: number;
  readonly text: string;
}
export interface Scene {
  readonly dir: string;
  open(module: string): Promise<Bus>;
  start(role?: string): Promise<Shop>;
  /** The notes of all processes, in the order in which they were written. */
  lines(): readonly Note[];
  /** The texts of these notes. */
  ledger(): string[];
  /** Resolves when `done` returns true. Checks every 10 ms, for at most `withinMs`. */
  until(done: () => boolean, withinMs?: number): Promise<number>;
  close(): Promise<void>;
}

/** The interval at which a process in the role `ticks` writes a note. */
export const tickMs = 50;

/** `more` are the options of the buses, beside the scene's own directory; `program` is the code of each process. */
export function openScene(more: BusGiven = {}, program = join(__dirname, 'child.ts')): Scene {
  const dir = mkdtempSync(join(tmpdir(), 'busbar-bus-'));
  const given: BusGiven = { dir: join(dir, 'bus'), ns: 'test', sessionMs: 2_000, ...more };
  const file = join(dir, 'ledger');
  const children: ChildProcess[] = [];
  const buses: Bus[] = [];
  const lines = (): Note[] => {
    if (!existsSync(file)) return [];
    return readFileSync(file, 'utf8')
      .trim()
      .split('\n')
      .map((line) => {
        const [pid, atMs, ...text] = line.split(' ');
        return { pid: Number(pid), atMs: Number(atMs), text: text.join(' ') };
      });
  };
  const ledger = (): string[] => lines().map(({ text }) => text);
  return {
    dir,
    lines,
    ledger,
    async open(module) {
      const bus = await openBus({ log: false, module, ...given });
      buses.push(bus);
      return bus;
    },
    async start(role = '') {
      const child = fork(program, [JSON.stringify(given), file, role], {
        execArgv: ['-r', join(__dirname, '..', 'register.cjs')],
        stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      });
      children.push(child);
      const ended = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)));
      const instance = await new Promise<string>((resolve, reject) => {
        child.once('message', (name: string) => resolve(name));
        child.once('exit', (code) => reject(new Error(`a shop ended with ${code} before it was open`)));
      });
      return { instance, pid: child.pid ?? 0, kill: (signal) => void child.kill(signal), ended };
    },
    async until(done, withinMs = 60_000) {
      const start = performance.now();
      while (!done()) {
        if (performance.now() - start > withinMs)
          throw new Error(`not within ${withinMs} ms; the ledger ends ${ledger().slice(-5).join(' | ')}`);
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      return performance.now() - start;
    },
    async close() {
      await Promise.all(buses.map((bus) => bus.close()));
      for (const child of children) child.kill('SIGKILL');
      await Promise.all(
        children.map(
          async (child) => child.exitCode ?? child.signalCode ?? new Promise((resolve) => child.once('exit', resolve)),
        ),
      );
      rmSync(dir, { recursive: true, force: true });
    },
  };
}
