/**
 * The promise of the buffer agents: what was accepted while no broker was reachable is kept, although a process of the
 * machine is killed, and then all of them (BW-1, CA-3a, CA-3b, IMP-3).
 */
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { spool } from 'busbar/inspect';
import { count, mib, ms, percentile, type Figure } from './figures';
import { later, onKafka, startChild, until, type Around, type Child, type Scenario } from './scene';
import type { PublisherGiven, PublisherReport, ReceivedReport } from './outagecontract';

const program = join(__dirname, 'outagechild.ts');
const publishers = 2;
const perSecond = 5_000;
const keys = 24;
/** More than all jobs of the full size: their loss must not be a full spool. */
const spoolBytesMax = 4 * 1024 ** 3;

export const outage: Scenario = {
  title: 'no broker for five minutes at 5,000 jobs/s, a process killed, then the machine restarted',
  alone: true,
  run: async (around) => goWithout(around),
};

async function goWithout(around: Around): Promise<readonly Figure[]> {
  const { cluster, dir, short, say } = around;
  const awayMs = short ? 30_000 : 300_000;
  const [ledgers, spoolDir] = [join(dir, 'ledgers'), join(dir, 'spool')];
  mkdirSync(ledgers);
  const children = new Set<Child>();
  let started = 0;
  const startPublisher = (): Child => {
    const name = `p${++started}`;
    const given: PublisherGiven = {
      bus: { ...onKafka(around), spool: spoolDir, spoolBytesMax, waitForServersMs: 2 * awayMs },
      name,
      ledger: join(ledgers, name),
      perSecond: perSecond / publishers,
      keys: keys / publishers,
    };
    const child = startChild(program, ['publisher', JSON.stringify(given)]);
    children.add(child);
    return child;
  };
  const startPublishers = (): Child[] => Array.from({ length: publishers }, startPublisher);
  const opened = async (all: readonly Child[], withinMs?: number): Promise<number> => {
    const tookMs = await Promise.all(all.map((child) => child.next('open', withinMs)));
    return Math.max(...tookMs.map(Number));
  };
  const brokers = [1, 2, 3].map((id) => cluster.broker(id));
  const consumer = startChild(program, ['consumer', JSON.stringify({ ...onKafka(around), sessionMs: 10_000 })]);
  children.add(consumer);
  const received = async (): Promise<number> => {
    consumer.send('count');
    return Number(await consumer.next('count'));
  };
  try {
    await consumer.next('open');
    let running = startPublishers();
    await opened(running);
    await until('the first jobs are handled', 60_000, async () => (await received()) > perSecond);

    say('kills all brokers');
    await Promise.all(brokers.map((broker) => broker.kill()));
    const awayAtMs = performance.now();
    for (const child of running) child.send('away');
    const atEnd = await received();
    await later(awayMs / 3);
    say('kills a publisher');
    await running[0]?.kill();
    await later(awayMs / 3);
    say('kills all publishers, as a restart of the machine does');
    const [, survivor] = running;
    survivor?.send('report');
    const whileAway = (await survivor?.next('report')) as PublisherReport; // as `publish` sends
    await Promise.all(running.map((child) => child.kill()));
    const lookMs = performance.now();
    const { waiting } = await spool(spoolDir);
    const inspected = { messages: sum(waiting.map((one) => one.messages)), tookMs: performance.now() - lookMs };
    running = startPublishers();
    const reopened = opened(running, 2 * awayMs + 120_000);
    reopened.catch(() => undefined); // awaited below
    await later(Math.max(0, awayMs - (performance.now() - awayAtMs)));

    say(`starts the brokers after ${ms(performance.now() - awayAtMs)}`);
    await cluster.mend();
    const backMs = performance.now();
    const unsent = acceptedIn(ledgers).count - (await received());
    await until('the first of them is handled', 120_000, async () => (await received()) > atEnd);
    const firstMs = performance.now() - backMs;
    const openMs = await reopened;
    say(`${publishers} publishers are open again, ${ms(openMs)} after their start`);
    for (const child of running) child.send('stop');
    const reports = (await Promise.all(running.map((child) => child.next('stopped')))) as PublisherReport[]; // as `publish` sends
    const accepted = acceptedIn(ledgers);
    say(`${count(accepted.count)} accepted, ${count(accepted.count - (await received()))} wait`);
    await until('all are handled', 600_000, async () => (await received()) >= accepted.count);
    const drainMs = performance.now() - backMs;
    consumer.send('received');
    const report = (await consumer.next('received')) as ReceivedReport; // as `consume` sends
    return figuresOf({ accepted, report, reports, whileAway, inspected, awayMs, unsent, firstMs, drainMs, openMs });
  } finally {
    await Promise.all([...children].map((child) => child.kill()));
    await cluster.mend();
  }
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, one) => total + one, 0);

