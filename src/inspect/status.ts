/** Determines the alarms of a system, sorted by severity, each with the command to run next. */
import { sleep } from '../base/clock';
import type { Backlog } from './backlog';
import { blockedAlarms } from './blocked';
import { doingOf, type Doing } from './instances';
import { alarmsOfWaiting } from './retention';
import { viewOfQueue, count, readUnsettled, type Around, type Counted } from './queues';
import { budgetOf } from './scan';
import { waitingView } from './peek';
import { StoppedEarly } from './types';
import type { Alarm, InspectorParts, InstanceView, QueueView, WaitingView } from './types';

/** A queue whose oldest message is younger than this is not counted a second time. */
const slowMs = 10_000;
/** A backlog or lane that waits for longer than this without progress is reported as stuck. */
const stuckMs = 30_000;
/**
 * Time between the two counts: twice the default of `commitMs`, the maximum delay of commits. A shorter one would
 * report healthy queues as stuck.
 */
const lookAgainMs = 1_000;
/** Maximum number of records read to count the messages that wait in a lane. It bounds the duration of the call. */
const lanesMax = 10_000;

export interface Looked {
  readonly queues: readonly QueueView[];
  readonly alarms: readonly Alarm[];
}

/**
 * Determines the state of all queues. When a queue has old messages, it counts that queue again after a second, to
 * detect progress.
 */
export async function findAlarms(parts: InspectorParts, counted: readonly Counted[], around: Around): Promise<Looked> {
  const first = new Map(counted.map((one) => [one.name.queue, viewOfQueue(one, around)]));
  const slow = counted.filter(({ name }) => isSlow(first.get(name.queue)));
  const blocked = await blockedAlarms(parts, counted, around.nowMs);
  const alarms = [...blocked, ...around.instances.flatMap(alarmsOfInstance)];
  alarms.push(...degraded(around.instances).filter(({ about }) => !isBlocked(about, blocked, counted)));
  if (slow.length > 0) await sleep(parts.clock, lookAgainMs);
  for (const before of slow) {
    const view = first.get(before.name.queue);
    if (!view) continue;
    const now = await count(parts, before.name);
    const failure = await stallOf(parts, before, now, view, around);
    if (!failure) continue;
    first.set(view.queue, { ...view, state: failure.what });
    alarms.push({ severity: failure.what === 'growing' ? 'warning' : 'critical', about: view.queue, ...failure });
  }
  alarms.push(...(await alarmsOfWaiting(parts.log, counted, first)));
  const queues = [...first.values()];
  alarms.push(...queues.filter(({ state }) => state === 'no instance').map(noConsumerAlarm));
  alarms.push(
    ...queues.flatMap(knownToFew),
    ...queues.flatMap(pausedBySettings),
    ...queues.filter(({ parked }) => parked > 0).map(hasParked),
  );
  return { queues, alarms: alarms.toSorted(worstFirst) };
}

function isSlow(view: QueueView | undefined): boolean {
  // Messages that are paused or unserved grow old although the rest of the queue is healthy.
  const works = view?.state === 'working' && view.paused.length === 0 && view.unserved.length === 0;
  return works && (view.oldestMs ?? 0) > slowMs;
}

interface Stall extends Pick<Alarm, 'forMs' | 'message' | 'next'> {
  readonly what: 'stuck' | 'growing';
}

async function stallOf(
  parts: InspectorParts,
  before: Counted,
  now: Counted,
  { queue, waiting, oldestMs }: QueueView,
  { instances, nowMs }: Around,
): Promise<Stall | undefined> {
  const doing = doingOf(queue, instances);
  const lane = await stuckLane(parts, now.backlogs, doing, nowMs);
  if (lane) return { what: 'stuck', ...lane };
  const done = endOf(now) - endOf(before) - (now.unsettled - before.unsettled);
  const next = `busbar peek ${queue}`;
  if (done <= 0 && (oldestMs ?? 0) > stuckMs) {
    const [longestRunning] = doing.running.toSorted((one, other) => one.sinceMs - other.sinceMs);
    const runs =
      longestRunning &&
      `${longestRunning.id} has been running on ${longestRunning.on} for ${seconds(nowMs - longestRunning.sinceMs)}`;
    const message = `${waiting} wait, none was handled for a second; ${runs ?? 'no message is running'}`;
    return {
      what: 'stuck',
      forMs: oldestMs,
      message,
      next: longestRunning ? `busbar show ${longestRunning.id}` : next,
    };
  }
  const more = now.unsettled - before.unsettled;
  if (more <= 0) return undefined;
  return { what: 'growing', forMs: oldestMs, message: `${waiting} wait, +${more}/s`, next };
}

