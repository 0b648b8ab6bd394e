/** Raises alarms for queues that grow or are stuck, with the cause. */
import { spanText } from '../format/amounts';
import type { Running } from '../work/types';
import { consumersOf, countsOf, ratesOf, type Consumer } from './load';
import { readUnsettled, type Counted } from './queues';
import { budgetOf } from './scan';
import { StoppedEarly, type Alarm, type InspectorParts, type InstanceView, type QueueView } from './types';

/** A lane whose first message runs or fails for longer than this is reported as stuck, in ms. */
const laneStuckMs = 30_000;
/** Multiple of the usual handler time after which it is stuck, so that a lane of slow handlers is not. */
const laneStuckHandlers = 3;
/** Maximum number of records read to count the messages that wait in a lane. It bounds the duration of the call. */
const laneMax = 10_000;
/** Share of the attempts of a queue that must fail to be its cause. */
const failingShare = 0.5;
/** Share of the limit of starts that must be used to be the cause. */
const pacedShare = 0.8;

/** A queue that grows or is stuck, as an alarm without its severity. */
export interface Slow extends Pick<Alarm, 'forMs' | 'message' | 'next'> {
  readonly what: 'stuck' | 'growing';
}

/** Returns why a queue with waiting messages is slow; undefined when it is not. */
export async function slowOf(
  parts: InspectorParts,
  counted: Counted,
  view: QueueView,
  instances: readonly InstanceView[],
  nowMs: number,
): Promise<Slow | undefined> {
  const { queue, waiting } = view;
  if (waiting === 0) return undefined;
  const many = waitingText(view);
  const consumers = consumersOf(queue, instances);
  const lane = await stuckLane(parts, counted, consumers, nowMs);
  if (lane) return { what: 'stuck', ...lane };
  const stuck = consumers.filter(({ status }) => status.load?.stuck);
  if (stuck.length > 0) return { what: 'stuck', ...describeStuck(queue, many, stuck, nowMs) };
  const growing = consumers.filter(({ status }) => status.load?.growing);
  if (growing.length === 0) return undefined;
  const sinceMs = Math.min(...growing.map(({ status }) => status.load?.growing?.sinceMs ?? nowMs));
  const where = growing.length === consumers.length ? '' : ` at ${growing.map((one) => one.instance.name).join(', ')}`;
  const message = `${many}${where}: ${describeLoad(growing)}`;
  return { what: 'growing', forMs: nowMs - sinceMs, message, next: `busbar queues ${queue} --by key` };
}

/** Returns the number of waiting messages: `12 wait`, `about 12 wait`, or `2000 or more wait`. */
export function waitingText({ waiting, exact, about }: Pick<QueueView, 'waiting' | 'exact' | 'about'>): string {
  if (exact) return `${waiting} wait`;
  return about ? `about ${waiting} wait` : `${waiting} or more wait`;
}

/** Describes rates and handlers, such as `4 of 4 handlers busy, p50 3 s, 25/s in, 1.3/s out`. */
export function describeLoad(consumers: readonly Consumer[]): string {
  const { running, limit, handlerMs, inPerSecond, outPerSecond } = ratesOf(consumers);
  const busy = limit === null ? `${running} handlers busy` : `${running} of ${limit} handlers busy`;
  const cause = limit !== null && running < limit ? causeOf(consumers, outPerSecond ?? 0) : '';
  return [
    `${busy}${cause}`,
    ...(handlerMs ? [`p50 ${spanText(handlerMs.p50Ms)}`] : []),
    ...(inPerSecond === null ? [] : [`${rate(inPerSecond)} in`]),
    ...(outPerSecond === null ? [] : [`${rate(outPerSecond)} out`]),
  ].join(', ');
}

/** Returns why handlers are free although messages wait. */
function causeOf(consumers: readonly Consumer[], outPerSecond: number): string {
  const counts = consumers.flatMap((one) => countsOf(one));
  const failed = counts.reduce((total, one) => total + one.failed, 0);
  const ended = counts.reduce((total, one) => total + one.failed + one.done + one.failures + one.parked, 0);
  if (ended > 0 && failed / ended >= failingShare) return ` because ${failed} of ${ended} attempts failed`;
  const paces = consumers.flatMap(({ status }) => status.limits ?? []).map(({ perSecond }) => perSecond ?? Infinity);
  const pace = paces.reduce((total, one) => total + one, 0);
  if (outPerSecond >= pace * pacedShare) return ` because perSecond allows ${rate(pace)}`;
  return ' because messages of one key are handled one at a time';
}

/** Formats a rate with two digits, such as `25/s` or `1.3/s`. */
export function rate(perSecond: number): string {
  const digits = perSecond < 10 ? 1 : 0;
  return `${Number(perSecond.toFixed(digits))}/s`;
}

