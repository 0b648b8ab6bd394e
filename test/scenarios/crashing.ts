/** Workers that are killed with -9, and offsets that another program resets (CA-13, CA-14). */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { openBus } from 'busbar';
import type { Admin } from 'kafkajs';
import { commitMs, steady, type WorkerGiven } from './crashcontract';
import { count, type Figure } from './figures';
import { onKafka, recordsOf, startChild, until, withAdmin, type Around, type Child, type Scenario } from './scene';

const program = join(__dirname, 'crashchild.ts');
const concurrency = 8;
const handlerMs = 1_000;
/** Time from an entry in the log of a worker to its kill, in which the commit of a started handler ends. */
const slackMs = 2 * commitMs;
const sessionMs = 6_000;
const partitions = 12;

export const crashing: Scenario = {
  title: 'a worker killed with -9 in the middle of its handlers, and offsets that another program resets',
  run: async (around) => crash(around),
};

async function crash(around: Around): Promise<readonly Figure[]> {
  const kills = around.short ? 1 : 8;
  const bus = { ...onKafka(around), sessionMs };
  const workers: Worker[] = [];
  const open = async (): Promise<Worker> => {
    const worker = new Worker({ bus, ledger: join(around.dir, `w${workers.length}`), concurrency, handlerMs });
    workers.push(worker);
    await worker.child.next('open');
    return worker;
  };
  await using sender = await openBus({ log: false, module: 'sender', ...onKafka(around) });
  try {
    const messages = concurrency * (kills + 1);
    let worker = await open();
    await sender.submitAll(
      steady.step,
      Array.from({ length: messages }, (_, n) => ({ key: `k${n}`, n })),
    );
    for (let kill = 1; kill <= kills; kill++) {
      // Half of the time of a handler after its start: its commit has ended, and the handler has not.
      await until('handlers run', 60_000, () => worker.isBusy(slackMs / 2));
      await worker.child.kill();
      worker = await open();
    }
    await until('all are handled', 120_000, () => endedBy(workers).size === messages);
    worker.child.send('close');
    await worker.child.ended;
    around.say(`${kills} workers were killed`);
    return [...repeats(messages, workers), ...(await reset(around, messages))];
  } finally {
    await Promise.all(workers.map(({ child }) => child.kill()));
  }
}

interface Line {
  readonly word: string;
  readonly n: number;
  readonly attempt: number;
  readonly atMs: number;
}

/** A worker process, and its ledger of started and ended handlers. */
class Worker {
  readonly child: Child;
  #deathMs = Infinity;