/**
 * Returns the sum of the ends of all partitions. Gaps make it larger than the number of records, but only its growth is
 * used.
 */
function endOf({ backlogs }: Counted): number {
  return backlogs.reduce((sum, { end, blocked }) => sum + end + blocked, 0);
}

/**
 * Finds a lane whose first message is running or in backoff and is older than `stuckMs`, while messages of the same key
 * wait behind it.
 */
async function stuckLane(
  parts: InspectorParts,
  backlogs: readonly Backlog[],
  doing: Doing,
  nowMs: number,
): Promise<Pick<Alarm, 'forMs' | 'message' | 'next'> | undefined> {
  const heads = new Map<string, WaitingView>();
  const behind = new Map<string, number>();
  try {
    for await (const [decoded, backlog] of readUnsettled(parts, backlogs, budgetOf(lanesMax))) {
      if (decoded.key === null) continue;
      const lane = `${decoded.topic} ${decoded.key}`;
      if (heads.has(lane)) behind.set(lane, (behind.get(lane) ?? 0) + 1);
      else heads.set(lane, waitingView(decoded, backlog, doing, null));
    }
  } catch (error) {
    if (!(error instanceof StoppedEarly)) throw error; // the oldest messages were read, which is sufficient
  }
  const stuck = [...heads].filter(([lane, { state, timeMs }]) => {
    return state !== 'waiting' && behind.has(lane) && nowMs - timeMs > stuckMs;
  });
  const [worst] = stuck.toSorted(([, one], [, other]) => one.timeMs - other.timeMs);
  if (!worst) return undefined;
  const [lane, head] = worst;
  const where = head.on === null ? `after attempt ${head.attempts}` : `on ${head.on}, attempt ${head.attempts + 1}`;
  const message = `lane ${head.key ?? ''} ${where}; ${behind.get(lane) ?? 0} wait behind it`;
  return { forMs: nowMs - head.timeMs, message, next: `busbar show ${head.id}` };
}

/** The verb to run next, on the machine that the alarm names, for instances whose only failing part is the spool. */
const spoolVerb = 'busbar spool';

function alarmsOfInstance({ name, module, host, status, silent, leaving }: InstanceView): Alarm[] {
  const about = { about: name, next: `busbar instances ${module}`, forMs: null };
  if (!status) {
    const message = `it is announced but does not respond: ${silent ?? ''}`;
    return [{ ...about, severity: 'critical', what: 'silent', message }];
  }
  const { live, ready, reasons } = status.health;
  if (live && (ready || leaving)) return [];
  const message = reasons.map(({ part, reason }) => `${part}: ${reason}`).join('; ') || 'it accepts no messages';
  const forMs = reasons.length > 0 ? Math.max(...reasons.map(({ sinceMs }) => sinceMs)) : null;
  const alarm: Alarm = { ...about, severity: live ? 'warning' : 'critical', what: 'unwell', forMs, message };
  const isSpool = reasons.length > 0 && reasons.every(({ part }) => part === 'spool');
  return [isSpool ? { ...alarm, message: `on ${host}: ${message}`, next: spoolVerb } : alarm];
}

