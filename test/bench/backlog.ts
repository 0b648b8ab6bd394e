/** Measures a spool in which messages wait because the brokers are away, and the process that sends them afterwards. */
import { logLevel, type Admin } from 'kafkajs';
import { startCallers, type Remote } from './caller';
import { openKafka } from './kafkajs';
import { interleaved, lineOf, to, type Line, type Round } from './measure';
import type { Run } from './scenarios';
import { listLength } from './spool';

/** Messages that wait. */
const waiting = 1_000_000;
/** Parts in which they are accepted. The memory is measured after each of them. */
const parts = 10;
/** Parts after which the memory of a process that is busy has its size. */
const partsBefore = 3;
const outstanding = 4;
const pollMs = 25;

/**
 * - accept lists, brokers away: beside lists of the embedded transport.
 * - memory: its growth in the process that accepts, from 300,000 waiting messages to 1,000,000.
 * - first: from the start of a process to the first of these messages on the broker, after the other was killed.
 * - backlog: rate from that message to the last, beside as many messages that are sent directly.
 */
export async function backlog(run: Run): Promise<readonly Line[]> {
  const lines: Line[] = [...(await acceptAway(run))];
  const kafka = openKafka();
  kafka.logger().setLogLevel(logLevel.NOTHING); // a broker that was frozen refuses requests for a moment
  const admin = kafka.admin();
  await admin.connect();
  const [direct] = await startCallers('accept-lists', ['direct'], run.dir);
  const rounds = { direct: [] as Round[], spool: [] as Round[], first: [] as Round[] };
  const growth = { rss: [] as number[], anon: [] as number[] };
  for (let n = 0; n <= run.rounds; n++) {
    const sent = await direct?.round(outstanding, waiting / listLength, listLength);
    const filled = await fill(run, admin);
    const { first, rest } = await send(run, admin);
    run.say(
      `backlog: round ${n} of ${run.rounds}, directly ${to(0, sent?.perS ?? 0)}/s, waiting ones ${to(0, rest.perS)}/s, ` +
        `the first after ${to(0, first)} ms; memory ${filled.map(({ anonMb, rssMb }) => `${to(0, anonMb)}/${to(0, rssMb)}`).join(' ')} MB`,
    );
    if (n === 0 || !sent) continue;
    rounds.direct.push(sent);
    rounds.spool.push(rest);
    rounds.first.push({ perS: 0, p50Ms: first, p99Ms: first, cpuUs: 0 });
    growth.rss.push(grown(filled.map(({ rssMb }) => rssMb)));
    growth.anon.push(grown(filled.map(({ anonMb }) => anonMb)));
  }
  await direct?.close();
  await admin.disconnect();
  const none = { perS: 0, p50Ms: 0, p99Ms: 0, cpuUs: 0 };
  const memory = { rss_mb: to(0, Math.max(...growth.rss)), anon_mb: to(0, Math.max(...growth.anon)) };
  return [
    ...lines,
    { ...lineOf('memory', 'spool', waiting, [none], run.way), spread: 0, ...memory },
    lineOf('first', 'spool', 1, rounds.first, run.way),
    lineOf('backlog', 'direct', listLength, rounds.direct, run.way),
    lineOf('backlog', 'spool', listLength, rounds.spool, run.way),
  ];
}

async function acceptAway(run: Run): Promise<readonly Line[]> {
  const callers = await startCallers('accept-lists', ['embedded', 'spool'], `${run.dir}/away`);
  const size = { outstanding, total: 100, each: listLength };
  await control('freeze');
  try {
    return await interleaved(run, 'accept lists, brokers away', callers, size, run.way);
  } finally {
    for (const caller of callers) await caller.kill();
    await control('thaw');
  }
}

/** Accepts the messages while the broker is frozen, and kills the process. Returns its memory after each part. */
async function fill(run: Run, admin: Admin) {
  const spool = await startSpool(run);
  const before = await arrived(admin);
  await spool.round(1, 1, listLength);
  await untilArrived(admin, before + listLength); // creates the topic
  const all = [];
  await control('freeze');
  try {
    for (let n = 0; n < parts; n++) {
      await spool.round(outstanding, waiting / parts / listLength, listLength);
      all.push(await spool.usage());
    }
  } finally {
    await spool.kill();
    await control('thaw');
  }
  return all;
}
function grown(mb: readonly number[]): number {
  const late = mb.slice(partsBefore - 1);
  return Math.max(...late) - (late[0] ?? 0);
}
async function startSpool(run: Run): Promise<Remote> {
  const [spool] = await startCallers('accept-lists', ['spool'], run.dir);
  if (!spool) throw new Error('the subject is in the table of makers');
  return spool;
}

/** Starts a process on the filled spool. Returns the ms to the first message on the broker, and the rate from there. */
async function send(run: Run, admin: Admin): Promise<{ readonly first: number; readonly rest: Round }> {
  const before = await settled(admin);
  const startMs = performance.now();
  const starting = startSpool(run);
  const first = await untilArrived(admin, before + 1);
  const spool = await starting;
  const open = { count: await arrived(admin), ...(await spool.usage()) };
  const last = await untilArrived(admin, before + waiting);
  const cpuUs = ((await spool.usage()).cpuUs - open.cpuUs) / (last.count - open.count);
  await spool.close();
  const perS = ((last.count - first.count) * 1_000) / (last.ms - first.ms);
  return { first: first.ms - startMs, rest: { perS, p50Ms: 0, p99Ms: 0, cpuUs } };
}
/** Returns that number when the broker has written what it had received before it was frozen. */
async function settled(admin: Admin): Promise<number> {
  let count = await arrived(admin);
  for (let sinceMs = performance.now(); performance.now() - sinceMs < settledMs;) {
    await pause();
    const now = await arrived(admin);
    if (now !== count) [count, sinceMs] = [now, performance.now()];
  }
  return count;
}
const settledMs = 2_000;
/** Returns the number of messages that the broker has received. */
async function arrived(admin: Admin): Promise<number> {
  const topic = `${process.env['BUSBAR_NS']}a${listLength}spool.bench.work`;
  for (let tries = 1; ; tries++) {
    try {
      const { topics } = await admin.fetchTopicMetadata();
      if (!topics.some(({ name }) => name === topic)) return 0;
      return (await admin.fetchTopicOffsets(topic)).reduce((sum, { high }) => sum + Number(high), 0);
    } catch (error) {
      if (tries === triesMax) throw error;
      await pause();
    }
  }
}
const triesMax = 400;
async function untilArrived(admin: Admin, count: number): Promise<{ readonly count: number; readonly ms: number }> {
  const giveUpMs = performance.now() + 300_000;
  for (;;) {
    const found = await arrived(admin);
    if (found >= count) return { count: found, ms: performance.now() };
    if (performance.now() > giveUpMs) throw new Error(`${count - found} messages are missing after 300 s`);
    await pause();
  }
}
function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, pollMs));
}

/** Requests the process that started the broker to freeze it, or to let it continue. */
async function control(what: 'freeze' | 'thaw'): Promise<void> {
  if (!process.send) throw new Error('this scenario freezes the broker: run it with `npm run bench`');
  const answered = new Promise<{ readonly error?: string }>((resolve) => process.once('message', resolve));
  process.send(what);
  const { error } = await answered;
  if (error !== undefined) throw new Error(error);
}
