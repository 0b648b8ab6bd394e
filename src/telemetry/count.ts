/** Counts notices with the instruments of a system of metrics, with a bounded number of label values. */
import type { Notice } from '../base/notices';
import { isSystem } from '../delivery/tracing';
import { counted, type Instruments } from './instruments';
import { boundedLabel, reasonLabel } from './labels';
import type { Watchable } from './watchable';

/** Counts the notices of `bus` until the returned function is called. */
export function countWith(bus: Watchable, instruments: Instruments): () => void {
  const metrics = openMetrics(instruments);
  return bus.watch((notice) => count(metrics, notice));
}

type Metrics = ReturnType<typeof openMetrics>;

function openMetrics({ counter, gauge, histogram }: Instruments) {
  return {
    entry: boundedLabel(entriesMax),
    queue: boundedLabel(entriesMax),
    outcome: boundedLabel(100),
    what: boundedLabel(50),
    reason: reasonLabel(50),
    part: boundedLabel(50),
    sent: counter(counted.sent),
    received: counter(counted.received),
    handled: counter(counted.handled),
    handling: histogram(counted.handling, secondsBuckets),
    queueing: histogram(counted.queueing, queueingBuckets),
    requests: counter(counted.requests),
    requesting: histogram(counted.requesting, secondsBuckets),
    retried: counter(counted.retried),
    parked: counter(counted.parked),
    dropped: counter(counted.dropped),
    partitions: gauge(counted.partitions),
    moves: counter(counted.moves),
    stuck: counter(counted.stuck),
    instances: counter(counted.instances),
    settings: counter(counted.settings),
    parts: gauge(counted.parts),
    lines: counter(counted.lines),
    systemHandled: counter(counted.systemHandled),
    systemRequests: counter(counted.systemRequests),
  };
}
/** Maximum number of entries, and of queues, that are labels. All others are counted as `other`. */
export const entriesMax = 1_000;
/**
 * Histogram buckets recommended by OpenTelemetry for messaging, with finer ones below, because a request on one machine
 * takes 0.05 ms.
 */
const secondsBuckets = [0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30];
/** Buckets up to a day, since a job can wait for hours. */
const queueingBuckets = [0.001, 0.005, 0.025, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3_600, 14_400, 86_400];

function count(m: Metrics, notice: Notice): void {
  switch (notice.type) {
    case 'sent':
    case 'received':
      if (isSystem(notice.entry)) return;
      return m[notice.type].inc({ kind: notice.kind, entry: m.entry(notice.entry) });
    case 'handled':
      return countHandled(m, notice);
    case 'answered':
      return countAnswered(m, notice);
    case 'retried':
      return m.retried.inc({ entry: m.entry(notice.entry) });
    case 'parked':
      return m.parked.inc({ queue: m.queue(notice.queue), reason: m.reason(notice.reason) });
    case 'dropped':
      return m.dropped.inc({ what: m.what(notice.what), reason: m.reason(notice.reason) });
    case 'partition':
      return countPartition(m, notice);
    case 'stuck':
      return m.stuck.inc({ queue: m.queue(notice.queue) });
    case 'instance':
      return m.instances.inc({ change: notice.change });
    case 'setting':
      return m.settings.inc({ change: notice.change });
    case 'state':
      return countState(m, notice);
    case 'log':
      return m.lines.inc({ level: notice.level });
  }
}

function countHandled(m: Metrics, notice: Extract<Notice, { type: 'handled' }>): void {
  const { kind, entry, outcome, tookMs, waitedMs } = notice;
  const label = m.entry(entry);
  if (isSystem(entry)) return m.systemHandled.inc({ entry: label, outcome });
  m.handled.inc({ kind, entry: label, outcome });
  m.handling.observe({ kind, entry: label }, tookMs / 1000);
  if (waitedMs !== undefined) m.queueing.observe({ kind, entry: label }, waitedMs / 1000);
}

function countAnswered(m: Metrics, { entry, outcome, tookMs }: Extract<Notice, { type: 'answered' }>): void {
  const labels = { entry: m.entry(entry), outcome: m.outcome(outcome) };
  if (isSystem(entry)) return m.systemRequests.inc(labels);
  m.requests.inc(labels);
  m.requesting.observe({ entry: labels.entry }, tookMs / 1000);
}

function countPartition(m: Metrics, notice: Extract<Notice, { type: 'partition' }>): void {
  const { change, also = [] } = notice;
  for (const { queue } of [notice, ...also]) {
    const label = m.queue(queue);
    m.moves.inc({ queue: label, change });
    m.partitions.inc({ queue: label }, change === 'taken' ? 1 : -1);
  }
}

function countState(m: Metrics, notice: Extract<Notice, { type: 'state' }>): void {
  for (const { part } of [notice, ...(notice.also ?? [])]) m.parts.set({ part: m.part(part) }, notice.ok ? 1 : 0);
}
