/** Runs `busbar` on 200 queues with a million waiting messages and 200 instances, as a process of its own. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { openBus, defineModule, work, type Bus } from 'busbar';
import { z } from 'zod';
import { lineOf, middle, type Line, type Round } from './measure';
import { startChild, type Child } from './processes';
import type { Run } from './scenarios';

const queues = 200;
const waiting = 1_000_000;
const processes = 4;
const batch = 5_000;

const contracts = Array.from({ length: queues }, (_, n) =>
  defineModule(`unit${n}`, { job: work(z.object({ n: z.number() })) }),
);

/** Opens the instances of one process: each consumes one queue, whose handler hangs. */
export async function openConsumers(dir: string, first: number): Promise<() => Promise<void>> {
  const buses: Bus[] = [];
  for (const contract of contracts.slice(first, first + queues / processes)) {
    const bus = await openBus({ module: contract, dir, log: false });
    await bus.serve(contract, { job: () => new Promise<void>(() => {}) }, { concurrency: 1 });
    buses.push(bus);
  }
  return async () => void (await Promise.all(buses.map((bus) => bus.close())));
}

/**
 * `p50_ms` is the time until the command has ended, `p99_ms` the time until its first line, both with the start of
 * Node.js; `cpu_us` is its CPU time. `outstanding` is the number of waiting messages.
 */
export async function look(run: Run): Promise<readonly Line[]> {
  const children: Child[] = [];
  const sender = await openBus({ module: 'sender', dir: run.dir, log: false });
  for (const contract of contracts) {
    const jobs = Array.from({ length: waiting / queues }, (_, n) => ({ n }));
    for (let at = 0; at < jobs.length; at += batch) await sender.submitAll(contract.job, jobs.slice(at, at + batch));
  }
  run.say(`look: ${waiting} messages wait`);
  for (let n = 0; n < processes; n++) children.push(await startChild(`look-${(n * queues) / processes}`, run.dir));
  run.say(`look: ${queues} instances are up`);
  const rounds: Round[] = [];
  const firsts: number[] = [];
  for (let n = 0; n <= run.rounds; n++) {
    const { endMs, firstMs, cpuMs, lines } = await busbar(run.dir);
    run.say(
      `look: first line after ${firstMs.toFixed(0)} ms, end after ${endMs.toFixed(0)} ms, ${lines} lines, CPU ${cpuMs} ms`,
    );
    if (n === 0) continue; // the first one fills caches
    firsts.push(firstMs);
    rounds.push({ perS: 1_000 / endMs, p50Ms: endMs, p99Ms: firstMs, cpuUs: cpuMs * 1_000 });
  }
  run.say(`look: first line after ${middle(firsts).toFixed(0)} ms`);
  await sender.close();
  await Promise.all(children.map((child) => child.close()));
  return [lineOf('look', 'busbar', waiting, rounds, run.way)];
}

/** Runs the command in a terminal, as an operator does, and measures its time and CPU. */
function busbar(dir: string) {
  const command = `stty cols 120; TIMEFORMAT='cpu %U %S'; time '${process.execPath}' '${join(__dirname, cli)}'`;
  const script = spawn('script', ['-qec', `bash -c "${command}"`, '/dev/null'], {
    env: { ...process.env, BUSBAR_DIR: dir, NO_COLOR: '1' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const beganMs = performance.now();
  let [out, firstMs] = ['', Infinity];
  return new Promise<{ endMs: number; firstMs: number; cpuMs: number; lines: number }>((resolve) => {
    script.stdout.setEncoding('utf8').on('data', (text: string) => {
      if (out === '') firstMs = performance.now() - beganMs;
      out += text;
    });
    script.once('close', () => {
      const [, user = '0', system = '0'] = /cpu (\S+) (\S+)/.exec(out) ?? [];
      const cpuMs = Math.round((Number(user) + Number(system)) * 1_000);
      resolve({ endMs: performance.now() - beganMs, firstMs, cpuMs, lines: out.split('\n').length - 2 });
    });
  });
}
/** From build/test/bench. */
const cli = '../../../dist/cli/main.js';