function describeStuck(
  queue: string,
  many: string,
  stuck: readonly Consumer[],
  nowMs: number,
): Pick<Alarm, 'forMs' | 'message' | 'next'> {
  const sinceMs = Math.min(...stuck.map(({ status }) => status.load?.stuck?.sinceMs ?? nowMs));
  const names = stuck.map(({ instance }) => instance.name);
  const where = names.length > 2 ? `${names[0]} and ${names.length - 1} more` : names.join(' and ');
  const { running, limit } = ratesOf(stuck);
  const busy = limit === null ? '' : `, ${running} of ${limit} handlers busy`;
  const runs = stuck
    .flatMap(({ instance, status }) => status.running.map((one) => ({ ...one, on: instance.name })))
    .toSorted((one, other) => one.sinceMs - other.sinceMs)[0];
  const fails = stuck
    .flatMap(({ status }) => status.retrying ?? [])
    .toSorted((one, other) => one.sinceMs - other.sinceMs)[0];
  const begin = `${many}, and ${where} handled none for ${spanText(nowMs - sinceMs)}${busy}`;
  const about = { forMs: nowMs - sinceMs };
  if (runs) {
    const message = `${begin}; ${runs.id} has been running on ${runs.on} for ${spanText(nowMs - runs.sinceMs)}`;
    return { ...about, message, next: `busbar show ${runs.id}` };
  }
  if (fails) {
    const message = `${begin}; ${fails.id} failed ${fails.attempts} times, the last time: ${fails.error}`;
    return { ...about, message, next: `busbar show ${fails.id}` };
  }
  return { ...about, message: `${begin}; no message is running`, next: `busbar peek ${queue}` };
}

/** A message that holds its lane: it runs, or waits for another attempt. */
interface Head {
  readonly id: string;
  readonly key: string;
  readonly where: string;
  readonly sinceMs: number;
  readonly partition: number;
  readonly offset: number;
}

/** Finds the lane that was held for the longest time by one message, while messages of the same key wait behind it. */
async function stuckLane(
  parts: InspectorParts,
  { backlogs }: Counted,
  consumers: readonly Consumer[],
  nowMs: number,
): Promise<Pick<Alarm, 'forMs' | 'message' | 'next'> | undefined> {
  const heads = consumers.flatMap((one) => headsOf(one, nowMs)).toSorted((one, other) => one.sinceMs - other.sinceMs);
  const behind = new Map(heads.map((head) => [`${head.partition} ${head.key}`, { head, count: 0 }]));
  if (behind.size === 0) return undefined;
  const spans = backlogs.filter(({ partition }) => heads.some((head) => head.partition === partition));
  try {
    for await (const [{ key, record }] of readUnsettled(parts, spans, budgetOf(laneMax))) {
      const lane = behind.get(`${record.partition} ${key ?? ''}`);
      if (lane && record.offset !== lane.head.offset) lane.count++;
    }
  } catch (error) {
    if (!(error instanceof StoppedEarly)) throw error; // the oldest messages were read, which is sufficient
  }
  const [worst] = [...behind.values()].filter(({ count }) => count > 0);
  if (!worst) return undefined;
  const { head, count } = worst;
  const message = `lane ${head.key} ${head.where}; ${count} wait behind it`;
  return { forMs: nowMs - head.sinceMs, message, next: `busbar show ${head.id}` };
}

function headsOf(consumer: Consumer, nowMs: number): Head[] {
  const { instance, status } = consumer;
  const usual = new Map(countsOf(consumer).map(({ entry, handlerMs }) => [entry, handlerMs?.p99Ms ?? 0]));
  const isSlow = ({ entry, sinceMs }: Running): boolean =>
    nowMs - sinceMs > Math.max(laneStuckMs, laneStuckHandlers * (usual.get(entry) ?? 0));
  const isHeld = (sinceMs: number | undefined): boolean => sinceMs !== undefined && nowMs - sinceMs > laneStuckMs;
  const running = status.running.flatMap((one) => {
    if (one.key === null || !(isSlow(one) || isHeld(one.failedSinceMs))) return [];
    const where = `on ${instance.name}, attempt ${one.attempt}`;
    return { ...one, key: one.key, sinceMs: one.failedSinceMs ?? one.sinceMs, where };
  });
  const retrying = (status.retrying ?? []).flatMap((one) => {
    if (one.key === null || !isHeld(one.sinceMs)) return [];
    return { ...one, key: one.key, where: `after attempt ${one.attempts} on ${instance.name}: ${one.error}` };
  });
  return [...running, ...retrying];
}