/** Returns warnings of instances that are ready. Instances that report the same part and reason share one alarm. */
function degraded(instances: readonly InstanceView[]): Alarm[] {
  const alarms = new Map<string, { readonly alarm: Alarm; readonly names: string[] }>();
  for (const { name, module, host, status } of instances) {
    if (!status?.health.ready) continue;
    for (const { part, reason, sinceMs } of status.health.reasons) {
      if (reportedElsewhere.some((prefix) => part.startsWith(prefix))) continue;
      const isSpool = part === 'spool';
      const next = isSpool ? spoolVerb : `busbar instances ${module}`;
      const alarm: Alarm = {
        severity: 'warning',
        about: part,
        what: 'degraded',
        forMs: sinceMs,
        message: reason,
        next,
      };
      // The spool belongs to a machine, and each machine has to be looked at.
      const key = isSpool ? `${part} ${host} ${reason}` : `${part} ${reason}`;
      const found = alarms.get(key) ?? { alarm, names: [] };
      alarms.set(key, found);
      found.names.push(isSpool ? `${name} on ${host}` : name);
    }
  }
  return [...alarms.values()].map(({ alarm, names: [first, ...others] }) => {
    const where = others.length > 0 ? `${first} and ${others.length} more` : first;
    return { ...alarm, message: `${where}: ${alarm.message}` };
  });
}
/**
 * Returns true when a blocked queue already has an alarm for this part, because instances report the same transactions
 * by topic.
 */
function isBlocked(part: string, blocked: readonly Alarm[], counted: readonly Counted[]): boolean {
  const queues = counted.filter(({ name }) => blocked.some(({ about }) => about === name.queue));
  return queues.some(({ backlogs }) => backlogs.some(({ topic }) => part === `transactions in ${topic}`));
}
/** Prefixes of parts that have an alarm of their own, or that another verb lists. */
const reportedElsewhere = ['queue ', 'setting ', 'events of '];

function noConsumerAlarm({ queue, waiting, oldestMs, module }: QueueView): Alarm {
  const message = `${waiting} wait, and no instance of ${module} handles them`;
  return {
    severity: 'critical',
    about: queue,
    what: 'no instance',
    forMs: oldestMs,
    message,
    next: `busbar peek ${queue}`,
  };
}

/**
 * Returns alarms for entries that some or all instances of the queue do not know. During a deploy, only the new version
 * can know an entry.
 */
function knownToFew({ queue, instances, unserved }: QueueView): Alarm[] {
  return unserved.map(({ entry, waiting, knownTo }) => {
    const of = `${instances} ${instances === 1 ? 'instance' : 'instances'}`;
    const known = `known to ${knownTo === 0 ? 'none' : knownTo} of ${of}`;
    const message = `${waiting} of ${entry} ${waiting === 1 ? 'waits' : 'wait'}, ${known}`;
    const next = `busbar peek ${queue} --entry ${entry}`;
    return {
      severity: knownTo === 0 ? 'critical' : 'warning',
      about: queue,
      what: 'unserved',
      forMs: null,
      message,
      next,
    };
  });
}

function pausedBySettings({ queue, waiting, oldestMs, paused }: QueueView): Alarm[] {
  return paused.map((name) => {
    const message = `the setting ${name}.paused stops its messages; ${waiting} wait in the queue`;
    const next = `busbar unset ${name}.paused`;
    return {
      severity: 'warning',
      about: queue,
      what: 'paused',
      forMs: waiting > 0 ? oldestMs : null,
      message,
      next,
    };
  });
}

function hasParked({ queue, parked }: QueueView): Alarm {
  const message = `${parked} ${parked === 1 ? 'message is' : 'messages are'} parked`;
  return { severity: 'warning', about: queue, what: 'parked', forMs: null, message, next: `busbar parked ${queue}` };
}

const order: readonly Alarm['what'][] = [
  'expiring',
  'stuck',
  'no instance',
  'blocked',
  'unserved',
  'silent',
  'unwell',
  'held',
  'degraded',
  'growing',
  'paused',
  'parked',
];

function worstFirst(one: Alarm, other: Alarm): number {
  if (one.severity !== other.severity) return one.severity === 'critical' ? -1 : 1;
  return order.indexOf(one.what) - order.indexOf(other.what) || (other.forMs ?? 0) - (one.forMs ?? 0);
}

function seconds(ms: number): string {
  return `${Math.round(ms / 1000)} s`;
}
