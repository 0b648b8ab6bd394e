/** Restarts four instances that share a queue, one after the other. Measures the time that partitions have no owner. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { openBus } from 'busbar';
import { bench, order } from './contract';
import { lineOf, middle, type Line } from './measure';
import { startChild } from './processes';
import { until, type Run } from './scenarios';

const members = 4;
/** File in the directory of the run with a line for each partition move: `<ms> <change> <partition>`. */
export const movesFile = 'moves';

/**
 * `p50_ms` is the median time without an owner of the partitions that moved, `p99_ms` the longest; `per_s` how many
 * jobs were submitted a second meanwhile.
 */
export async function rolling(run: Run): Promise<readonly Line[]> {
  const children = await Promise.all(Array.from({ length: members }, () => startChild('rolling', run.dir)));
  const bus = await openBus({ module: 'caller', dir: run.dir });
  let [running, accepted] = [true, 0];
  const load = async (): Promise<void> => {
    for (; running; accepted++) await bus.submit(bench.job, { ...order, id: `order-${accepted % 5_000}` });
  };
  const startMs = performance.now();
  const loads = Array.from({ length: 8 }, load);
  for (const [n, child] of children.entries()) {
    await child.close();
    children[n] = await startChild('rolling', run.dir);
    const before = accepted;
    await until(async () => accepted >= before + 500 && read(run.dir).free === 0);
    run.say(`rolling: ${n + 1} of ${members} restarted`);
  }
  running = false;
  await Promise.all(loads);
  const perS = (accepted * 1_000) / (performance.now() - startMs);
  const { gapsMs } = read(run.dir);
  run.say(`rolling: ${gapsMs.length} moves, at most ${Math.max(...gapsMs)} ms without an owner`);
  await bus.close();
  for (const child of children) await child.close();
  const round = { perS, p50Ms: middle(gapsMs), p99Ms: Math.max(...gapsMs), cpuUs: 0 };
  return [{ ...lineOf('rolling', 'busbar', members, [round], run.way), spread: 0 }];
}

/** Returns the time that each moved partition was without an owner, and the number of partitions without one now. */
function read(dir: string): { readonly gapsMs: readonly number[]; readonly free: number } {
  const file = join(dir, movesFile);
  const lines = existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : [];
  const moves = lines.map((line) => line.split(' ')).toSorted(([a], [b]) => Number(a) - Number(b));
  const freeSinceMs = new Map<string, number>();
  const gapsMs: number[] = [];
  for (const [atMs, change, partition = ''] of moves) {
    const sinceMs = freeSinceMs.get(partition);
    if (change !== 'taken') freeSinceMs.set(partition, Number(atMs));
    else if (sinceMs !== undefined) gapsMs.push(Number(atMs) - sinceMs);
    if (change === 'taken') freeSinceMs.delete(partition);
  }
  return { gapsMs, free: freeSinceMs.size };
}
