/** What tests of this folder need: fresh directories, what was opened and told, waiting for what happens. */
import { type ChildProcess, fork } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { systemClock, systemRandom } from '../../src/base/clock';
import { type Notice, openNotices } from '../../src/base/notices';
import type { Instance } from '../../src/ports/registry';
import type { Setting } from '../../src/ports/settings';
import { openZookeeper, type Zookeeper, type ZookeeperOptions } from '../../src/zookeeper/open';
import type { Session } from '../../src/zookeeper/session/session';

const undo: (() => unknown)[] = [];
/** To be run after each test: closes and removes all that it opened, newest first. */
export async function cleanUp(): Promise<void> {
  for (let run = undo.pop(); run !== undefined; run = undo.pop()) await run();
}
export function later(run: () => unknown): void {
  undo.push(run);
}

export function freshDirectory(): string {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'bb-'));
  later(() => fs.rmSync(dir, { recursive: true, force: true }));
  return dir;
}

export interface Opened extends Zookeeper {
  readonly session: Session;
  readonly notices: readonly Notice[];
  /** What the notices said last of the state of ZooKeeper; undefined before they said anything. */
  state(): { readonly ok: boolean; readonly reason: string } | undefined;
}
type Given = Pick<ZookeeperOptions, 'connect' | 'ns'> & Partial<ZookeeperOptions>;

/** Opened, and closed after the test. */
export async function open(given: Given): Promise<Opened> {
  const { opening } = beginToOpen(given);
  return opening;
}
/** As {@link open}, for tests of what is told meanwhile. */
export function beginToOpen(given: Given): { readonly opening: Promise<Opened>; readonly notices: readonly Notice[] } {
  const notices = openNotices();
  const kept: Notice[] = [];
  notices.watch((notice) => kept.push(notice));
  const state = () => kept.findLast((notice) => notice.type === 'state');
  const opening = openZookeeper({ clock: systemClock, random: systemRandom, notices, ...given }).then((opened) => {
    later(() => opened.close());
    return { ...opened, session: sessionOf(opened), notices: kept, state };
  });
  return { opening, notices: kept };
}

/** The session of what was opened. Reaches into private parts. */
export function sessionOf({ registry }: Zookeeper): Session {
  return (registry as unknown as { parts: { session: Session } }).parts.session;
}

/** Resolves when `holds` gives something true, looked at whenever the event loop turns; rejects after `withinMs`. */
export async function until<T>(
  what: string,
  holds: () => T | undefined | false | Promise<T | undefined | false>,
  withinMs = 60_000,
): Promise<T> {
  for (const start = performance.now(); ;) {
    const found = await holds();
    if (found) return found;
    if (performance.now() - start > withinMs) throw new Error(`${what}: not within ${withinMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

export async function tookMs(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

export function instance(name: string, more: Partial<Instance> = {}): Instance {
  const [module = name] = name.split('#');
  return {
    name,
    module,
    address: `at-${name}`,
    incarnation: `${name}.1`,
    host: 'here',
    pid: process.pid,
    sinceMs: 1_790_000_000_000,
    version: '1.0.0',
    serves: { [module]: 'fingerprint' },
    leaving: false,
    ...more,
  };
}

/** Watches a contract: every list of names that was shown. */
export async function watchNames({ registry }: Zookeeper, contract: string): Promise<string[][]> {
  const seen: string[][] = [];
  await registry.watch(contract, (instances) => seen.push(instances.map(({ name }) => name).sort()));
  return seen;
}
/** Watches the settings: the last that was shown, as `key=value`. */
export async function watchSettings({ settings }: Zookeeper): Promise<{ last: string[] }> {
  const seen: { last: string[] } = { last: [] };
  const see = (all: readonly Setting[]): void =>
    void (seen.last = all.map(({ key, value }) => `${key}=${value}`).sort());
  await settings.watch(see);
  return seen;
}

/** A process that runs child.ts; killed after the test. */
export function startChild(args: readonly string[]): ChildProcess & { readonly left: Promise<number> } {
  const execArgv = ['--require', path.join(__dirname, '..', 'register.cjs')];
  const child = fork(path.join(__dirname, 'child.ts'), args, { execArgv });
  later(() => child.kill('SIGKILL'));
  const left = new Promise<number>((resolve) => {
    child.on('message', (said) => said === 'left' && resolve(performance.now()));
  });
  return Object.assign(child, { left });
}
