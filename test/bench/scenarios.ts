/** Scenarios on the embedded transport. Each returns lines of figures; its subjects take turns in one run. */
import { execFile, spawn } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { openBus } from 'busbar';
import { bench, order } from './contract';
import { look } from './look';
import { here, interleaved, lineOf, middle, to, type Line, type Round, type Subject, type Way } from './measure';
import { ownCpuUs, startChild } from './processes';
import { bareEcho, busbarRequests } from './subjects';

export interface Run {
  readonly dir: string;
  readonly rounds: number;
  readonly subjects: readonly string[];
  readonly way: Way;
  readonly say: (progress: string) => void;
}
export type Scenarios = Readonly<Record<string, (run: Run) => Promise<readonly Line[]>>>;
export const scenarios: Scenarios = {
  request,
  overload,
  broadcast,
  submit,
  handle,
  waiting,
  idle,
  start,
  load,
  look,
};

/** Sends one request at a time, then 64, then 512 at a time, and checks each answer. */
async function request(run: Run): Promise<readonly Line[]> {
  const makers = { busbar: busbarRequests, 'unix-socket': bareEcho };
  const subjects: Subject[] = [];
  for (const [name, make] of Object.entries(makers))
    if (run.subjects.includes(name)) subjects.push(await make(run.dir));
  const lines: Line[] = [];
  for (const [outstanding, total] of [
    [1, 3_000],
    [64, 40_000],
    [512, 40_000],
  ] as const) {
    lines.push(...(await interleaved(run, 'request', subjects.map(here), { outstanding, total })));
  }
  for (const subject of subjects) await subject.close();
  return lines;
}

/**
 * Sends 20,000 requests at once to an instance whose handler hangs: half of them wait, the others are rejected. The
 * latency is that of the rejected ones, `per_s` their rate, `cpu_us` the instance's CPU time for each of the 20,000.
 */
async function overload(run: Run): Promise<readonly Line[]> {
  const rounds: Round[] = [];
  for (let n = 0; n <= run.rounds; n++) {
    const dir = join(run.dir, `overload-${n}`);
    const child = await startChild('overload', dir);
    const bus = await openBus({ module: 'caller', dir });
    await bus.tryRequest(bench.echo, order, { timeoutMs: 100 });
    const cpuBefore = Number(await child.ask('cpu'));
    const start = performance.now();
    const refusedMs: number[] = [];
    const ended = new Promise<void>((resolve) => {
      for (let i = 0; i < overloadRequests; i++) {
        void bus.tryRequest(bench.echo, order, { timeoutMs: 600_000 }).then((result) => {
          if (result.ok || result.error.code !== 'Overloaded') return;
          refusedMs.push(performance.now() - start);
          if (refusedMs.length === overloadRequests / 2) resolve();
        });
      }
    });
    await ended;
    const tookMs = performance.now() - start;
    const cpuUs = (Number(await child.ask('cpu')) - cpuBefore) / overloadRequests;
    refusedMs.sort((a, b) => a - b);
    const [p50Ms = 0, p99Ms = 0] = [refusedMs[refusedMs.length >> 1], refusedMs[Math.floor(refusedMs.length * 0.99)]];
    if (n > 0) rounds.push({ perS: (refusedMs.length * 1_000) / tookMs, p50Ms, p99Ms, cpuUs });
    run.say(`overload: round ${n} of ${run.rounds}, all refused after ${Math.round(tookMs)} ms`);
    await bus.close();
    await child.close();
  }
  return [lineOf('overload', 'busbar', overloadRequests, rounds)];
}
const overloadRequests = 20_000;

