/** Sums what instances report about the messages that they sent, and raises alarms for entries that fail. */
import { moduleOf } from '../contract/contract';
import { spanText } from '../format/amounts';
import type { Failing, OutgoingCounts } from '../delivery/outgoing';
import { together } from './load';
import type { EntryView, SenderView } from './entry-view';
import type { Alarm, InstanceView } from './types';

/** Time for which an entry must fail before its alarm, in ms, so that one error is none. */
const failsAfterMs = 10_000;
/** Number of senders that an alarm names. */
const namedMax = 2;

/** Returns the entries of which messages were sent or requests were handled within the last minute, sorted by name. */
export function entriesOf(instances: readonly InstanceView[]): readonly EntryView[] {
  const names = new Set<string>();
  for (const { status } of instances) {
    for (const { entry } of status?.outgoing ?? []) names.add(entry);
    for (const { entry } of status?.limits ?? []) names.add(entry);
  }
  const views = [...names].filter((name) => !name.startsWith('busbar.')).map((name) => viewOf(name, instances));
  return views.toSorted((one, other) => (one.entry < other.entry ? -1 : 1));
}

function viewOf(entry: string, instances: readonly InstanceView[]): EntryView {
  const senders = instances.flatMap(({ name, status }): SenderView[] =>
    (status?.outgoing ?? []).filter((one) => one.entry === entry).map((one) => ({ ...one, instance: name })),
  );
  const counts = instances.flatMap(({ status }) => status?.entries?.filter((one) => one.entry === entry) ?? []);
  const limits = instances.flatMap(({ status }) => status?.limits?.filter((one) => one.entry === entry) ?? []);
  const module = moduleOf({ name: entry });
  return {
    entry,
    kind: senders[0]?.kind ?? 'request',
    senders: senders.toSorted((one, other) => errorsOf(other) - errorsOf(one)),
    responders: instances.filter(({ serves, leaving }) => Object.hasOwn(serves, module) && !leaving).length,
    running: limits.reduce((sum, one) => sum + one.running, 0),
    limit: limits.reduce((sum, one) => sum + one.concurrency, 0),
    inPerSecond: counts.reduce((sum, one) => sum + (one.in / one.windowMs) * 1_000, 0),
    refused: counts.reduce((sum, one) => sum + one.refused, 0),
    handlerMs: together(counts.map((one) => [one.handlerMs, one.done + one.failed + one.failures])),
    queueMs: together(counts.map((one) => [one.queueMs, one.in])),
  };
}

function errorsOf({ errors }: Pick<OutgoingCounts, 'errors'>): number {
  return Object.values(errors).reduce((sum, count) => sum + count, 0);
}

/** Returns the alarms of entries that fail at their senders, and of modules that have no instance. */
export function alarmsOfEntries(entries: readonly EntryView[], nowMs: number): readonly Alarm[] {
  const absent = new Map<string, EntryView[]>();
  const alarms: Alarm[] = [];
  for (const one of entries) {
    const module = moduleOf({ name: one.entry });
    const isAsked = one.senders.some(({ errors }) => (errors['NoHandler'] ?? 0) > 0);
    if (one.responders === 0 && isAsked) absent.set(module, [...(absent.get(module) ?? []), one]);
    else alarms.push(...alarmOf(one, nowMs));
  }
  return [...[...absent].map(([module, all]) => absentAlarm(module, all, nowMs)), ...alarms];
}

function absentAlarm(module: string, entries: readonly EntryView[], nowMs: number): Alarm {
  const senders = entries.flatMap((one) => one.senders);
  const lost = senders.reduce((sum, { errors }) => sum + (errors['NoHandler'] ?? 0), 0);
  const failing = failingOf(senders);
  const forMs = failing.length === 0 ? null : nowMs - Math.min(...failing.map(({ sinceMs }) => sinceMs));
  const names = entries.map(({ entry }) => entry);
  const what = `${many(lost, 'request')} of ${listed(names)} by ${listed(namesOf(senders))} failed`;
  return {
    // A deploy can leave a module without an instance for a moment.
    severity: forMs === null || forMs >= failsAfterMs ? 'critical' : 'warning',
    about: module,
    what: 'no instance',
    forMs,
    message: `no instance of ${module} is running: ${what} within a minute`,
    next: 'busbar instances',
  };
}

const kinds = {
  Timeout: 'timing out',
  Overloaded: 'refused',
  NotAllowed: 'refused',
  SpoolFull: 'refused',
} as const;

function alarmOf(view: EntryView, nowMs: number): readonly Alarm[] {
  const { entry, kind, senders } = view;
  const affected = senders.filter(({ failing }) => failing && failing.lastMs - failing.sinceMs >= failsAfterMs);
  const failing = failingOf(affected);
  const last = failing.toSorted((one, other) => other.lastMs - one.lastMs)[0];
  if (!last) return [];
  const codes = new Map<string, number>();
  for (const { errors } of affected) {
    for (const [code, count] of Object.entries(errors)) codes.set(code, (codes.get(code) ?? 0) + count);
  }
  const sorted = [...codes].toSorted(([, one], [, other]) => other - one);
  const errors = sorted.reduce((sum, [, count]) => sum + count, 0);
  const all = affected.reduce((sum, one) => sum + one.ok + one.failures, errors);
  const what = sorted[0]?.[0] ?? last.code;
  const byCode = sorted.map(([code, count]) => `${count} ${code}`).join(', ');
  const noun = kind === 'request' ? 'request' : kind === 'event' ? 'event' : 'message';
  const failed = `${errors} of ${many(all, noun)} by ${listed(namesOf(affected))} failed within a minute (${byCode})`;
  const module = moduleOf({ name: entry });
  const isSlow = what === 'Timeout' || what === 'Overloaded';
  const cause = isSlow && kind === 'request' && view.limit > 0 ? describeHandlers(view) : last.message;
  return [
    {
      severity: failing.every(({ ok }) => ok === 0) ? 'critical' : 'warning',
      about: entry,
      what: Object.hasOwn(kinds, what) ? kinds[what as keyof typeof kinds] : 'failing', // checked by `hasOwn`
      forMs: nowMs - Math.min(...failing.map(({ sinceMs }) => sinceMs)),
      message: `${failed}: ${cause}`,
      next: isSlow && kind === 'request' ? `busbar running ${entry}` : `busbar instances ${module}`,
    },
  ];
}

function describeHandlers({ running, limit, handlerMs, queueMs }: EntryView): string {
  const times = [
    ...(handlerMs ? [`handlers take ${spanText(handlerMs.p50Ms)}, at most ${spanText(handlerMs.p99Ms)}`] : []),
    ...(queueMs && queueMs.p50Ms >= 1 ? [`requests wait ${spanText(queueMs.p50Ms)} before`] : []),
  ];
  return [`${running} of ${limit} handlers busy`, ...times].join(', ');
}

function failingOf(senders: readonly SenderView[]): readonly Failing[] {
  return senders.flatMap(({ failing }) => failing ?? []);
}
function namesOf(senders: readonly SenderView[]): readonly string[] {
  return [...new Set(senders.filter((one) => errorsOf(one) > 0).map(({ instance }) => instance))];
}
/** Returns the first names, and the number of the others. */
function listed(names: readonly string[]): string {
  const others = names.length - namedMax;
  if (others <= 0) return names.join(' and ');
  return `${names.slice(0, namedMax).join(', ')} and ${others} more`;
}
function many(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
