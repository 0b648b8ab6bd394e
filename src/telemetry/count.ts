/** Counts notices in a prom-client registry, with a bounded number of label values. */
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { Notice } from '../base/notices';
import { boundedLabel, reasonLabel } from './labels';
import type { Watchable } from './watchable';

/**
 * Counts the notices of `bus` until the returned function is called. All names start with `busbar_`. Labels are kinds,
 * entries, queues, outcomes and reasons, never ids or keys. Several buses of a process can share a registry. Throws
 * TypeError when the registry has a metric of such a name that is of another kind.
 *
 * @example
 * import { countIn } from 'busbar/telemetry';
 * import { register } from 'prom-client';
 *
 * const stop = countIn(bus, register);
 */
export function countIn(bus: Watchable, registry: Registry): () => void {
  const metrics = openMetrics(registry);
  return bus.watch((notice) => count(metrics, notice));
}

type Metrics = ReturnType<typeof openMetrics>;

function openMetrics(registry: Registry) {
  const counter = <L extends string>(name: string, help: string, labelNames: readonly L[]) =>
    existing(registry, name, Counter<L>) ?? new Counter({ name, help, labelNames, registers: [registry] });
  const gauge = <L extends string>(name: string, help: string, labelNames: readonly L[]) =>
    existing(registry, name, Gauge<L>) ?? new Gauge({ name, help, labelNames, registers: [registry] });
  const histogram = <L extends string>(name: string, help: string, labelNames: readonly L[]) =>
    existing(registry, name, Histogram<L>) ??
    new Histogram({ name, help, labelNames, buckets: secondsBuckets, registers: [registry] });

  return {
    entry: boundedLabel(1_000),
    queue: boundedLabel(1_000),
    outcome: boundedLabel(100),
    what: boundedLabel(50),
    reason: reasonLabel(50),
    part: boundedLabel(50),
    sent: counter('busbar_messages_sent_total', 'Messages that this instance sent.', ['kind', 'entry']),
    received: counter('busbar_messages_received_total', 'Messages that this instance received.', ['kind', 'entry']),
    handled: counter('busbar_messages_handled_total', 'Handler attempts that ended.', ['kind', 'entry', 'outcome']),
    handling: histogram('busbar_handler_duration_seconds', 'Duration of one handler attempt.', ['kind', 'entry']),
    requests: counter('busbar_requests_total', 'Requests of this instance that ended.', ['entry', 'outcome']),
    requesting: histogram('busbar_request_duration_seconds', 'Duration of a request at its caller.', ['entry']),
    retried: counter('busbar_messages_retried_total', 'Failed attempts that are retried.', ['entry']),
    parked: counter('busbar_messages_parked_total', 'Messages that were parked.', ['queue', 'reason']),
    dropped: counter('busbar_dropped_total', 'Messages that were dropped.', ['what', 'reason']),
    partitions: gauge('busbar_partitions', 'Partitions that this instance owns.', ['queue']),
    moves: counter('busbar_partition_changes_total', 'Changes of the partitions that this instance owns.', [
      'queue',
      'change',
    ]),
    stuck: counter('busbar_partitions_stuck_total', 'Times that a partition stopped behind a message.', ['queue']),
    instances: counter('busbar_instance_changes_total', 'Changes of the instances that this one knows.', ['change']),
    settings: counter('busbar_settings_total', 'Settings that were applied or refused.', ['change']),
    parts: gauge('busbar_part_ok', '1 if a part of the bus works, 0 if it does not.', ['part']),
    lines: counter('busbar_log_lines_total', 'Log lines of handlers.', ['level']),
  };
}
/**
 * Histogram buckets recommended by OpenTelemetry for messaging, with finer ones below, because a request on one machine
 * takes 0.05 ms.
 */
const secondsBuckets = [0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30];

/**
 * Returns a metric of that name that another bus of this process has registered. Throws TypeError when it is of another
 * kind.
 */
function existing<M extends object>(
  registry: Registry,
  name: string,
  kind: new (...args: never[]) => M,
): M | undefined {
  const found: unknown = registry.getSingleMetric(name);
  if (found === undefined) return undefined;
  if (found instanceof kind) return found;
  throw new TypeError(`the registry already holds ${name}, and it is another kind of metric`);
}

function count(m: Metrics, notice: Notice): void {
  switch (notice.type) {
    case 'sent':
    case 'received':
      return m[notice.type].inc({ kind: notice.kind, entry: m.entry(notice.entry) });
    case 'handled':
      return countHandled(m, notice);
    case 'answered':
      m.requests.inc({ entry: m.entry(notice.entry), outcome: m.outcome(notice.outcome) });
      return m.requesting.observe({ entry: m.entry(notice.entry) }, notice.tookMs / 1000);
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

function countHandled(m: Metrics, { kind, entry, outcome, tookMs }: Extract<Notice, { type: 'handled' }>): void {
  const label = m.entry(entry);
  m.handled.inc({ kind, entry: label, outcome });
  m.handling.observe({ kind, entry: label }, tookMs / 1000);
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
