/** Scenarios on Kafka, which compare busbar with alternatives. Contenders take turns in one run. */
import { openBus } from 'busbar';
import { startCallers } from './caller';
import type { Span } from './child';
import { bench, order } from './contract';
import { instances } from './instances';
import { interleaved, lineOf, type Line, type Round } from './measure';
import { startChild, type Child } from './processes';
import { rolling } from './rolling';
import { backlog } from './backlog';
import { idle, start, until, type Run, type Scenarios } from './scenarios';
import { senders } from './senders';
import { spool } from './spool';

export const kafkaScenarios: Scenarios = {
  request,
  submit,
  handle,
  spool,
  backlog,
  start,
  instances,
  rolling,
  senders,
  idle,
};

/** Sends one request at a time, then 64 at a time, and checks each answer. */
async function request(run: Run): Promise<readonly Line[]> {
  const callers = await startCallers('request', run.subjects, run.dir);
  const lines = [
    ...(await interleaved(run, 'request', callers, { outstanding: 1, total: 1_000 }, run.way)),
    ...(await interleaved(run, 'request', callers, { outstanding: 64, total: 20_000 }, run.way)),
  ];
  for (const caller of callers) await caller.close();
  return lines;
}

/** Submits jobs while no worker runs. All in-sync replicas acknowledge each job. */
async function submit(run: Run): Promise<readonly Line[]> {
  const callers = await startCallers('submit', run.subjects, run.dir);
  const lines = [
    ...(await interleaved(run, 'submit', callers, { outstanding: 1, total: 1_000 }, run.way)),
    ...(await interleaved(run, 'submit', callers, { outstanding: 64, total: 20_000 }, run.way)),
  ];
  for (const caller of callers) await caller.close();
  return lines;
}

/** Compares empty handlers with a bare loop over batches. Each has its own group and continues after its last commit. */
async function handle(run: Run): Promise<readonly Line[]> {
  await (await startChild('worker', run.dir)).close(); // makes the queue
  const bus = await openBus({ module: 'caller', dir: run.dir });
  const results = new Map<string, Round[]>(
    ['busbar', 'kafkajs'].filter((name) => run.subjects.includes(name)).map((name) => [name, []]),
  );
  for (let n = 0; n <= run.rounds; n++) {
    await submitMany(bus.submitAll.bind(bus));
    for (const [name, rounds] of results) {
      const isBus = name === 'busbar';
      const round = await work(
        isBus ? 'worker' : 'each-batch',
        isBus ? run.dir : `${process.env['BUSBAR_NS']}.bench.work`,
      );
      if (n > 0) rounds.push(round);
      run.say(`handle ${name}: round ${n} of ${run.rounds}, ${Math.round(round.perS)}/s`);
    }
  }
  await bus.close();
  return [...results].map(([name, rounds]) => lineOf('handle', name, 64, rounds, run.way));
}
/** Many, so that the start of a process weighs little in the result. */
const jobsEach = 300_000;

type SubmitAll = (entry: typeof bench.job, jobs: readonly (typeof order)[]) => Promise<unknown>;
async function submitMany(submitAll: SubmitAll): Promise<void> {
  for (let i = 0; i < jobsEach; i += 500) {
    await submitAll(
      bench.job,
      Array.from({ length: 500 }, (_, k) => ({ ...order, id: `order-${(i + k) % 5_000}` })),
    );
  }
}

async function work(role: string, where: string): Promise<Round> {
  const child: Child = await startChild(role, where);
  await until(async () => Number(await child.ask('count')) >= jobsEach);
  const { first, last } = (await child.ask('span')) as Span; // a child answers 'span' with it
  await child.close();
  const handled = last.handled - first.handled;
  return {
    perS: (handled * 1_000) / (last.ms - first.ms),
    p50Ms: 0,
    p99Ms: 0,
    cpuUs: (last.cpuUs - first.cpuUs) / handled,
  };
}
