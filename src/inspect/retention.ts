/** Raises alarms for listeners with overdue events, which the log deletes or keeps only because they are unread. */
import { limits } from '../base/limits';
import { moduleOf } from '../contract/contract';
import { bounds } from '../contract/options';
import { sizeText, spanText } from '../format/amounts';
import { namesIn } from '../format/names';
import type { Log } from '../ports/log';
import { describeWaiting, reportedFromMs } from '../work/retention';
import { sizeOf, type Backlog } from './backlog';
import type { Counted } from './queues';
import type { Alarm, InspectorParts, QueueView } from './types';

/**
 * Share of `heldEventBytesMax` from which the alarm is critical, so that an operator can act before events are deleted.
 */
const criticalShare = 0.75;
/** Number of records of a partition that are read to estimate its size. It bounds the number of reads. */
const sampleRecords = 8;

/**
 * Returns the retention of the topic of an event, in ms, as an option of the entry. Without it, a contract made from
 * the name of the entry would raise the retention to the default. Returns undefined if there is no such topic.
 */
export async function keepMsOfEvent(
  { log, ns }: Pick<InspectorParts, 'log' | 'ns'>,
  entry: string,
): Promise<number | undefined> {
  const topic = namesIn(ns).events(moduleOf({ name: entry }));
  const keepMs = (await log.topics()).find(({ name }) => name === topic)?.keepMs ?? NaN;
  return keepMs >= bounds.keepMs.min && keepMs <= bounds.keepMs.max ? keepMs : undefined;
}

export async function alarmsOfWaiting(
  log: Log,
  counted: readonly Counted[],
  views: ReadonlyMap<string, QueueView>,
): Promise<readonly Alarm[]> {
  const listeners = counted.filter(({ name, oldest }) => name.kind === 'listener' && oldest);
  if (listeners.length === 0) return [];
  const kept = new Map((await log.topics()).map(({ name, keepMs }) => [name, keepMs]));
  const alarms = listeners.map(async (one): Promise<readonly Alarm[]> => {
    const view = views.get(one.name.queue);
    const topics = one.name.sources.flatMap(({ topic: name }) => {
      const keepMs = kept.get(name) ?? null;
      return keepMs === null ? [] : { name, keepMs };
    });
    const [topic] = topics.toSorted((a, b) => a.keepMs - b.keepMs);
    if (!topic || !view || (view.oldestMs ?? 0) < reportedFromMs(log, topic.keepMs)) return [];
    return [await alarmOf(log, one, view, topic)];
  });
  return (await Promise.all(alarms)).flat();
}

async function alarmOf(
  log: Log,
  { backlogs }: Counted,
  { queue, module, waiting, oldestMs, instances }: QueueView,
  topic: { readonly name: string; readonly keepMs: number },
): Promise<Alarm> {
  const about = { about: queue, forMs: oldestMs };
  const many = waiting === 1 ? '1 event waits' : `${waiting} events wait`;
  const since = `${many}, the oldest for ${spanText(oldestMs ?? 0)}`;
  const meaning = describeWaiting(log, topic, module, queue);
  if (!log.holdsUnread) {
    const next = `busbar instances ${module}`;
    return { ...about, severity: 'critical', what: 'expiring', message: `${since}; ${meaning}`, next };
  }
  const bytes = await bytesOf(log, backlogs);
  const isCritical = bytes >= limits.heldEventBytesMax * criticalShare;
  const share = `about ${sizeText(bytes)} of ${sizeText(limits.heldEventBytesMax)}`;
  const next = instances > 0 ? `busbar peek ${queue}` : `busbar forget ${queue}`;
  const message = `${since}, ${share} with the events between them; ${meaning}`;
  return { ...about, severity: isCritical ? 'critical' : 'warning', what: 'held', message, next };
}

/** Estimates the bytes from the lowest unread event to the end, from the sizes of a few records. */
async function bytesOf(log: Log, backlogs: readonly Backlog[]): Promise<number> {
  const sizes = await Promise.all(
    backlogs.map(async (span) => {
      const count = sizeOf(span);
      const step = Math.max(1, Math.floor((span.end - span.from) / sampleRecords));
      let [bytes, looked] = [0, 0];
      for (let offset = span.from; offset < span.end; offset += step) {
        const place = { partition: span.partition, offset };
        const [record] = await log.peek(span.topic, place, { messages: 1, bytes: 1 });
        if (!record) break;
        const { key, value, headers } = record;
        bytes += (key?.length ?? 0) + (value?.length ?? 0) + JSON.stringify(headers).length;
        looked++;
      }
      return looked === 0 ? 0 : (bytes / looked) * count;
    }),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}