/** Measures the time from the call in one process to the handler in each of four other processes. */
async function broadcast(run: Run): Promise<readonly Line[]> {
  const children = await Promise.all([1, 2, 3, 4].map(() => startChild('bench', run.dir)));
  const bus = await openBus({ module: 'caller', dir: run.dir });
  const rounds: Round[] = [];
  for (let n = 0; n <= run.rounds; n++) {
    for (const child of children) await child.ask('reset');
    const start = performance.now();
    for (let i = 0; i < broadcasts; i++) {
      await bus.broadcast(bench.tell, { n: i, sentNs: process.hrtime.bigint() });
      await new Promise((resolve) => setTimeout(resolve, 1)); // one at a time: latency is measured, not throughput
    }
    const perS = (broadcasts * 1_000) / (performance.now() - start);
    const heard = (await Promise.all(children.map((child) => child.ask('latencies')))) as number[][];
    if (heard.some((mine) => mine.length !== broadcasts))
      throw new Error(`heard ${heard.map((mine) => mine.length).join()} of ${broadcasts}`);
    const all = heard.flat().toSorted((a, b) => a - b);
    if (n > 0)
      rounds.push({ perS, p50Ms: all[all.length >> 1] ?? 0, p99Ms: all[Math.floor(all.length * 0.99)] ?? 0, cpuUs: 0 });
    run.say(`broadcast to 4: round ${n} of ${run.rounds}`);
  }
  await bus.close();
  for (const child of children) await child.close();
  return [lineOf('broadcast', 'busbar', 1, rounds)];
}
const broadcasts = 500;

/** Submits jobs durably, singly and in lists of 100, while no worker runs. */
async function submit(run: Run): Promise<readonly Line[]> {
  const bus = await openBus({ module: 'caller', dir: run.dir });
  const subject = (call: () => Promise<void>): Subject => ({
    name: 'busbar',
    call,
    cpuUs: async () => ownCpuUs(),
    close: async () => {},
  });
  let n = 0;
  const job = (): typeof order => ({ ...order, id: `order-${n++ % 1_000}` });
  const single = subject(async () => void (await bus.submit(bench.job, job())));
  const list = subject(async () => void (await bus.submitAll(bench.job, Array.from({ length: 100 }, job))));
  const lines = [
    ...(await interleaved(run, 'submit', [here(single)], { outstanding: 1, total: 1_000 })),
    ...(await interleaved(run, 'submit', [here(single)], { outstanding: 256, total: 20_000 })),
    ...(await interleaved(run, 'submit-lists', [here(list)], { outstanding: 8, total: 500, each: 100 })),
  ];
  await bus.close();
  return lines;
}

/** Measures how fast an empty handler in another process works through 100,000 submitted jobs. */
async function handle(run: Run): Promise<readonly Line[]> {
  const rounds: Round[] = [];
  for (let n = 0; n <= run.rounds; n++) {
    const dir = join(run.dir, `handle-${n}`);
    const bus = await openBus({ module: 'caller', dir });
    for (let i = 0; i < jobs / 500; i++)
      await bus.submitAll(
        bench.job,
        Array.from({ length: 500 }, (_, k) => ({ ...order, id: `order-${(i * 500 + k) % 5_000}` })),
      );
    const child = await startChild('worker', dir);
    const cpuBefore = Number(await child.ask('cpu'));
    const start = performance.now();
    const countBefore = Number(await child.ask('count'));
    await until(async () => Number(await child.ask('count')) >= jobs);
    const tookMs = performance.now() - start;
    const cpuUs = (Number(await child.ask('cpu')) - cpuBefore) / (jobs - countBefore);
    if (n > 0) rounds.push({ perS: ((jobs - countBefore) * 1_000) / tookMs, p50Ms: 0, p99Ms: 0, cpuUs });
    run.say(`handle: round ${n} of ${run.rounds}, ${Math.round(((jobs - countBefore) * 1_000) / tookMs)}/s`);
    await child.close();
    await bus.close();
  }
  return [lineOf('handle', 'busbar', 64, rounds)];
}
const jobs = 100_000;

