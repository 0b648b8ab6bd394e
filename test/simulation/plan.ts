/** Everything that a seed decides before the run: the instances, all speeds, and the kinds and rates of faults. */
import { partitionOf } from '../../src/format/partition';
import { dice, type Dice } from './dice';

export interface Plan {
  readonly seed: number;
  /** The number of instances of each module. */
  readonly sources: number;
  readonly workers: number;
  readonly listeners: number;
  readonly keys: readonly [string, ...string[]];
  /** The delay of each packet or call; undefined is none. */
  readonly delays: { readonly minMs: number; readonly maxMs: number } | undefined;
  readonly crashNoticedMs: number;
  readonly sessionMs: number;
  readonly commitMs: number;
  readonly timeoutMs: number;
  readonly attempts: number;
  readonly backoffMs: number;
  readonly handoverMs: number;
  readonly concurrency: number;
  /** The retention of events. Short for some seeds: then plain listeners can miss some, and named ones must not. */
  readonly keepMs: number;
  /** The number of loose jobs that one instance can start in a second; null is unlimited. */
  readonly perSecond: number | null;
  /** True if workers listen to news under a name, as well as the listeners of facts. */
  readonly newsQueue: boolean;
  /** Longest pause between two bursts of one source. */
  readonly pauseMs: number;
  /** The number of messages that sources send at most before the faults end. */
  readonly messages: number;
  /** The usual longest duration of a handler. */
  readonly tookMs: number;
  readonly faults: FaultPlan;
  /** The time at which all faults end. */
  readonly healMs: number;
  /** The time at which sources stop sending. */
  readonly sentMs: number;
  /** The largest record that a parked topic accepts, in bytes. Larger ones are parked as stubs. Null is unlimited. */
  readonly parkedBytesMax: number | null;
}
export interface FaultPlan {
  /** The probability of a fault in each port call. */
  readonly perCall: number;
  /** The probability that such a fault ends the process. */
  readonly crash: number;
  /** The probability that an answer of the log is delayed. */
  readonly late: number;
  /**
   * The probability that the answer to a stored batch is lost, so that its sender resends it. Null: the sender rejects.
   */
  readonly resend: number | null;
  /** Faults of whole processes, and their times. */
  readonly events: readonly FaultEvent[];
}
/**
 * no group: no member reaches the coordinator of its group · again: it stops all its handlers and starts them again ·
 * strange bytes: a foreign producer writes into a topic · files removed: another program removes its announcement ·
 * store refuses: its log rejects every write.
 */
type EventKind =
  | 'crash'
  | 'freeze'
  | 'expire'
  | 'leave'
  | 'again'
  | 'rebalance'
  | 'slow log'
  | 'no log'
  | 'no group'
  | 'strange bytes'
  | 'files removed'
  | 'store refuses';
export interface FaultEvent {
  readonly atMs: number;
  readonly what: EventKind;
  /** The index of the process, modulo the number of processes. */
  readonly whom: number;
  readonly forMs: number;
}

/** Keys of only three of the 12 partitions of a queue are used, so that messages meet. */
const hotPartitions = 3;
const partitions = 12;
const candidates = Array.from({ length: 60 }, (_, n) => `k${n}`).filter(
  (key) => partitionOf(Buffer.from(key), partitions) < hotPartitions,
);
export const hotKeys: readonly [string, ...string[]] = ['k1', ...candidates];

export const keepMsLong = 7 * 24 * 3_600_000;

export function drawPlan(seed: number): Plan {
  const d = dice(seed, 1);
  const healMs = d.whole(4_000, 10_000);
  const sessionMs = d.whole(1_000, 5_000);
  return {
    seed,
    sources: d.whole(1, 2),
    workers: d.pick([2, 2, 2, 3, 4]),
    listeners: d.pick([1, 1, 2]),
    keys: drawKeys(d),
    delays: d.chance(0.35) ? undefined : { minMs: 0, maxMs: d.pick([1, 5, 20, 60]) },
    crashNoticedMs: d.chance(0.5) ? 0 : d.whole(0, sessionMs),
    sessionMs,
    commitMs: d.pick([20, 100, 500]),
    timeoutMs: d.whole(500, 3_000),
    attempts: d.whole(2, 6),
    backoffMs: d.pick([0, 50, 400]),
    handoverMs: d.pick([500, 3_000, 10_000]),
    concurrency: d.whole(1, 8),
    keepMs: dice(seed, 8).chance(0.3) ? dice(seed, 7).whole(500, 3_000) : keepMsLong,
    perSecond: d.chance(0.3) ? d.whole(2, 20) : null,
    newsQueue: d.chance(0.25),
    pauseMs: d.pick([100, 400, 900]),
    messages: d.whole(20, 70),
    tookMs: d.pick([5, 40, 200]),
    faults: withDisks(drawFaults(d, healMs, sessionMs), dice(seed, 10), healMs),
    healMs,
    sentMs: healMs + 1_000,
    parkedBytesMax: d.chance(0.4) ? d.pick([800, 1_000, 2_000]) : null,
  };
}

function drawKeys(d: Dice): readonly [string, ...string[]] {
  const more = Array.from({ length: d.whole(0, 5) }, () => candidates[d.whole(0, candidates.length - 1)] ?? 'k');
  return [candidates[d.whole(0, candidates.length - 1)] ?? 'k', ...more];
}

/** Kinds that are listed twice are more frequent. */
const eventKinds: readonly [EventKind, ...EventKind[]] = [
  'crash',
  'crash',
  'freeze',
  'freeze',
  'expire',
  'leave',
  'rebalance',
  'rebalance',
  'slow log',
  'no log',
  'no group',
  'no group',
  'again',
  'strange bytes',
  'strange bytes',
];

/** Draws from a separate random stream, so that the other draws of a seed do not change. */
function withDisks(faults: FaultPlan, d: Dice, healMs: number): FaultPlan {
  if (!d.chance(0.25)) return faults;
  const some = Array.from({ length: d.whole(1, 2) }, (): FaultEvent => {
    const what = d.pick<EventKind>(['files removed', 'store refuses']);
    return { atMs: d.whole(200, healMs - 200), what, whom: d.whole(0, 1_000), forMs: 0 };
  });
  return { ...faults, events: [...faults.events, ...some] };
}

function drawFaults(d: Dice, healMs: number, sessionMs: number): FaultPlan {
  const count = d.chance(0.1) ? 0 : d.whole(1, 7);
  const events = Array.from({ length: count }, (): FaultEvent => {
    const what = d.pick(eventKinds);
    const ofSessions = what === 'freeze' || what === 'no group';
    const forMs = ofSessions ? Math.floor(sessionMs * (0.2 + 2 * d.next())) : d.whole(10, 2_000);
    const atMs = d.whole(200, healMs - 200);
    return { atMs, what, whom: d.whole(0, 1_000), forMs: what === 'no group' ? Math.min(forMs, healMs - atMs) : forMs };
  });
  return {
    perCall: d.pick([0, 0.002, 0.01, 0.03]),
    crash: d.pick([0, 0.1, 0.2]),
    late: d.pick([0, 0.05]),
    resend: d.chance(0.4) ? d.pick([0.02, 0.2]) : null,
    events,
  };
}
