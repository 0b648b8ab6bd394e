/** Compares the spool with the parts that it is made of: the embedded log, and a direct send to Kafka. */
import { join } from 'node:path';
import { openBus, type Bus } from 'busbar';
import { startCallers } from './caller';
import { bench, order } from './contract';
import { interleaved, lineOf, to, type Line, type Round, type Subject } from './measure';
import { ownCpuUs } from './processes';
import type { Run } from './scenarios';

/**
 * - accept: `submit` into the spool beside `submit` of the embedded transport, while the spool sends.
 * - drain: lists through the spool until the broker has all of them, beside lists sent directly.
 * - latency: from `submit` to the handler, with and without the spool.
 */
export async function spool(run: Run): Promise<readonly Line[]> {
  const accepting = await startCallers('accept', ['embedded', 'spool'], run.dir);
  const lines = [
    ...(await interleaved(run, 'accept', accepting, { outstanding: 1, total: 1_000 }, run.way)),
    ...(await interleaved(run, 'accept', accepting, { outstanding: 256, total: 20_000 }, run.way)),
  ];
  for (const caller of accepting) await caller.close();
  const listing = await startCallers('accept-lists', ['embedded', 'spool'], run.dir);
  lines.push(
    ...(await interleaved(run, 'accept lists', listing, { outstanding: 4, total: 100, each: listLength }, run.way)),
  );
  for (const caller of listing) await caller.close();
  const waiting = await startCallers('latency', ['direct', 'spool'], run.dir);
  lines.push(...(await interleaved(run, 'submit to handler', waiting, { outstanding: 1, total: 300 }, run.way)));
  for (const caller of waiting) await caller.close();
  return [...lines, ...(await drain(run))];
}
export const listLength = 500;
const lists = 200;

const spoolOf = (dir: string, name: string): string => join(dir, `spool-${name}`);
/** Opens a bus on Kafka, with a spool or without, in a namespace of its own. */
function openOn(dir: string, scenario: string, name: string): Promise<Bus> {
  const ns = `${process.env['BUSBAR_NS']}${scenario}${name}`;
  return openBus({ module: 'caller', ns, ...(name === 'spool' && { spool: spoolOf(dir, scenario) }) });
}

export async function acceptSubject(dir: string, name: string, each: number): Promise<Subject> {
  const embedded = { transport: 'embedded', dir: join(dir, `embedded-${each}`) } as const;
  const bus =
    name === 'embedded' ? await openBus({ module: 'caller', ...embedded }) : await openOn(dir, `a${each}`, name);
  let n = 0;
  const job = () => ({ ...order, id: `order-${n++ % 1_000}` });
  return {
    name,
    async call() {
      const [sent] =
        each === 1
          ? [await bus.submit(bench.job, job())]
          : await bus.submitAll(bench.job, Array.from({ length: each }, job));
      if (sent?.reached !== (name === 'direct' ? 'broker' : 'disk')) throw new Error(`it reached ${sent?.reached}`);
    },
    cpuUs: async () => ownCpuUs(),
    close: () => bus.close(),
  };
}
export const acceptLists = (dir: string, name: string): Promise<Subject> => acceptSubject(dir, name, listLength);

export async function latencySubject(dir: string, name: string): Promise<Subject> {
  const bus = await openOn(dir, 'l', name);
  const waiting = new Map<string, () => void>();
  await bus.serve(bench, { echo: (one) => one, job: ({ id }) => waiting.get(id)?.(), tell: () => undefined });
  let n = 0;
  return {
    name,
    async call() {
      const id = `order-${n++}`;
      const handled = new Promise<void>((resolve) => waiting.set(id, resolve));
      await bus.submit(bench.job, { ...order, id });
      await handled;
      waiting.delete(id);
    },
    cpuUs: async () => ownCpuUs(),
    close: () => bus.close(),
  };
}

async function drain(run: Run): Promise<readonly Line[]> {
  const buses = new Map<string, Bus>();
  for (const name of ['direct', 'spool']) buses.set(name, await openOn(run.dir, 'd', name));
  const results = new Map<string, Round[]>([...buses.keys()].map((name) => [name, []]));
  for (let round = 0; round <= run.rounds; round++) {
    for (const [name, bus] of buses) {
      const before = { ms: performance.now(), cpuUs: ownCpuUs() };
      for (let list = 0; list < lists; list++) {
        const jobs = Array.from({ length: listLength }, (_, k) => ({ ...order, id: `order-${list}-${k}` }));
        await bus.submitAll(bench.job, jobs);
      }
      await bus.flush(); // until the broker has them
      const count = lists * listLength;
      const perS = (count * 1_000) / (performance.now() - before.ms);
      const one = { perS, p50Ms: 0, p99Ms: 0, cpuUs: (ownCpuUs() - before.cpuUs) / count };
      if (round > 0) results.get(name)?.push(one);
      run.say(`drain ${name}: round ${round} of ${run.rounds}, ${to(0, perS)}/s`);
    }
  }
  for (const bus of buses.values()) await bus.close();
  return [...results].map(([name, rounds]) => lineOf('drain', name, listLength, rounds, run.way));
}
