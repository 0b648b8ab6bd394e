/** Surroundings of one scenario: servers, a namespace, a folder, processes, and waits. */
import { fork, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Kafka, logLevel, type Admin } from 'kafkajs';
import type { BusGiven } from '../../src/options';
import type { Cluster } from '../cluster/cluster';
import type { KafkaSuite } from '../cluster/suite';
import { alterProducerQuota } from '../cluster/quota';
import { failures, type Figure } from './figures';

export interface Around {
  readonly cluster: Cluster;
  /** Namespace of this run of the scenario. */
  readonly ns: string;
  /** True if the scenario must end within about 30 s, with fewer messages than its authors sent. */
  readonly short: boolean;
  /** Factor by which the times of the authors are divided. Rates and quotas are multiplied by it. */
  readonly speed: number;
  /** An empty folder. */
  readonly dir: string;
  readonly say: (progress: string) => void;
}
/** Plays the short form of a scenario. Resolves to the figures that were judged as wrong. */
export async function playShort(scenario: Scenario, { cluster, namespace }: KafkaSuite, name: string) {
  const ns = `${namespace}-${name}`;
  const figures = await play(scenario, { cluster, ns, short: true, speed: 1, say: () => undefined });
  if (figures.length === 0) throw new Error(`the scenario ${name} has no figure`);
  return failures(figures);
}

/** Returns whether a time is within its limit. A short run is a test beside other tests, so its times are not judged. */
export function isTimely({ short }: Pick<Around, 'short'>, tookMs: number, limitMs: number): boolean {
  return short || tookMs <= limitMs;
}
export interface Scenario {
  /** What the scenario does, for the list of scenarios. */
  readonly title: string;
  /** True if it kills servers, so that no other test can use them meanwhile. */
  readonly alone?: boolean;
  readonly run: (around: Around) => Promise<readonly Figure[]>;
}

/** Runs a scenario in a folder of its own. */
export async function play(scenario: Scenario, around: Omit<Around, 'dir'>): Promise<readonly Figure[]> {
  const dir = mkdtempSync(join(tmpdir(), 'busbar-scenario-'));
  try {
    return await scenario.run({ ...around, dir });
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** Returns the options of a bus on the servers of the scenario. */
export function onKafka({ cluster, ns }: Pick<Around, 'cluster' | 'ns'>): BusGiven {
  return { transport: 'kafka', brokers: cluster.brokers.split(','), zookeeper: cluster.zookeeper, ns };
}
/** Returns the same options as variables, for programs that read them from their environment. */
export function asVariables({ cluster, ns }: Pick<Around, 'cluster' | 'ns'>): Readonly<Record<string, string>> {
  return {
    BUSBAR_TRANSPORT: 'kafka',
    BUSBAR_BROKERS: cluster.brokers,
    BUSBAR_ZOOKEEPER: cluster.zookeeper,
    BUSBAR_NS: ns,
  };
}

export const later = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Resolves when `holds` returns true. Checks every 20 ms. */
export async function until(what: string, withinMs: number, holds: () => boolean | Promise<boolean>): Promise<number> {
  const startMs = performance.now();
  while (!(await holds())) {
    if (performance.now() - startMs > withinMs) throw new Error(`not within ${withinMs} ms: ${what}`);
    await later(20);
  }
  return performance.now() - startMs;
}

/** Calls `use` with a Kafka admin client, which is independent of busbar. */
export async function withAdmin<T>(
  { cluster }: Pick<Around, 'cluster'>,
  use: (admin: Admin) => Promise<T>,
): Promise<T> {
  const client = new Kafka({ brokers: cluster.brokers.split(','), clientId: 'look', logLevel: logLevel.NOTHING });
  const admin = client.admin();
  await admin.connect();
  try {
    return await use(admin);
  } finally {
    await admin.disconnect();
  }
}
/** Returns the number of records of a topic, as the difference of its offsets. */
export async function recordsOf(around: Pick<Around, 'cluster'>, topic: string): Promise<number> {
  const offsets = await withAdmin(around, (admin) => admin.fetchTopicOffsets(topic));
  return offsets.reduce((sum, { high, low }) => sum + Number(high) - Number(low), 0);
}

/** Limits the bytes per second that a client can produce to each broker; null removes the limit. */
export function alterQuota(
  { cluster }: Pick<Around, 'cluster'>,
  clientId: string,
  byteRate: number | null,
): Promise<void> {
  return alterProducerQuota(cluster.brokers.split(',')[0] ?? '', clientId, byteRate);
}

/** A process of a scenario. Messages in both directions are a word and its data. */
export interface Child {
  readonly pid: number;
  send(word: string, data?: unknown): void;
  /** Resolves with the data of the next message with this word. Rejects when the process ends before it. */
  next(word: string, withinMs?: number): Promise<unknown>;
  signal(signal: NodeJS.Signals): void;
  /** Kills the process with -9. Resolves when it has ended. */
  kill(): Promise<void>;
  readonly ended: Promise<string>;
}

/** Starts `file` as a process, which ends with this one. */
export function startChild(file: string, args: readonly string[]): Child {
  const child: ChildProcess = fork(file, args, {
    execArgv: ['-r', join(__dirname, '..', 'register.cjs')],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    serialization: 'advanced',
    env: { ...process.env, KAFKAJS_NO_PARTITIONER_WARNING: '1' },
  });
  const stop = (): void => void child.kill('SIGKILL');
  process.once('exit', stop);
  const ended = new Promise<string>((resolve) =>
    child.once('exit', (code, signal) => {
      process.off('exit', stop);
      resolve(signal ?? String(code));
    }),
  );
  const received: (readonly [string, unknown])[] = [];
  const waiting = new Set<() => void>();
  child.on('message', (message) => {
    received.push(message as readonly [string, unknown]); // the format of `tell`
    for (const wake of waiting) wake();
  });
  return {
    pid: child.pid ?? 0,
    send: (word, data) => void child.send([word, data]),
    next: (word, withinMs = 120_000) =>
      new Promise((resolve, reject) => {
        const end = (act: () => void): void => {
          clearTimeout(timer);
          waiting.delete(look);
          act();
        };
        const look = (): void => {
          const at = received.findIndex(([one]) => one === word);
          if (at < 0) return;
          const [found] = received.splice(at, 1);
          end(() => resolve(found?.[1]));
        };
        const timer = setTimeout(() => end(() => reject(new Error(`no '${word}' within ${withinMs} ms`))), withinMs);
        waiting.add(look);
        void ended.then((how) => end(() => reject(new Error(`a process ended with ${how} before '${word}'`))));
        look();
      }),
    signal: (signal) => void child.kill(signal),
    async kill() {
      child.kill('SIGKILL');
      await ended;
    },
    ended,
  };
}

/** Sends a message to the parent, from a process that {@link startChild} started. */
export function tell(word: string, data?: unknown): void {
  process.send?.([word, data]);
}
/** Calls `run` for each message of the parent with this word. */
export function onWord(word: string, run: (data: unknown) => void): void {
  process.on('message', (message) => {
    const [one, data] = message as readonly [string, unknown]; // the format of `send`
    if (one === word) run(data);
  });
}

/**
 * Returns the private memory of this process. Mapped files are not part of it: the kernel can drop their pages at any
 * time. Outside Linux it is the whole resident memory.
 */
export function privateBytes(): number {
  const [, kib] = existsSync(statusFile) ? (/^RssAnon:\s+(\d+) kB$/m.exec(readFileSync(statusFile, 'utf8')) ?? []) : [];
  return kib === undefined ? process.memoryUsage().rss : Number(kib) * 1_024;
}
const statusFile = '/proc/self/status';
