/** Instruments of a system of metrics, and the names of all metrics: the same in Prometheus and in OpenTelemetry. */

/** Values of the labels of a metric, by name. */
export type Labels = Readonly<Record<string, string>>;

/** A count that only rises. */
export interface CountsUp {
  inc(labels: Labels): void;
}
/** A value that rises and falls. */
export interface Level {
  inc(labels: Labels, by: number): void;
  set(labels: Labels, value: number): void;
}
export interface Distribution {
  observe(labels: Labels, value: number): void;
}
export interface Definition {
  readonly name: string;
  readonly help: string;
  readonly labels: readonly string[];
}

/** Creates instruments. Two buses of a process share those of the same name. */
export interface Instruments {
  readonly counter: (definition: Definition) => CountsUp;
  readonly gauge: (definition: Definition) => Level;
  readonly histogram: (definition: Definition, buckets: readonly number[]) => Distribution;
}

/** Metrics that are counted while messages pass. */
export const counted = {
  sent: counter('busbar_messages_sent_total', 'Messages that this instance sent.', 'kind', 'entry'),
  received: counter('busbar_messages_received_total', 'Messages that this instance received.', 'kind', 'entry'),
  handled: counter('busbar_messages_handled_total', 'Handler attempts that ended.', 'kind', 'entry', 'outcome'),
  handling: histogram('busbar_handler_duration_seconds', 'Duration of one handler attempt.', 'kind', 'entry'),
  queueing: histogram(
    'busbar_queueing_duration_seconds',
    'Time from the acceptance of a message to the start of its first handler attempt.',
    'kind',
    'entry',
  ),
  requests: counter('busbar_requests_total', 'Requests of this instance that ended.', 'entry', 'outcome'),
  requesting: histogram('busbar_request_duration_seconds', 'Duration of a request at its caller.', 'entry'),
  retried: counter('busbar_messages_retried_total', 'Failed attempts that are retried.', 'entry'),
  parked: counter('busbar_messages_parked_total', 'Messages that were parked.', 'queue', 'reason'),
  dropped: counter('busbar_dropped_total', 'Messages that were dropped.', 'what', 'reason'),
  partitions: gauge('busbar_partitions', 'Partitions that this instance owns.', 'queue'),
  moves: counter(
    'busbar_partition_changes_total',
    'Changes of the partitions that this instance owns.',
    'queue',
    'change',
  ),
  stuck: counter('busbar_partitions_stuck_total', 'Times that a partition stopped behind a message.', 'queue'),
  instances: counter('busbar_instance_changes_total', 'Changes of the instances that this one knows.', 'change'),
  settings: counter('busbar_settings_total', 'Settings that were applied or refused.', 'change'),
  parts: gauge('busbar_part_ok', '1 if a part of the bus works, 0 if it does not.', 'part'),
  lines: counter('busbar_log_lines_total', 'Log lines of handlers.', 'level'),
  systemHandled: counter(
    'busbar_system_handled_total',
    'Requests of operators and other instances (busbar.*) that this instance answered.',
    'entry',
    'outcome',
  ),
  systemRequests: counter(
    'busbar_system_requests_total',
    'Requests of this instance to the contract busbar that ended.',
    'entry',
    'outcome',
  ),
} as const;

/** Metrics that are read from the statistics of the bus. `across` joins the values of several buses of a process. */
export const measured = {
  waiting: read('busbar_queue_waiting', 'Messages that wait in the partitions of this instance.', 'sum', 'queue'),
  oldest: read(
    'busbar_queue_oldest_seconds',
    'Age of the oldest message that is not settled in the partitions of this instance; 0 without one.',
    'max',
    'queue',
  ),
  parkedNow: read(
    'busbar_queue_parked',
    'Messages that are parked now. Each instance of the module has the same value.',
    'max',
    'queue',
    'entry',
  ),
  running: read('busbar_handlers_running', 'Handlers that run.', 'sum', 'queue', 'entry'),
  limit: read('busbar_handlers_limit', 'Handlers that can run at once; 0 when paused.', 'sum', 'queue', 'entry'),
  backoff: read('busbar_backoff_messages', 'Messages that wait for another attempt.', 'sum', 'queue', 'entry'),
  requestsWaiting: read('busbar_requests_waiting', 'Requests that wait for a handler.', 'sum', 'entry'),
  pending: read('busbar_requests_pending', 'Requests of this instance that have no reply yet.', 'sum', 'entry'),
  spoolBytes: read('busbar_spool_bytes', 'Bytes that wait in the spool of this machine.', 'max'),
  spoolLimit: read('busbar_spool_limit_bytes', 'Bytes at which the spool is full.', 'max'),
} as const;

export interface MeasuredDefinition extends Definition {
  readonly across: 'sum' | 'max';
}

/** Names of all metrics, of histograms without the suffixes that Prometheus adds. */
export const metricNames: readonly string[] = [...Object.values(counted), ...Object.values(measured)].map(
  ({ name }) => name,
);

function counter(name: string, help: string, ...labels: readonly string[]) {
  return { type: 'counter', name, help, labels } as const;
}
function gauge(name: string, help: string, ...labels: readonly string[]) {
  return { type: 'gauge', name, help, labels } as const;
}
function histogram(name: string, help: string, ...labels: readonly string[]) {
  return { type: 'histogram', name, help, labels } as const;
}
function read(
  name: string,
  help: string,
  across: MeasuredDefinition['across'],
  ...labels: readonly string[]
): MeasuredDefinition {
  return { name, help, labels, across };
}