export async function until(done: () => Promise<boolean>): Promise<void> {
  const giveUpMs = performance.now() + 120_000;
  while (!(await done())) {
    if (performance.now() > giveUpMs) throw new Error('not done within 120 s');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Measures RSS with 100,000 jobs waiting; `p50_ms` is the sender's in MB, `p99_ms` the worker's. */
async function waiting(run: Run): Promise<readonly Line[]> {
  const bus = await openBus({ module: 'caller', dir: run.dir });
  for (let i = 0; i < jobs / 500; i++)
    await bus.submitAll(
      bench.job,
      Array.from({ length: 500 }, (_, k) => ({ ...order, id: `order-${k}` })),
    );
  const child = await startChild('stuck', run.dir);
  await new Promise((resolve) => setTimeout(resolve, 2_000)); // the worker fills its buffers
  const mb = [process.memoryUsage.rss() / 2 ** 20, Number(await child.ask('rss')) / 2 ** 20];
  await child.close();
  await bus.close();
  return [
    { ...lineOf('waiting', 'busbar', jobs, [{ perS: 0, p50Ms: mb[0] ?? 0, p99Ms: mb[1] ?? 0, cpuUs: 0 }]), spread: 0 },
  ];
}

/** Measures the CPU time of a process that serves a contract and receives nothing, in microseconds per second. */
export async function idle(run: Run): Promise<readonly Line[]> {
  const child = await startChild('bench', run.dir);
  await new Promise((resolve) => setTimeout(resolve, 2_000));
  const shares: number[] = [];
  for (let n = 0; n < run.rounds; n++) {
    const before = Number(await child.ask('cpu'));
    await new Promise((resolve) => setTimeout(resolve, 2_000));
    shares.push((Number(await child.ask('cpu')) - before) / 2);
  }
  await child.close();
  const rounds = shares.map((cpuUs) => ({ perS: 0, p50Ms: 0, p99Ms: 0, cpuUs }));
  return [
    {
      ...lineOf('idle', 'busbar', 0, rounds, run.way),
      spread: to(2, (Math.max(...shares) - Math.min(...shares)) / middle(shares)),
    },
  ];
}

/** Measures the time from the start of a process to its first answered request, including the start of Node. */
export async function start(run: Run): Promise<readonly Line[]> {
  const child = await startChild('bench', run.dir);
  const took: number[] = [];
  for (let n = 0; n <= run.rounds; n++) {
    const before = performance.now();
    await new Promise<void>((resolve, reject) => {
      const first = spawn(process.execPath, [join(__dirname, 'first.js'), run.dir], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      first.stdout.once('data', () => resolve());
      first.once('exit', (code) => code !== 0 && reject(new Error(`first.js ended with ${code}`)));
    });
    if (n > 0) took.push(performance.now() - before);
  }
  await child.close();
  return [
    lineOf(
      'start',
      'busbar',
      1,
      took.map((ms) => ({ perS: 1_000 / ms, p50Ms: ms, p99Ms: ms, cpuUs: 0 })),
      run.way,
    ),
  ];
}

/**
 * Measures how long `require('busbar')` takes in a fresh process; per_s and p99_ms are of the whole process. A subject
 * with a slash is the folder of another build, which takes turns with this one.
 */
async function load(run: Run): Promise<readonly Line[]> {
  const builds = new Map([['busbar', join(__dirname, '..', '..', '..')]]);
  for (const folder of run.subjects) if (folder.includes('/')) builds.set(folder, folder);
  const rounds = new Map([...builds.keys()].map((name): [string, Round[]] => [name, []]));
  for (let n = 0; n <= run.rounds; n++) {
    for (const [name, folder] of builds) {
      const code = `const before = performance.now(); require(process.argv[1]); console.log(performance.now() - before)`;
      const before = performance.now();
      const { stdout } = await promisify(execFile)(process.execPath, ['-e', code, folder]);
      const processMs = performance.now() - before;
      if (n > 0) rounds.get(name)?.push({ perS: 1_000 / processMs, p50Ms: Number(stdout), p99Ms: processMs, cpuUs: 0 });
    }
  }
  return [...rounds].map(([name, took]) => lineOf('load', name, 1, took, run.way));
}
