/** Counts the waiting messages of each queue, from the watermark of its group to the end of the log. */
import { readBacklog, type Backlog } from './backlog';
import { statusesOf, unservedIn } from './instances';
import { consumersOf, ratesOf, type Rates } from './load';
import { moduleOf } from '../contract/contract';
import type { DecodedMessage } from './message';
import type { QueueName } from './names';
import type { Pause } from '../work/types';
import type { ParkedCount } from './queue-view';
import { budgetOf, scan, type Budget } from './scan';
import { exactBytesMax, quickBytesMax, sizeUp } from './size';
import { StoppedEarly, type InspectorParts, type InstanceView, type QueueState, type QueueView } from './types';

/** The backlog of a queue, counted at one moment. */
export interface Counted {
  readonly name: QueueName;
  readonly backlogs: readonly Backlog[];
  readonly unsettled: number;
  readonly exact: boolean;
  /** See {@link QueueView.about}. */
  readonly about: boolean;
  readonly blocked: number;
  readonly oldest: DecodedMessage | undefined;
}

const scanMaxDefault = 1_000_000;
export const budgetFor = ({ scanMax = scanMaxDefault }: InspectorParts): Budget => budgetOf(scanMax);

export async function readBacklogs({ log }: InspectorParts, { sources }: QueueName): Promise<readonly Backlog[]> {
  return (await Promise.all(sources.map((source) => readBacklog(log, source)))).flat();
}

/** Records of a listener that are read when a look at hundreds of queues must end within seconds. */
const quickRecordsMax = 2_000;

/**
 * Counts a queue. With `isQuick`, it reads few records: the counts of a long queue are then approximate where offsets
 * can have gaps or belong to other queues.
 */
export async function count(parts: InspectorParts, name: QueueName, isQuick = false): Promise<Counted> {
  const backlogs = await readBacklogs(parts, name);
  const whole = backlogs.filter(({ source }) => source.entry === null);
  const mixed = backlogs.filter(({ source }) => source.entry !== null);
  const blocked = backlogs.reduce((sum, one) => sum + one.blocked, 0);
  const quick = { ...parts, scanMax: Math.min(quickRecordsMax, parts.scanMax ?? Infinity) };
  const [sized, picked] = await Promise.all([
    sizeUp(parts.log, whole, isQuick ? quickBytesMax : exactBytesMax),
    countPicked(isQuick ? quick : parts, mixed),
  ]);
  return {
    name,
    backlogs,
    unsettled: sized.unsettled + picked.unsettled + blocked,
    exact: picked.exact && !sized.about && blocked === 0 && backlogs.every(({ readable }) => readable),
    about: sized.about || blocked > 0,
    blocked,
    oldest: older(sized.oldest, picked.oldest),
  };
}

/** Counts the messages of a listener one by one, because its topic also holds messages of other entries. */
async function countPicked(
  parts: InspectorParts,
  backlogs: readonly Backlog[],
): Promise<Pick<Counted, 'unsettled' | 'exact' | 'oldest'>> {
  let unsettled = 0;
  let oldest: DecodedMessage | undefined;
  try {
    for await (const [decoded] of readUnsettled(parts, backlogs, budgetFor(parts))) {
      oldest ??= decoded;
      unsettled++;
    }
    return { unsettled, exact: true, oldest };
  } catch (error) {
    if (error instanceof StoppedEarly) return { unsettled, exact: false, oldest };
    throw error;
  }
}

/**
 * Yields the unsettled messages of a queue. Each partition is read in the order of its log, and partitions are merged
 * by the time of their records.
 */
export async function* readUnsettled(
  { log }: InspectorParts,
  backlogs: readonly Backlog[],
  budget: Budget,
): AsyncGenerator<readonly [DecodedMessage, Backlog]> {
  for await (const found of scan(log, backlogs, budget)) {
    const [{ entry }, { source }] = found;
    if (source.entry === null || source.entry === entry) yield found;
  }
}

export function older(one: DecodedMessage | undefined, other: DecodedMessage | undefined): DecodedMessage | undefined {
  if (!one || !other) return one ?? other;
  return one.record.timeMs <= other.record.timeMs ? one : other;
}

export interface Around {
  readonly instances: readonly InstanceView[];
  /** Parked messages by queue. */
  readonly parked: ReadonlyMap<string, ParkedCount>;
  readonly nowMs: number;
}