interface Accepted {
  readonly count: number;
  readonly byKey: ReadonlyMap<string, readonly number[]>;
}
function acceptedIn(folder: string): Accepted {
  const byKey = new Map<string, number[]>();
  let total = 0;
  for (const file of readdirSync(folder)) {
    for (const line of readFileSync(join(folder, file), 'utf8').split('\n')) {
      const [key, n] = line.split(' ');
      if (key === undefined || n === undefined) continue;
      const numbers = byKey.get(key);
      if (numbers) numbers.push(Number(n));
      else byKey.set(key, [Number(n)]);
      total++;
    }
  }
  return { count: total, byKey };
}

interface Outcome {
  readonly accepted: Accepted;
  readonly report: ReceivedReport;
  readonly reports: readonly PublisherReport[];
  /** The publisher that ran without a broker until the machine was restarted. */
  readonly whileAway: PublisherReport;
  readonly awayMs: number;
  /** Waiting messages as the inspector showed them while all processes were killed. */
  readonly inspected: { readonly messages: number; readonly tookMs: number };
  /** Accepted and not received when the brokers were back. */
  readonly unsent: number;
  readonly firstMs: number;
  readonly drainMs: number;
  readonly openMs: number;
}
function figuresOf(outcome: Outcome): readonly Figure[] {
  const { accepted, report, reports, whileAway, inspected, awayMs, unsent, firstMs, drainMs, openMs } = outcome;
  let [lost, twice, overtaken, received] = [0, 0, 0, 0];
  for (const [key, numbers] of accepted.byKey) {
    const found = new Set(report.get(key));
    lost += numbers.filter((n) => !found.has(n)).length;
  }
  for (const numbers of report.values()) {
    received += numbers.length;
    twice += numbers.length - new Set(numbers).size;
    overtaken += numbers.filter((n, at) => n < (numbers[at - 1] ?? -1)).length;
  }
  const rejected = [whileAway, ...reports].flatMap((one) =>
    Object.entries(one.rejected).map(([code, times]) => `${times} ${code}`),
  );
  const { tookMs, maxMs: longestMs } = whileAway;
  const away = ms(awayMs);
  return [
    {
      row: 'BW-1',
      what: `accepted, ${away} of it without a broker`,
      authors: '3,000',
      ours: `${count(accepted.count)}${rejected.map((one) => `, ${one}`).join('')}`,
      ok: rejected.length === 0,
    },
    {
      row: 'BW-1',
      what: 'accepted and lost',
      authors: 'Dory: 3,000 of 3,000 after kill -9',
      ours: count(lost),
      ok: lost === 0,
    },
    {
      row: 'BW-6',
      what: 'received twice; received in all',
      authors: 'Dory: 1 for each lost acknowledgement',
      ours: `${count(twice)}; ${count(received)}`,
      ok: twice === 0,
    },
    {
      row: 'BR-36',
      what: 'received after a later one of its key',
      authors: 'order not guaranteed',
      ours: count(overtaken),
      ok: overtaken === 0,
    },
    {
      row: 'CA-3a',
      what: 'submit without a broker: p50, p99, longest',
      authors: 'TimeoutException after 15 s',
      ours: [percentile(tookMs, 0.5), percentile(tookMs, 0.99), longestMs].map(ms).join(', '),
      ok: undefined,
    },
    {
      row: 'BR-42',
      what: 'the inspector without a broker and without a process',
      authors: 'Dory: counts of its own process',
      ours: `${count(inspected.messages)} wait, read in ${ms(inspected.tookMs)}`,
      ok: inspected.messages > 0,
    },
    {
      row: 'CA-3b',
      what: 'publishers that were started without a broker are open',
      authors: '',
      ours: ms(openMs),
      ok: undefined,
    },
    {
      row: 'BW-7',
      what: 'brokers back: first job handled, all handled',
      authors: 'Dory: 8 to 15 s to the first',
      ours: `${ms(firstMs)}, ${ms(drainMs)} for ${count(unsent)}`,
      ok: undefined,
    },
    {
      row: 'BR-27',
      what: 'private memory of a publisher at most',
      authors: 'Dory: 128 MiB, then it drops',
      ours: mib(Math.max(...[whileAway, ...reports].map(({ memoryBytes }) => memoryBytes))),
      ok: undefined,
    },
  ];
}
