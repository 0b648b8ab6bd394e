/** Each server and each process killed in turn under load (IMP-3, IMP-4). */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { FaultScene } from '../kafka/faultscene';
import { brokenIn } from '../kafka/faulttable';
import { leaderOf } from '../kafka/faultrounds';
import { count, ms, type Figure } from './figures';
import { isTimely, later, onKafka, type Around, type Scenario } from './scene';

const brokerSessionMs = 3_000;
const sessionMs = 6_000;
/** Longest time without a delivery: the session of the killed process or server, and five seconds. */
const gapMsMax = sessionMs + 5_000;

export const kills: Scenario = {
  title: 'kill -9 of each broker, of ZooKeeper, of a receiver and of a sender, in turn, under load',
  alone: true,
  run: async (around) => kill(around),
};

/** A copy of a message that a receiver dropped. */
const copy = / dropped \S+: repeated$/;

interface Step {
  readonly name: string;
  readonly act: () => Promise<unknown>;
}

async function kill(around: Around): Promise<readonly Figure[]> {
  const { cluster, short, say, ns } = around;
  const downMs = short ? 1_000 : 15_000;
  const perSecond = short ? 100 : 500;
  const load = { jobsPerSecond: perSecond, keys: 24, requestsPerSecond: 2, broadcastsPerSecond: 1, jobMs: 1 };
  const [ledgers, spool] = [join(around.dir, 'ledgers'), join(around.dir, 'spool')];
  mkdirSync(ledgers);
  const scene = new FaultScene({ bus: { ...onKafka(around), sessionMs, spool }, load, dir: ledgers });
  const broker = (id: number): Step => ({
    name: `broker ${id}`,
    act: async () => {
      await cluster.broker(id).kill();
      await later(downMs);
      await cluster.mend();
    },
  });
  const zookeeper: Step = {
    name: 'ZooKeeper',
    act: async () => {
      await cluster.zookeeperServer.kill();
      await later(downMs);
      await cluster.mend();
    },
  };
  const replaced = (role: 'worker' | 'sender'): Step => ({
    name: `a ${role}`,
    act: async () => {
      const [first] = role === 'worker' ? scene.workers : scene.senders;
      first?.signal('SIGKILL');
      await scene.start(role);
    },
  });
  try {
    await Promise.all([scene.start('worker'), scene.start('worker')]);
    await Promise.all([scene.start('sender'), scene.start('sender')]);
    await later(4_000);
    const leader = await leaderOf(cluster, `${ns}.ledger.work`, 0);
    const servers = short ? [broker(leader)] : [broker(1), broker(2), broker(3), zookeeper];
    scene.fault();
    for (const { name, act } of [...servers, replaced('worker'), replaced('sender')]) {
      say(`kills ${name}`);
      await act();
      await later(short ? 2_000 : 20_000);
    }
    scene.whole();
    const report = await scene.finish(short ? 30_000 : 120_000);
    // The spool sends a list of unknown outcome again, and the receivers drop the copies.
    const copies = report.faults.filter((fault) => copy.test(fault));
    const broken = brokenIn({ ...report, faults: report.faults.filter((fault) => !copy.test(fault)) });
    if (broken.length > 0) say(JSON.stringify(report));
    const { acceptGapMs, endGapMs, waitMs, seconds } = gapsOf(scene);
    const killed = `${servers.length} servers, a receiver, a sender`;
    return [
      {
        row: 'IMP-4',
        what: `accepted under load, ${killed} killed`,
        authors: '1,000/s planned',
        ours: `${count(report.accepted)} jobs, ${count(report.accepted / seconds)}/s`,
        ok: report.accepted > 0,
      },
      {
        row: 'IMP-3',
        what: 'accepted and never handled',
        authors: 'waiting messages die with the service',
        ours: `${report.unhandled.length}`,
        ok: report.unhandled.length === 0,
      },
      {
        row: 'IMP-3',
        what: 'handled again after the kill of the receiver; copies dropped',
        authors: '',
        ours: `${report.repeatedAfterDeath.length + report.begunAgain}; ${count(copies.length)}`,
        ok: report.repeatedBySame.length + report.repeatedByOther.length === 0,
      },
      {
        row: 'IMP-4',
        what: 'all promises of the fault suites',
        authors: '',
        ours: broken.length === 0 ? 'kept' : broken.join('; '),
        ok: broken.length === 0,
      },
      {
        row: 'IMP-4',
        what: 'longest time without an accepted job',
        authors: '',
        ours: ms(acceptGapMs),
        ok: isTimely(around, acceptGapMs, brokerSessionMs + 5_000),
      },
      {
        row: 'IMP-4',
        what: 'longest time without a handled job; longest wait',
        authors: '',
        ours: `${ms(endGapMs)}; ${ms(waitMs)}`,
        ok: isTimely(around, endGapMs, gapMsMax),
      },
    ];
  } finally {
    await scene.close();
    await cluster.mend();
  }
}

/** Returns the longest times between two accepted jobs, between two ended jobs, and from accepted to begun. */
function gapsOf(scene: FaultScene): { acceptGapMs: number; endGapMs: number; waitMs: number; seconds: number } {
  const lines = scene.lines().toSorted((a, b) => a.atMs - b.atMs);
  const gap = (word: string): number => {
    const times = lines.filter(({ words }) => words[0] === word).map(({ atMs }) => atMs);
    return times.reduce((most, atMs, at) => Math.max(most, atMs - (times[at - 1] ?? atMs)), 0);
  };
  const begun = new Map<string, number>();
  for (const { atMs, words } of lines) {
    const job = `${words[1]}/${words[2]}`;
    if (words[0] === 'begin' && !begun.has(job)) begun.set(job, atMs);
  }
  const accepted = lines.filter(({ words }) => words[0] === 'accepted');
  const waitMs = accepted.reduce((most, { atMs, words }) => {
    return Math.max(most, (begun.get(`${words[1]}/${words[2]}`) ?? atMs) - atMs);
  }, 0);
  const seconds = ((accepted.at(-1)?.atMs ?? 0) - (accepted[0]?.atMs ?? 0)) / 1_000;
  return { acceptGapMs: gap('accepted'), endGapMs: gap('end'), waitMs, seconds };
}
