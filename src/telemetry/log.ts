/** Writes notices as log lines, each with a level that fits its meaning. */
import type { Logger } from 'pino';
import type { LogLevel, Notice } from '../base/notices';
import type { Watchable } from './watchable';

/**
 * Logs the notices of `bus` to `logger` until the returned function is called. Levels:
 * - debug: successes, and changes of instances and partitions;
 * - info: applied settings, and parts that work again;
 * - warn: failed attempts, drops, lost partitions, refused settings, and parts that fail;
 * - error: parked messages and stuck partitions, which need an operator.
 *
 * Lines of handlers (`context.log`) keep their level, and have `entry` and `id`. The setting `logLevel` changes the
 * level of all these lines until it is removed. The level of `logger` itself does not change.
 *
 * @example
 * import { logTo, openLogger } from 'busbar/telemetry';
 *
 * const stop = logTo(bus, openLogger({ level: 'info', format: 'json', fields: () => ({ module: 'photos' }) }));
 */
export function logTo(bus: Watchable, logger: Logger): () => void {
  const child = logger.child({});
  const own = logger.level;
  return bus.watch((notice) => {
    if (notice.type === 'setting') child.level = levelBy(notice, own) ?? child.level;
    if (child.isLevelEnabled(levelOf(notice))) writeNotice(child, notice);
  });
}

/** Writes the line of a notice. */
export function writeNotice(logger: Pick<Logger, LogLevel>, notice: Notice): void {
  logger[levelOf(notice)](fieldsOf(notice), describe(notice));
}

/** Returns the new level if the notice changes it; undefined otherwise. `own` is the level without the setting. */
export function levelBy({ key, change, value }: Extract<Notice, { type: 'setting' }>, own: string): string | undefined {
  if (key !== 'logLevel' || change === 'refused') return undefined;
  return change === 'removed' ? own : value;
}

/** Returns the level of the line of a notice. */
export function levelOf(notice: Notice): LogLevel {
  switch (notice.type) {
    case 'sent':
    case 'received':
    case 'answered': // the caller receives the error
      return 'debug';
    case 'handled':
      // A declared failure is a normal reply. A durable message also emits `retried` or `parked`, which contains more,
      // so a warning here would be a duplicate.
      return notice.outcome === 'failed' && !notice.durable ? 'warn' : 'debug';
    case 'retried':
    case 'dropped':
      return 'warn';
    case 'parked':
    case 'stuck':
      return 'error';
    case 'partition':
      return notice.change === 'lost' ? 'warn' : 'debug'; // a rebalance assigns and revokes many at a time
    case 'instance':
      return 'debug'; // each instance logs its own start and end
    case 'setting':
      return notice.change === 'refused' ? 'warn' : 'info';
    case 'state':
      return notice.ok ? 'info' : 'warn';
    case 'log':
      return notice.level;
  }
}

/** Returns one sentence about a notice. The values in it are in the fields too. */
function describe(notice: Notice): string {
  switch (notice.type) {
    case 'sent':
    case 'received':
      return `${notice.entry} ${notice.type}`;
    case 'handled':
      return `${notice.entry} ${describeOutcome(notice)}`;
    case 'answered':
      return `${notice.entry} answered ${notice.outcome} after ${Math.round(notice.tookMs)} ms`;
    case 'retried':
      return `${notice.entry} ${describeRetry(notice)}`;
    case 'parked':
      return `${notice.entry} parked after ${describeAttempts(notice.attempts)}: ${notice.reason}`;
    case 'dropped':
      return `${notice.what} dropped: ${notice.reason}`;
    case 'partition':
      return describePartition(notice);
    case 'stuck':
      return `partition ${notice.partition} of ${notice.queue} is stuck: ${notice.reason}`;
    case 'instance':
      return `${notice.instance} is ${notice.change}`;
    case 'setting':
      return `setting ${notice.key} ${notice.change}${describeSetting(notice)}`;
    case 'state':
      return describeState(notice);
    case 'log':
      return notice.message;
  }
}

function describePartition({
  partition,
  queue,
  change,
  reason,
  also = [],
}: Extract<Notice, { type: 'partition' }>): string {
  const others = also.length === 0 ? '' : ` and ${also.length} more`;
  return `partition ${partition} of ${queue}${others} ${change}${describeReason(reason)}`;
}
function describeState({ part, ok, reason, also = [] }: Extract<Notice, { type: 'state' }>): string {
  if (also.length === 0) return `${part} ${ok ? 'works' : 'does not work'}: ${reason}`;
  return `${part} and ${also.length} more ${ok ? 'work' : 'do not work'}: ${reason}`;
}
function describeReason(reason: string | undefined): string {
  return reason === undefined ? '' : `: ${reason}`;
}
function describeOutcome({ outcome, tookMs, error }: Extract<Notice, { type: 'handled' }>): string {
  return `${outcome} after ${Math.round(tookMs)} ms${error === undefined ? '' : `: ${error}`}`;
}

function describeRetry({ attempt, delayMs, error }: Extract<Notice, { type: 'retried' }>): string {
  return `failed in attempt ${attempt}, retried in ${Math.round(delayMs)} ms: ${error}`;
}

function describeAttempts(attempts: number): string {
  return attempts === 1 ? '1 attempt' : `${attempts} attempts`;
}

function describeSetting({ value, reason }: Extract<Notice, { type: 'setting' }>): string {
  if (reason !== undefined) return `: ${reason}`;
  return value === undefined ? '' : `: ${value}`;
}

function fieldsOf(notice: Notice): Record<string, unknown> {
  if (notice.type === 'log') return withoutOurs(notice.fields);
  if (notice.type === 'instance') return { notice: 'instance', peer: notice.instance, change: notice.change };
  const { type, ...rest } = notice;
  if (!('thrown' in rest)) return { notice: type, ...rest };
  const { thrown, ...fields } = rest;
  return { notice: type, ...fields, err: thrown }; // pino writes `err` with its stack
}

/**
 * Renames fields that pino writes itself. A second `level` or `time` in the line would replace the first one in most
 * parsers.
 */
function withoutOurs(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).map(([name, value]) => [ours.has(name) ? `${name}_` : name, value]));
}
const ours = new Set(['level', 'time', 'msg', 'module', 'instance', 'pid']);