  constructor(private readonly given: WorkerGiven) {
    this.child = startChild(program, [JSON.stringify(given)]);
    void this.child.ended.then(() => (this.#deathMs = Date.now()));
  }

  /** True when the handlers that run started at least `forMs` ago. */
  isBusy(forMs: number): boolean {
    const running = this.running();
    return running.length === concurrency && running.every(({ atMs }) => Date.now() - atMs >= forMs);
  }
  get lines(): readonly Line[] {
    const text = readFileSync(this.given.ledger, 'utf8').split('\n').filter(Boolean);
    return text.map((line) => {
      const [word = '', n, attempt, atMs] = line.split(' ');
      return { word, n: Number(n), attempt: Number(attempt), atMs: Number(atMs) };
    });
  }
  running(): readonly Line[] {
    const ended = new Set(this.ended().map(({ n }) => n));
    return this.lines.filter(({ word, n }) => word === 'begin' && !ended.has(n));
  }
  ended(): readonly Line[] {
    return this.lines.filter(({ word }) => word === 'end');
  }
  /** Handlers that had ended so shortly before the death that their commit can be missing. */
  lately(): readonly Line[] {
    return this.ended().filter(({ atMs }) => this.#deathMs - atMs <= slackMs);
  }
}

const endedBy = (workers: readonly Worker[]): ReadonlySet<number> =>
  new Set(workers.flatMap((worker) => worker.ended().map(({ n }) => n)));

function repeats(messages: number, workers: readonly Worker[]): readonly Figure[] {
  let [inFlight, repeated, marked, unexpected] = [0, 0, 0, 0];
  for (const [at, before] of workers.slice(0, -1).entries()) {
    const running = new Set(before.running().map(({ n }) => n));
    const allowed = new Set([...running, ...before.lately().map(({ n }) => n)]);
    const begun = new Set(before.lines.map(({ n }) => n));
    // Each is repeated by the next worker, or by a later one if the next one is killed before.
    const later = workers.slice(at + 1).flatMap(({ lines }) => lines.filter(({ word }) => word === 'begin'));
    const again = [...begun].flatMap((n) => later.find((line) => line.n === n) ?? []);
    inFlight += running.size;
    repeated += again.length;
    marked += again.filter(({ attempt }) => attempt > 1).length;
    unexpected += again.filter(({ n }) => !allowed.has(n)).length;
  }
  const handled = endedBy(workers).size;
  return [
    {
      row: 'CA-13',
      what: `kill -9 of ${workers.length - 1} workers: in flight, repeated, repeated with attempt > 1`,
      authors: 'up to 50 repeated at each crash',
      ours: `${inFlight}, ${repeated}, ${marked}`,
      ok: repeated >= inFlight && unexpected === 0 && marked === repeated,
    },
    {
      row: 'CA-13',
      what: 'repeated, although its handler had ended longer than a commit ago; lost',
      authors: '',
      ours: `${unexpected}; ${messages - handled}`,
      ok: unexpected === 0 && handled === messages,
    },
  ];
}

/** Sets the offsets of the group to the start, then to the end while messages wait, as an operator's tool does. */
async function reset(around: Around, messages: number): Promise<readonly Figure[]> {
  const topic = topicOf(around);
  const stored = await recordsOf(around, topic);
  await setOffsets(around, topic, 'low');
  const first = await handleAll(around, (handled) => handled === stored);
  const again = await handleAll(around, () => true); // its own offsets are in place now
  await using sender = await openBus({ log: false, module: 'sender', ...onKafka(around) });
  await sender.submitAll(
    steady.step,
    Array.from({ length: 12 }, (_, n) => ({ key: `k${n}`, n: messages + n })),
  );
  await setOffsets(around, topic, 'high');
  const second = await handleAll(around, () => true);
  return [
    {
      row: 'CA-14',
      what: 'offsets reset to the start: handled again; reported',
      authors: 're-read three weeks',
      ours: `${count(first.handled)} of ${count(stored)}; ${first.reports} times, then ${again.reports}`,
      ok: first.handled === stored && first.reports === 1 && again.handled + again.reports === 0,
    },
    {
      row: 'CA-14',
      what: 'offsets reset to the end while 12 wait: skipped; reported',
      authors: 'skipped, not noticed',
      ours: `${12 - second.handled}; ${second.reports} times`,
      ok: second.handled === 0 && second.reports === 1,
    },
  ];
}

async function setOffsets(around: Around, topic: string, to: 'low' | 'high'): Promise<void> {
  await withAdmin(around, async (admin) => {
    const offsets = await admin.fetchTopicOffsets(topic);
    const partitions = offsets.map((one) => ({ partition: one.partition, offset: one[to] }));
    await admin.setOffsets({ groupId: topic, topic, partitions });
  });
}

/** Serves until the queue is caught up. Returns the number of handled messages, and of reports about offsets. */
async function handleAll(
  around: Around,
  isComplete: (handled: number) => boolean,
): Promise<{ readonly handled: number; readonly reports: number }> {
  let [handled, reports, owned] = [0, 0, 0];
  await using bus = await openBus({ log: false, module: steady, ...onKafka(around), sessionMs });
  bus.watch((notice) => {
    if (notice.type === 'partition' && notice.change === 'taken') owned++;
    if (notice.type === 'log' && notice.message.includes('another program has set its offsets')) reports++;
  });
  await bus.serve(steady, { step: () => void handled++ }, { concurrency: 64 });
  await until('it owns all partitions', 60_000, () => owned === partitions);
  await withAdmin(around, (admin) =>
    until('the group has caught up', 60_000, async () => isComplete(handled) && (await lagOf(admin, around)) === 0),
  );
  return { handled, reports };
}

/** Returns the records behind the committed offsets, as Kafka's own tools count them. */
async function lagOf(admin: Admin, around: Around): Promise<number> {
  const topic = topicOf(around);
  const [found] = await admin.fetchOffsets({ groupId: topic });
  const ends = new Map((await admin.fetchTopicOffsets(topic)).map(({ partition, high }) => [partition, Number(high)]));
  const committed = (found?.partitions ?? []).map(({ partition, offset }) => [partition, Number(offset)] as const);
  return committed.reduce((sum, [partition, offset]) => sum + (ends.get(partition) ?? 0) - Math.max(0, offset), 0);
}

/** The topic of the queue, and its group. */
const topicOf = ({ ns }: Pick<Around, 'ns'>): string => `${ns}.steady.work`;