export function viewOfQueue(counted: Counted, { instances, parked, nowMs }: Around): QueueView {
  const { name, backlogs, unsettled, exact, about, blocked, oldest } = counted;
  const { queue, module } = name;
  const rates = ratesOf(consumersOf(queue, instances));
  const { running } = rates;
  const takers = new Set(statusesOf(queue, instances).map(([{ name: taker }]) => taker));
  // The log keeps the owner of a partition after that instance has ended, until another member removes it from the
  // group.
  const owners = new Set(backlogs.flatMap(({ owner }) => (owner === null || takers.has(owner) ? [] : owner)));
  for (const owner of owners) if (instances.some((instance) => instance.name === owner)) takers.add(owner);
  const waiting = Math.max(0, unsettled - running);
  const unserved = unservedIn(queue, instances);
  const paused = new Set(statusesOf(queue, instances).flatMap(([, status]) => status.paused));
  const pauses = pausesIn(queue, instances);
  return {
    queue,
    module,
    listensTo: name.sources.flatMap(({ entry }) => entry ?? []),
    state: firstState(waiting, takers.size, running, { blocked, paused: paused.size, unserved: unserved.length }),
    waiting,
    exact,
    about,
    blocked,
    ...rates,
    emptyInMs: emptyIn(waiting, rates),
    inBackoff: statusesOf(queue, instances).reduce((sum, [, { inBackoff }]) => sum + inBackoff, 0),
    oldestMs: oldest ? Math.max(0, nowMs - oldest.record.timeMs) : null,
    parked: parked.get(queue)?.count ?? 0,
    parkedFor: parked.get(queue)?.kinds ?? [],
    instances: takers.size,
    // A setting names a listener by its queue.
    paused: pausedBy(name, paused, pauses),
    pauses,
    unserved,
  };
}

/** Returns the pauses that instances obey, one for each setting. */
function pausesIn(queue: string, instances: readonly InstanceView[]): readonly Pause[] {
  const all = [...statusesOf(queue, instances)].flatMap(([, { pauses = [] }]) => pauses);
  const byName = new Map(all.map((pause) => [pause.name, pause]));
  return [...byName.values()].toSorted((one, other) => (one.name < other.name ? -1 : 1));
}
/** Returns the names of the settings. Instances of earlier versions report only the entries. */
function pausedBy(
  { kind, queue }: QueueName,
  entries: ReadonlySet<string>,
  pauses: readonly Pause[],
): readonly string[] {
  if (entries.size === 0) return [];
  if (pauses.length > 0) return pauses.map(({ name }) => name);
  return kind === 'listener' ? [queue] : [...entries].toSorted();
}

/** Returns the time until no message waits, or null when it does not get shorter. */
function emptyIn(waiting: number, { inPerSecond, outPerSecond }: Rates): number | null {
  const perSecond = (outPerSecond ?? 0) - (inPerSecond ?? 0);
  return waiting > 0 && perSecond > 0 ? (waiting / perSecond) * 1_000 : null;
}

/** Returns the state without `stuck` and `growing`, which the instances report; see `slowOf`. */
function firstState(
  waiting: number,
  takers: number,
  running: number,
  why: { blocked: number; paused: number; unserved: number },
): QueueState {
  if (waiting === 0) return 'caught up';
  if (takers === 0) return 'no instance';
  if (running > 0) return 'working';
  if (why.blocked >= waiting) return 'blocked';
  if (why.unserved > 0) return 'unserved';
  return why.paused > 0 ? 'paused' : 'working';
}

/** Returns views of queues of which only parked messages are left. */
export function onlyParked(views: readonly QueueView[], { parked }: Around): readonly QueueView[] {
  const known = new Set(views.map(({ queue }) => queue));
  return [...parked]
    .filter(([queue]) => !known.has(queue))
    .map(([queue, { count: many, kinds }]) => ({
      queue,
      module: moduleOf({ name: queue }),
      listensTo: [],
      state: 'caught up' as const,
      waiting: 0,
      exact: true,
      about: false,
      blocked: 0,
      running: 0,
      limit: null,
      inPerSecond: null,
      outPerSecond: null,
      handlerMs: null,
      queueMs: null,
      emptyInMs: null,
      inBackoff: 0,
      oldestMs: null,
      parked: many,
      parkedFor: kinds,
      instances: 0,
      paused: [],
      pauses: [],
      unserved: [],
    }));
}
