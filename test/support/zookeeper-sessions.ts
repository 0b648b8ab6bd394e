/** Helpers for the tests of this folder: fresh directories, opened instances with their notices, waiting for conditions. */
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
/** Run this after each test: it closes and removes everything that the test opened, newest first. */
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
  /** The last state notice of ZooKeeper; undefined before the first one. */
  state(): { readonly ok: boolean; readonly reason: string } | undefined;
}
type Given = Pick<ZookeeperOptions, 'connect' | 'ns'> & Partial<ZookeeperOptions>;

/** Opens ZooKeeper, and closes it after the test. */
export async function open(given: Given): Promise<Opened> {
  const { opening } = beginToOpen(given);
  return opening;
}
/** Like {@link open}, for tests that check notices during opening. */
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

/** Returns the session, which is a private part. */
export function sessionOf({ registry }: Zookeeper): Session {
  return (registry as unknown as { parts: { session: Session } }).parts.session;
}

/** Resolves when `holds` returns a truthy value, checked every 2 ms; rejects after `withinMs`. */
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

/** Watches a contract; returns every list of names that the watcher got. */
export async function watchNames({ registry }: Zookeeper, contract: string): Promise<string[][]> {
  const seen: string[][] = [];
  await registry.watch(contract, (instances) => seen.push(instances.map(({ name }) => name).sort()));
  return seen;
}
/** Watches the settings; returns the last list that the watcher got, as `key=value`. */
export async function watchSettings({ settings }: Zookeeper): Promise<{ last: string[] }> {
  const seen: { last: string[] } = { last: [] };
  const see = (all: readonly Setting[]): void =>
    void (seen.last = all.map(({ key, value }) => `${key}=${value}`).sort());
  await settings.watch(see);
  return seen;
}

/** Starts a process that runs child.ts, and kills it after the test. */
export function startChild(args: readonly string[]): ChildProcess & { readonly left: Promise<number> } {
  const execArgv = ['--require', path.join(__dirname, '..', 'register.cjs')];
  const child = fork(path.join(__dirname, '../zookeeper/child.ts'), args, { execArgv });
  later(() => child.kill('SIGKILL'));
  const left = new Promise<number>((resolve) => {
    child.on('message', (said) => said === 'left' && resolve(performance.now()));
  });
  return Object.assign(child, { left });
}

/** Returns whether the session still restores what the last connection lost. The restorer is private. */
export function isRestoring(session: Session): boolean {
  return (session as unknown as { restorer: { restoring: unknown } }).restorer.restoring !== undefined;
}
