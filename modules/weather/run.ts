/** Runs one arrangement of readers as processes and counts the events that each received. */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { openBus, type Body, type Bus } from 'busbar';
import { averages } from './contract';

export type Averaged = Body<typeof averages.averaged>;
/** The names under which the readers listen, by arrangement. */
export const arrangements = {
  'one reader': ['daily'],
  'three readers, each its own name': ['daily', 'weekly', 'monthly'],
  'three readers sharing a name': ['daily', 'daily', 'daily'],
} as const;
export type Arrangement = keyof typeof arrangements;

export interface RunOptions {
  /** The folder of the built modules. */
  readonly folder: string;
  /** The environment, with a BUSBAR_DIR that no other program uses. */
  readonly env: NodeJS.ProcessEnv;
  readonly messages: number;
  readonly stations: number;
  readonly withinMs: number;
}
export interface Reader {
  readonly name: string;
  readonly as: string;
  readonly got: readonly Averaged[];
}

/** Rejects with the count when not all averages have arrived after `withinMs`. Leaves no process running. */
export async function run(bus: Bus, arrangement: Arrangement, options: RunOptions): Promise<readonly Reader[]> {
  const names = arrangements[arrangement];
  const expected = options.messages * new Set(names).size;
  const children: ChildProcess[] = [];
  const start = (script: string, env: NodeJS.ProcessEnv): ChildProcess => {
    const child = fork(join(options.folder, 'weather', script), {
      env: { ...options.env, ...env },
      execArgv: ['--require', join(options.folder, 'leave.js')],
    });
    children.push(child);
    return child;
  };
  try {
    const results = await collect(bus, expected, options.withinMs);
    const readers = names.map((as) => start('average.js', { AS: as }));
    await within(options.withinMs, 'the readers did not share the partitions', shared(readers, names));
    start('measure.js', { MESSAGES: String(options.messages), STATIONS: String(options.stations) });
    return group(await results.all);
  } finally {
    await Promise.all(children.map(end));
  }
}

/** Opens the bus of the watcher of the run. */
export const openWatcher = (): Promise<Bus> => openBus({ module: 'weatherwatch' });

async function collect(bus: Bus, expected: number, withinMs: number): Promise<{ all: Promise<readonly Averaged[]> }> {
  const got: Averaged[] = [];
  let enough = (): void => undefined;
  const full = new Promise<void>((resolve) => (enough = resolve));
  const listening = await bus.listen(averages.averaged, (averaged) => {
    got.push(averaged);
    if (got.length >= expected) enough();
  });
  const all = within(withinMs, () => `${got.length} of ${expected} averages arrived`, full).then(async () => {
    await listening.close();
    return got;
  });
  all.catch(() => undefined); // reported to the caller that awaits it, also when a reader failed before
  return { all };
}

/** Resolves when the partitions are shared evenly, after which no partition and no station moves. */
function shared(readers: readonly ChildProcess[], names: readonly string[]): Promise<void> {
  const owned = new Map<ChildProcess, number>();
  const isShared = (): boolean =>
    readers.every((reader, index) => {
      const sharing = names.filter((name) => name === names[index]).length;
      return owned.get(reader) === partitions / sharing;
    });
  return new Promise((resolve, reject) => {
    for (const reader of readers) {
      reader.on('message', (message) => {
        owned.set(reader, (message as { owned: number }).owned); // the format of average.ts
        if (isShared()) resolve();
      });
      reader.once('exit', (code, signal) => reject(new Error(`a reader ended with ${signal ?? code}`)));
    }
  });
}
const partitions = 12; // of every event topic

function group(all: readonly Averaged[]): readonly Reader[] {
  const readers = new Map<string, { name: string; as: string; got: Averaged[] }>();
  for (const averaged of all) {
    const reader = readers.get(averaged.reader) ?? { name: averaged.reader, as: averaged.as, got: [] };
    reader.got.push(averaged);
    readers.set(averaged.reader, reader);
  }
  return [...readers.values()];
}

/** Returns the faults found; empty when each name received each temperature once and no station has two owners. */
export function faults(readers: readonly Reader[], messages: number): string[] {
  const found: string[] = [];
  const names = new Set(readers.map(({ as }) => as));
  for (const as of names) {
    const got = readers.filter((reader) => reader.as === as).flatMap((reader) => reader.got);
    const different = new Set(got.map(({ n }) => n)).size;
    if (got.length !== messages || different !== messages)
      found.push(`'${as}' got ${got.length}, ${different} different, of ${messages}`);
    const owners = new Map<string, Set<string>>();
    for (const { station, reader } of got) owners.set(station, (owners.get(station) ?? new Set()).add(reader));
    for (const [station, all] of owners)
      if (all.size > 1) found.push(`'${as}': ${station} was read by ${[...all].join(' and ')}`);
  }
  return found;
}

async function within<T>(withinMs: number, message: string | (() => string), what: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      reject(new Error(`${typeof message === 'string' ? message : message()} within ${withinMs} ms`));
    }, withinMs);
  });
  return Promise.race([what, late]).finally(() => clearTimeout(timer));
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), 5_000);
  await gone;
  clearTimeout(timer);
}
