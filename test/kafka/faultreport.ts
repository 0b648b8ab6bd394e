/** Evaluates the ledger of a fault scene: jobs that were lost, read late, repeated, or handled out of order. */
import type { Line } from './faultcontract';

export interface Marks {
  readonly faultMs: number;
  readonly wholeMs: number;
  /** Times of SIGKILL, by process. */
  readonly deaths: ReadonlyMap<string, number>;
  /** Times at which processes were stopped for longer than their session, by process. */
  readonly stops: ReadonlyMap<string, number>;
}
export interface Report {
  readonly accepted: number;
  /** Number of jobs of unknown outcome; `refused` has the rejected jobs by code. */
  readonly unknown: number;
  readonly refused: Readonly<Record<string, number>>;
  /** Accepted jobs that no worker has ended. */
  readonly unhandled: readonly string[];
  /** Accepted jobs that began more than `lateMs` after they were accepted and the cluster was whole, or never. */
  readonly late: readonly string[];
  /** Late jobs of unread partitions: no job of their key began for `lateMs`. */
  readonly unread: readonly string[];
  /** The longest of these waits, of the jobs that began. */
  readonly longestWaitMs: number;
  /** Jobs that began again in the process that had ended them. */
  readonly repeatedBySame: readonly string[];
  /** Jobs that began again in another process, although the one that had ended them was running. */
  readonly repeatedByOther: readonly string[];
  /** Jobs that began again in another process, after the one that had ended them was killed. */
  readonly repeatedAfterDeath: readonly string[];
  /** Jobs that began again in another process, after the one that had ended them was stopped past its session. */
  readonly repeatedAfterStop: readonly string[];
  /** The longest time from the end of a job to the death or stop of its process after which it was repeated. */
  readonly oldestRepeatMs: number;
  /** Beginnings of jobs that had begun before and not ended. */
  readonly begunAgain: number;
  /** Jobs of one key that began in another order than they were sent, or before the one before them ended. */
  readonly orderBroken: readonly string[];
  /** Number of requests by outcome. */
  readonly requests: Readonly<Record<string, number>>;
  /** Requests that failed although they were sent more than `lateMs` after the cluster was whole. */
  readonly lateRequests: readonly string[];
  readonly broadcasts: Readonly<Record<string, number>>;
  /** Broadcasts that a worker received twice. */
  readonly broadcastsRepeated: number;
  /** The longest time for which a worker got no turn of its event loop from the fault on, without being stopped. */
  readonly stalledMs: number;
  /** States that were bad at the end, by process and part. */
  readonly badStates: readonly string[];
  /** Notices of dropped messages and errors, by process. */
  readonly faults: readonly string[];
}

/** Longer than the election of a leader, and shorter than a delay that an operator would notice. */
export const lateMs = 10_000;

interface Step {
  readonly what: 'begin' | 'end';
  readonly process: string;
  readonly atMs: number;
  /** Position among all lines, which orders steps of one process in the same millisecond. */
  readonly position: number;
}
interface Job {
  readonly key: string;
  readonly n: number;
  acceptedMs: number | undefined;
  readonly steps: Step[];
}
interface Repeat {
  readonly kind: 'same' | 'other' | 'death' | 'stop';
  readonly text: string;
  /** Time from the end of the job to the death or stop of its process. */
  readonly ageMs: number;
}

export function reportOf(lines: readonly Line[], marks: Marks): Report {
  // The sort is stable: lines of one process stay in their order.
  const inOrder = lines.toSorted((a, b) => a.atMs - b.atMs);
  const ofKind = (...kinds: readonly string[]): readonly Line[] =>
    inOrder.filter(({ words }) => kinds.includes(words[0] ?? ''));
  const jobs = jobsOf(ofKind('accepted', 'begin', 'end'));
  const accepted = jobs.filter(({ acceptedMs }) => acceptedMs !== undefined);
  const waits = accepted.map((job) => ({ job, waitMs: waitMsOf(job, marks.wholeMs) }));
  const late = waits.filter(({ waitMs }) => waitMs > lateMs).map(({ job }) => job);
  const repeats = jobs.flatMap((job) => repeatsOf(job, marks));
  const repeated = (kind: Repeat['kind']): readonly string[] =>
    repeats.filter((one) => one.kind === kind).map(({ text }) => text);
  const begins = jobs.flatMap(({ steps }) => steps.filter(({ what }) => what === 'begin').slice(1));
  return {
    accepted: accepted.length,
    unknown: ofKind('unknown').length,
    refused: countsOf(ofKind('refused').map(({ words }) => words.slice(3).join(' '))),
    unhandled: accepted.filter(({ steps }) => !steps.some(({ what }) => what === 'end')).map(nameOf),
    late: late.map(nameOf),
    unread: unreadOf(jobs, late, marks.wholeMs),
    longestWaitMs: waits.reduce((most, { waitMs }) => (waitMs < Infinity ? Math.max(most, waitMs) : most), 0),
    repeatedBySame: repeated('same'),
    repeatedByOther: repeated('other'),
    repeatedAfterDeath: repeated('death'),
    repeatedAfterStop: repeated('stop'),
    oldestRepeatMs: repeats.reduce((most, { ageMs }) => Math.max(most, ageMs), 0),
    begunAgain: begins.length - repeats.length,
    orderBroken: orderFaults(jobs),
    requests: countsOf(ofKind('asked').map(({ words }) => words[1] ?? '')),
    lateRequests: ofKind('asked')
      .filter(({ words, atMs }) => words[1] !== 'ok' && atMs - Number(words[2]) > marks.wholeMs + lateMs)
      .map(({ words }) => `${words[1]} after ${words[2]} ms`),
    broadcasts: countsOf(ofKind('told').map(({ words }) => words[2] ?? '')),
    broadcastsRepeated: Object.values(
      countsOf(ofKind('heard').map(({ process, words }) => `${process} ${words.join(' ')}`)),
    ).filter((count) => count > 1).length,
    stalledMs: ofKind('stalled')
      .filter(({ process, atMs }) => atMs >= marks.faultMs && process.startsWith('w') && !marks.stops.has(process))
      .reduce((most, { words }) => Math.max(most, Number(words[1])), 0),
    badStates: badStatesOf(ofKind('state')),
    faults: ofKind('dropped', 'error').map(({ process, words }) => `${process} ${words.join(' ')}`.slice(0, 300)),
  };
}

