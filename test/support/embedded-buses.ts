/** Helpers for the tests of this folder: fresh directories, opened buses, and child processes that end with the test. */
import { type ChildProcess, fork } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { type Clock, systemRandom } from '../../src/base/clock';
import { type Notice, type Notices, openNotices } from '../../src/base/notices';
import { type Embedded, openEmbedded } from '../../src/embedded/open';
import { openLivedClock } from '../elapsed';

const undo: (() => void | Promise<void>)[] = [];
/** Run this after each test: it closes and removes everything that the test opened, newest first. */
export async function cleanUp(): Promise<void> {
  for (let run = undo.pop(); run !== undefined; run = undo.pop()) await run();
}
export function later(run: () => void | Promise<void>): void {
  undo.push(run);
}

/** Creates an empty directory with mode 0700 and a path that is short enough for sockets. */
export function freshDirectory(): string {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'bb-'));
  later(() => fs.rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/** Returns notices, and the list of those emitted so far. */
export function keptNotices(): { readonly notices: Notices; readonly kept: Notice[] } {
  const notices = openNotices();
  const kept: Notice[] = [];
  notices.watch((notice) => kept.push(notice));
  return { notices, kept };
}

/** One clock for all buses of a test. Time in which this process stalls does not pass on it: buses wait a second for each other. */
let lived: Clock | undefined;
function livedClock(): Clock {
  if (lived) return lived;
  const opened = openLivedClock();
  later(() => {
    opened.close();
    lived = undefined;
  });
  return (lived = opened.clock);
}
/** Returns the clock of all buses without timers of `delayMs`, to prove that an event does not depend on them. */
export function clockWithout(delayMs: number): Clock {
  const clock = livedClock();
  return { ...clock, after: (ms, run) => (ms === delayMs ? { cancel: () => undefined } : clock.after(ms, run)) };
}
/** Interval at which a bus checks for changes without a doorbell. */
export const pollMs = 500;
/** Time for which a bus waits until neighbors have handled a doorbell. */
export const heardWithinMs = 200;

export async function openBus(
  dir: string,
  name = 'web#0000',
  notices = openNotices(),
  clock = livedClock(),
): Promise<Embedded> {
  const bus = await openEmbedded({ dir, ns: 'test', name, clock, random: systemRandom, notices });
  later(() => bus.close());
  return bus;
}

/** Resolves when `holds` returns a truthy value, checked every ms; rejects after `withinMs`. */
export async function until<T>(
  holds: () => T | undefined | false | Promise<T | undefined | false>,
  withinMs = 30_000,
  what = 'it',
): Promise<T> {
  for (const start = performance.now(); ;) {
    const found = await holds();
    if (found) return found;
    if (performance.now() - start > withinMs) throw new Error(`${what} did not happen within ${withinMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

/** A process that runs `test/embedded/child.ts` with a role; killed after the test. */
export interface Child {
  readonly process: ChildProcess;
  /** The last message that it sent. */
  said(): unknown;
  /** The next message that it sends. */
  next(): Promise<unknown>;
  tell(message: string): void;
  kill(): Promise<void>;
}
export function startChild(role: string, dir: string, ...args: readonly string[]): Child {
  const child = fork(path.join(__dirname, '../embedded/child.ts'), [role, dir, ...args], {
    execArgv: ['-r', path.join(__dirname, '..', 'register.cjs')],
  });
  const heard: unknown[] = [];
  const waiting: ((message: unknown) => void)[] = [];
  let last: unknown;
  child.on('message', (message) => {
    last = message;
    if (typeof message === 'object' && 'error' in message)
      throw new Error(`${role} could not begin: ${String(message.error)}`);
    const next = waiting.shift();
    if (next) next(message);
    else heard.push(message);
  });
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const kill = async (): Promise<void> => {
    child.kill('SIGKILL');
    await ended;
  };
  later(kill);
  return {
    process: child,
    said: () => last,
    next: () => (heard.length > 0 ? Promise.resolve(heard.shift()) : new Promise((resolve) => waiting.push(resolve))),
    tell: (message) => void child.send(message),
    kill,
  };
}
