/** Writes notices as lines of a log, each with the level that its meaning deserves. */
import type { Logger } from 'pino';
import type { LogLevel, Notice } from '../base/notices';
import type { Watchable } from './watchable';

/**
 * Logs what happens in `bus` to `logger` until the function given back is called. What succeeds is at debug, what
 * comes and goes at info, what failed once or was dropped at warn, what waits for a person (parked, stuck) at error.
 * Lines of handlers (`context.log`) keep their level, and have `entry` and `id`. The setting `logLevel` changes
 * the level of these lines until it is removed; the logger given keeps its own.
 */
export function logTo(bus: Watchable, logger: Logger): () => void {
  const child = logger.child({});
  const own = logger.level;
  return bus.watch((notice) => {
    if (notice.type === 'setting') child.level = levelBy(notice, own) ?? child.level;
    const level = levelOf(notice);
    if (child.isLevelEnabled(level)) child[level](fieldsOf(notice), say(notice));
  });
}

/** The level from now on, where the notice is about it; `own` is the one without a setting. */
export function levelBy({ key, change, value }: Extract<Notice, { type: 'setting' }>, own: string): string | undefined {
  if (key !== 'logLevel' || change === 'refused') return undefined;
  return change === 'removed' ? own : value;
}

function levelOf(notice: Notice): LogLevel {
  switch (notice.type) {
    case 'sent':
    case 'received':
    case 'answered': // whoever asked has the error in hand
      return 'debug';
    case 'handled':
      // A declared failure is an answer like any other; of what is kept, 'retried' or 'parked' says the same and more.
      return notice.outcome === 'failed' && !notice.durable ? 'warn' : 'debug';
    case 'retried':
    case 'dropped':
      return 'warn';
    case 'parked':
    case 'stuck':
      return 'error';
    case 'partition':
      return notice.change === 'lost' ? 'warn' : 'debug'; // taken and given come a dozen at a time
    case 'instance':
      return 'debug'; // each of them says so itself
    case 'setting':
      return notice.change === 'refused' ? 'warn' : 'info';
    case 'state':
      return notice.ok ? 'info' : 'warn';
    case 'log':
      return notice.level;
  }
}

/** One sentence; all it is made of is in the fields too. */
function say(notice: Notice): string {
  switch (notice.type) {
    case 'sent':
    case 'received':
      return `${notice.entry} ${notice.type}`;
    case 'handled':
      return `${notice.entry} ${sayOutcome(notice)}`;
    case 'answered':
      return `${notice.entry} answered ${notice.outcome} after ${Math.round(notice.tookMs)} ms`;
    case 'retried':
      return `${notice.entry} ${sayRetry(notice)}`;
    case 'parked':
      return `${notice.entry} parked after ${sayAttempts(notice.attempts)}: ${notice.reason}`;
    case 'dropped':
      return `${notice.what} dropped: ${notice.reason}`;
    case 'partition':
      return sayPartition(notice);
    case 'stuck':
      return `partition ${notice.partition} of ${notice.queue} is stuck: ${notice.reason}`;
    case 'instance':
      return `${notice.instance} is ${notice.change}`;
    case 'setting':
      return `setting ${notice.key} ${notice.change}${saySetting(notice)}`;
    case 'state':
      return sayState(notice);
    case 'log':
      return notice.message;
  }
}

function sayPartition({ partition, queue, change, reason, also = [] }: Extract<Notice, { type: 'partition' }>): string {
  const others = also.length === 0 ? '' : ` and ${also.length} more`;
  return `partition ${partition} of ${queue}${others} ${change}${sayReason(reason)}`;
}
function sayState({ part, ok, reason, also = [] }: Extract<Notice, { type: 'state' }>): string {
  if (also.length === 0) return `${part} ${ok ? 'works' : 'does not work'}: ${reason}`;
  return `${part} and ${also.length} more ${ok ? 'work' : 'do not work'}: ${reason}`;
}
function sayReason(reason: string | undefined): string {
  return reason === undefined ? '' : `: ${reason}`;
}
function sayOutcome({ outcome, tookMs, error }: Extract<Notice, { type: 'handled' }>): string {
  return `${outcome} after ${Math.round(tookMs)} ms${error === undefined ? '' : `: ${error}`}`;
}

function sayRetry({ attempt, delayMs, error }: Extract<Notice, { type: 'retried' }>): string {
  return `failed, attempt ${attempt}; again in ${Math.round(delayMs)} ms: ${error}`;
}

function sayAttempts(attempts: number): string {
  return attempts === 1 ? '1 attempt' : `${attempts} attempts`;
}

function saySetting({ value, reason }: Extract<Notice, { type: 'setting' }>): string {
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

/** pino would write a second `level` or `time` into the line, and whoever reads it would take that one. */
function withoutOurs(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).map(([name, value]) => [ours.has(name) ? `${name}_` : name, value]));
}
const ours = new Set(['level', 'time', 'msg', 'module', 'instance', 'pid']);