function jobsOf(lines: readonly Line[]): readonly Job[] {
  const jobs = new Map<string, Job>();
  for (const [position, { process, atMs, words }] of lines.entries()) {
    const [what, key = '', n = ''] = words;
    const id = `${key}/${n}`;
    const job = jobs.get(id) ?? { key, n: Number(n), acceptedMs: undefined, steps: [] };
    jobs.set(id, job);
    if (what === 'accepted') job.acceptedMs = atMs;
    else job.steps.push({ what: what === 'end' ? 'end' : 'begin', process, atMs, position });
  }
  return [...jobs.values()];
}
const nameOf = ({ key, n }: Job): string => `${key}/${n}`;

/** Returns the wait of a job for its first beginning, from when it was accepted and the cluster had recovered. */
function waitMsOf({ acceptedMs = 0, steps: [first] }: Job, wholeMs: number): number {
  return first ? first.atMs - Math.max(acceptedMs, wholeMs) : Infinity;
}

/** Returns the late jobs during whose wait no job of their key began. */
function unreadOf(jobs: readonly Job[], late: readonly Job[], wholeMs: number): readonly string[] {
  const begunMs = new Map<string, number[]>();
  for (const { key, steps } of jobs) {
    const ofKey = begunMs.get(key) ?? [];
    begunMs.set(key, ofKey);
    for (const { what, atMs } of steps) if (what === 'begin') ofKey.push(atMs);
  }
  return late
    .filter(({ key, acceptedMs = 0 }) => {
      const fromMs = Math.max(acceptedMs, wholeMs);
      return !(begunMs.get(key) ?? []).some((atMs) => atMs > fromMs && atMs <= fromMs + lateMs);
    })
    .map(nameOf);
}

/** Returns each beginning of the job after one of its ends. */
function repeatsOf(job: Job, { faultMs, deaths, stops }: Marks): readonly Repeat[] {
  return job.steps.flatMap(({ what, process, atMs }, i): readonly Repeat[] => {
    const end = job.steps.slice(0, i).find((before) => before.what === 'end');
    if (what === 'end' || !end) return [];
    const [deathMs, stopMs] = [deaths.get(end.process) ?? Infinity, stops.get(end.process) ?? Infinity];
    // A job that ran when its process was stopped can end when that continues, after another process took over.
    const isStopped = stopMs <= atMs && begunBy(job, end.process, end.atMs) <= stopMs;
    const kind = end.process === process ? 'same' : deathMs <= atMs ? 'death' : isStopped ? 'stop' : 'other';
    const ageMs = kind === 'death' ? deathMs - end.atMs : kind === 'stop' ? Math.max(0, stopMs - end.atMs) : 0;
    const after = `${atMs - end.atMs} ms after its end in ${end.process}, ${end.atMs - faultMs} ms after the fault`;
    return [{ kind, text: `${nameOf(job)} in ${process} ${after}`, ageMs }];
  });
}

/** Returns the time at which the process began the job that it ended at `endMs`. */
function begunBy({ steps }: Job, process: string, endMs: number): number {
  const begins = steps.filter((one) => one.what === 'begin' && one.process === process && one.atMs <= endMs);
  return begins.at(-1)?.atMs ?? Infinity;
}

/** Returns violations of the order of a key: jobs begin in the order of their numbers, each after the previous end. */
function orderFaults(jobs: readonly Job[]): readonly string[] {
  const byKey = new Map<string, Job[]>();
  for (const job of jobs) {
    if (job.steps.length === 0) continue;
    const ofKey = byKey.get(job.key);
    if (ofKey) ofKey.push(job);
    else byKey.set(job.key, [job]);
  }
  return [...byKey.values()].flatMap((ofKey) => {
    const inTurn = ofKey.toSorted((a, b) => (a.steps[0]?.position ?? 0) - (b.steps[0]?.position ?? 0));
    return inTurn.flatMap((job, i): readonly string[] => {
      const before = inTurn[i - 1];
      if (!before) return [];
      if (job.n < before.n) return [`${nameOf(job)} began after ${nameOf(before)}`];
      const endMs = before.steps.find(({ what }) => what === 'end')?.atMs ?? 0;
      const earlyMs = endMs - (job.steps[0]?.atMs ?? 0);
      return earlyMs > 0 ? [`${nameOf(job)} began ${earlyMs} ms before ${nameOf(before)} ended`] : [];
    });
  });
}

function badStatesOf(lines: readonly Line[]): readonly string[] {
  const bad = new Map<string, string>();
  for (const { process, words } of lines) {
    const at = words.findIndex((word) => word === 'ok' || word === 'bad'); // names of parts have spaces
    const part = `${process} ${words.slice(1, at).join(' ')}`;
    if (words[at] === 'bad') bad.set(part, words.slice(at + 1).join(' '));
    else bad.delete(part);
  }
  return [...bad].map(([part, reason]) => `${part}: ${reason}`);
}

function countsOf(names: readonly string[]): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const name of names) counts[name] = (counts[name] ?? 0) + 1;
  return counts;
}
