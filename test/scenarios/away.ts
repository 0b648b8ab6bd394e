/**
 * Brokers that do not come back: alarm, export, and counts; then a reconciliation, and a replay of everything, which
 * changes nothing (CA-3d, CA-5, CA-6).
 */
import { execFile } from 'node:child_process';
import { cpSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { isBusError, openBus, type Bus } from 'busbar';
import { inspect, spool } from 'busbar/inspect';
import { z } from 'zod';
import { defineModule, work } from '../../src/index';
import { parseEnvelope } from '../../src/format/envelope-parser';
import type { Log } from '../../src/ports/log';
import { count, ms, type Figure } from './figures';
import { asVariables, later, onKafka, recordsOf, until, type Around, type Scenario } from './scene';

const accounts = defineModule('accounts', {
  post: work(z.object({ key: z.string(), n: z.number(), text: z.string().default('') }), { key: ({ key }) => key }),
});
const queue = 'accounts.work';
const keys = 24;
/** Time within which waiting messages must be reported. Messages that wait for 5 s are, within a second. */
const alarmMsMax = 15_000;
const idOf = (n: number): string => `post-${n}`;

export const away: Scenario = {
  title: 'brokers that do not come back: alarm, list and export; then a reconciliation, and a replay of everything',
  alone: true,
  run: async (around) => miss(around),
};

/** Counts of a publisher by the outcome of its calls. */
class Ledger {
  attempted = 0;
  readonly accepted = new Set<string>();
  readonly consumed: string[] = [];

  async submit(bus: Bus, n: number, text = ''): Promise<void> {
    this.attempted++;
    try {
      const { id } = await bus.submit(accounts.post, { key: `k${n % keys}`, n, text }, { id: idOf(n) });
      this.accepted.add(id);
    } catch (error) {
      if (!isBusError(error, 'TooLarge')) throw error;
    }
  }
  get missing(): ReadonlySet<string> {
    const consumed = new Set(this.consumed);
    return new Set([...this.accepted].filter((id) => !consumed.has(id)));
  }
}

async function miss(around: Around): Promise<readonly Figure[]> {
  const { cluster, short, dir, say } = around;
  const [before, during] = short ? [200, 600] : [2_000, 20_000];
  const awayMs = short ? 0 : 60_000;
  const [spoolDir, copyDir] = [join(dir, 'spool'), join(dir, 'copy')];
  const ledger = new Ledger();
  const open = (): Promise<Bus> => openBus({ log: false, module: 'publisher', ...onKafka(around), spool: spoolDir });
  await using consumer = await openBus({ log: false, module: accounts, ...onKafka(around) });
  await consumer.serve(accounts, { post: (_, { id }) => void ledger.consumed.push(id) });
  const publisher = await open();
  const brokers = [1, 2, 3].map((id) => cluster.broker(id));
  try {
    await ledger.submit(publisher, -1, 'x'.repeat(2_000_000)); // rejected
    await submitAll(ledger, publisher, 0, before);
    await publisher.flush();
    await until('the first messages are handled', 60_000, () => ledger.missing.size === 0);

    say('kills all brokers');
    // A frozen broker does not respond either, and is back at once.
    await Promise.all(brokers.map((broker) => (short ? broker.freeze() : broker.kill())));
    const awayAtMs = performance.now();
    await submitAll(ledger, publisher, before, before + during);
    let isFlushed = false;
    const flushing = publisher.flush().then(
      () => ((isFlushed = true), 'resolved'),
      (error: unknown) => (isBusError(error) ? error.code : String(error)),
    );
    const alarm = (): number | undefined => publisher.health().reasons.find(({ part }) => part === 'spool')?.sinceMs;
    await until('health reports it', 60_000, () => alarm() !== undefined);
    const alarmMs = performance.now() - awayAtMs;
    await later(Math.max(0, awayMs - (performance.now() - awayAtMs)));
    const sinceMs = alarm() ?? 0;
    const [listed] = (await spool(spoolDir)).waiting;
    const exported = await exportTo(around, spoolDir, join(dir, 'waiting.jsonl'));
    const isSame = exported.size === during && [...ledger.missing].every((id) => exported.has(id));
    const whileAway = reportOf(ledger, before);
    const early = isFlushed;
    await publisher.close();
    const flushed = await flushing;
    cpSync(spoolDir, copyDir, { recursive: true, filter: (file) => !file.endsWith('.sock') });

    say(`starts the brokers after ${ms(performance.now() - awayAtMs)}`);
    await cluster.mend();
    await using again = await open();
    await until('all are handled', 300_000, () => ledger.missing.size === 0);
    await again.flush();
    await using look = await inspect(onKafka(around));
    const topic = `${around.ns}.${queue}`;
    const report = reportOf(ledger, (await idsIn(look.parts.log, topic)).size);
    const [handled, stored] = [ledger.consumed.length, await recordsOf(around, topic)];

    say('sends everything again');
    await submitAll(ledger, again, 0, before + during);
    await busbar(around, ['drain', '--dir', copyDir]);
    await again.flush();
    await until('all copies are read', 120_000, async () => {
      const [view] = await look.inspector.queues([queue]);
      return view?.state === 'caught up' && view.exact;
    });
    const copies = (await recordsOf(around, topic)) - stored;
    return [
      {
        row: 'CA-3d',
        what: 'health reports waiting messages',
        authors: 'not noticed',
        ours: `after ${ms(alarmMs)}; lasts ${ms(sinceMs)}`,
        ok: alarmMs <= alarmMsMax || short,
      },
      {
        row: 'CA-3d',
        what: 'listed as waiting; oldest; exported with ids',
        authors: 'lost with the process',
        ours: `${count(listed?.messages ?? 0)}; ${ms(listed?.oldestMs ?? 0)}; ${count(exported.size)}`,
        ok: listed?.messages === during && isSame,
      },
      {
        row: 'CA-3d',
        what: 'flush while they wait, and when the process ends',
        authors: 'the application counts on',
        ours: `${early ? 'RESOLVED' : 'waits'}, ${flushed}`,
        ok: !early && flushed === 'Closed',
      },
      {
        row: 'CA-5',
        what: 'without brokers: attempted, accepted, delivered, consumed; difference',
        authors: 'advises it',
        ours: whileAway,
        ok: whileAway === `${counts([before + during + 1, before + during, before, before])}; ${count(during)}`,
      },
      {
        row: 'CA-5',
        what: 'after them: attempted, accepted, delivered, consumed; difference',
        authors: 'advises it',
        ours: report,
        ok: report === `${counts([before + during + 1, before + during, before + during, before + during])}; 0`,
      },
      {
        row: 'CA-6',
        what: 'all sent again with their ids, and a copy of the spool drained: copies; handled again',
        authors: '5,689 surplus',
        ours: `${count(copies)}; ${count(ledger.consumed.length - handled)}`,
        ok: copies >= before + 2 * during && ledger.consumed.length === handled,
      },
    ];
  } finally {
    await cluster.mend();
    await publisher.close();
  }
}

/** Submits the numbers from `from` to `to`, with a limited number of calls in flight. */
async function submitAll(ledger: Ledger, bus: Bus, from: number, to: number): Promise<void> {
  let n = from;
  const line = async (): Promise<void> => {
    while (n < to) await ledger.submit(bus, n++);
  };
  await Promise.all(Array.from({ length: 64 }, line));
}

const counts = (all: readonly number[]): string => all.map(count).join(', ');
/** Reconciles the counts: the last one is the number of ids that were accepted and not consumed. */
function reportOf(ledger: Ledger, delivered: number): string {
  const { attempted, accepted, consumed, missing } = ledger;
  return `${counts([attempted, accepted.size, delivered, new Set(consumed).size])}; ${count(missing.size)}`;
}

/** Returns the ids of the records of a topic, as the log has them. */
async function idsIn(log: Pick<Log, 'bounds' | 'peek'>, topic: string): Promise<ReadonlySet<string>> {
  const ids = new Set<string>();
  for (const { partition, start, end } of await log.bounds(topic)) {
    for (let offset = start; offset < end;) {
      const records = await log.peek(topic, { partition, offset }, { messages: 1_000, bytes: 1_048_576 });
      for (const { headers } of records) {
        const envelope = parseEnvelope(headers['bus'] ?? '');
        if (!('bad' in envelope)) ids.add(envelope.id);
      }
      offset = (records.at(-1)?.offset ?? end) + 1;
    }
  }
  return ids;
}

/** Runs `busbar spool export`. Returns the ids in the file. */
async function exportTo(around: Around, dir: string, file: string): Promise<ReadonlySet<string>> {
  await busbar(around, ['spool', 'export', file, '--dir', dir]);
  const lines = readFileSync(file, 'utf8').split('\n').filter(Boolean);
  return new Set(lines.map((line) => (JSON.parse(line) as { readonly id: string }).id)); // the format of the verb
}

/** Runs the command of an operator. Rejects if its exit code is not 0. */
async function busbar(around: Around, args: readonly string[]): Promise<void> {
  const program = ['-r', join(__dirname, '..', 'register.cjs'), join(__dirname, '..', '..', 'src', 'cli', 'main.ts')];
  const env = { ...process.env, ...asVariables(around), KAFKAJS_NO_PARTITIONER_WARNING: '1' };
  await promisify(execFile)(process.execPath, [...program, ...args], { env });
}
