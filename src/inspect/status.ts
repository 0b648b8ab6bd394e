/** Determines the alarms of a system, sorted by severity, each with the command to run next. */
import { blockedAlarms } from './blocked';
import { driftAlarms } from './drift';
import { alarmsOfWaiting } from './retention';
import { viewOfQueue, type Around, type Counted } from './queues';
import { alarmsOfEntries, entriesOf } from './outcomes';
import { slowOf, waitingText, type Slow } from './slow';
import { spanText } from '../format/amounts';
import type { Alarm, EntryView, InspectorParts, InstanceView, QueueView } from './types';

export interface Looked {
  readonly queues: readonly QueueView[];
  readonly alarms: readonly Alarm[];
  readonly entries: readonly EntryView[];
}

/** Determines the state of all queues, and the alarms. */
export async function findAlarms(parts: InspectorParts, counted: readonly Counted[], around: Around): Promise<Looked> {
  const { instances, nowMs } = around;
  const views = new Map(counted.map((one) => [one.name.queue, viewOfQueue(one, around)]));
  const [blocked, slow, drift] = await Promise.all([
    blockedAlarms(parts, counted, nowMs),
    findSlow(parts, counted, views, around),
    driftAlarms(parts, instances, nowMs),
  ]);
  const entries = entriesOf(instances);
  const alarms = [...blocked, ...instances.flatMap(alarmsOfInstance), ...alarmsOfEntries(entries, nowMs), ...drift];
  alarms.push(...degraded(instances).filter(({ about }) => !isBlocked(about, blocked, counted)));
  for (const [view, one] of slow) {
    views.set(view.queue, { ...view, state: one.what });
    alarms.push({ severity: one.what === 'growing' ? 'warning' : 'critical', about: view.queue, ...one });
  }
  alarms.push(...(await alarmsOfWaiting(parts.log, counted, views)));
  const queues = [...views.values()];
  alarms.push(...queues.filter(({ state }) => state === 'no instance').map(noConsumerAlarm));
  alarms.push(
    ...queues.flatMap(knownToFew),
    ...queues.flatMap((queue) => pausedBySettings(queue, nowMs)),
    ...queues.filter(({ parked }) => parked > 0).map(hasParked),
  );
  return { queues, entries, alarms: alarms.toSorted(worstFirst) };
}

/** Finds the queues that grow or are stuck. */
export async function findSlow(
  parts: InspectorParts,
  counted: readonly Counted[],
  views: ReadonlyMap<string, QueueView>,
  { instances, nowMs }: Around,
): Promise<readonly (readonly [QueueView, Slow])[]> {
  const all = counted.map(async (one) => {
    const view = views.get(one.name.queue);
    // Messages that are paused or unserved grow old although the rest of the queue is healthy.
    if (view?.state !== 'working' || view.paused.length > 0 || view.unserved.length > 0) return [];
    const slow = await slowOf(parts, one, view, instances, nowMs);
    return slow ? [[view, slow] as const] : [];
  });
  return (await Promise.all(all)).flat();
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

function noConsumerAlarm(view: QueueView): Alarm {
  const { queue, oldestMs, module } = view;
  const message = `${waitingText(view)}, and no instance of ${module} handles them`;
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

function pausedBySettings({ queue, waiting, oldestMs, paused, pauses }: QueueView, nowMs: number): Alarm[] {
  return paused.map((name) => {
    const untilMs = pauses.find((one) => one.name === name)?.untilMs ?? null;
    const until = untilMs === null ? '' : ` for ${spanText(Math.max(0, untilMs - nowMs))} more`;
    const message = `a pause of ${name} stops its messages${until}; ${waiting} wait in the queue`;
    const next = `busbar resume ${name}`;
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

/** Number of reasons in the line of a queue with parked messages, and the length of each. */
const reasonsShownMax = 2;
const reasonCharsMax = 100;

function hasParked({ queue, parked, parkedFor }: QueueView): Alarm {
  const kinds = parkedFor.slice(0, reasonsShownMax).map(({ entry, reason, count }) => {
    const [line = ''] = reason.split('\n', 1);
    const short = line.length > reasonCharsMax ? `${line.slice(0, reasonCharsMax).toWellFormed()}…` : line;
    return `${count} of ${entry || 'an unknown entry'}: ${short}`;
  });
  const others = parked - parkedFor.slice(0, reasonsShownMax).reduce((total, { count }) => total + count, 0);
  const all = [...kinds, ...(others > 0 ? [`${others} for other reasons`] : [])];
  const message = `${parked} ${parked === 1 ? 'message is' : 'messages are'} parked: ${all.join('; ')}`;
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
  'timing out',
  'failing',
  'refused',
  'degraded',
  'drift',
  'growing',
  'paused',
  'parked',
];

function worstFirst(one: Alarm, other: Alarm): number {
  if (one.severity !== other.severity) return one.severity === 'critical' ? -1 : 1;
  return order.indexOf(one.what) - order.indexOf(other.what) || (other.forMs ?? 0) - (one.forMs ?? 0);
}
