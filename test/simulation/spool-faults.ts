/** Faults of the processes of a machine with a spool, in the calls to its own log and to the servers. */
import { sleep, type Clock } from '../../src/base/clock';
import { BusError, isBusError } from '../../src/base/errors';
import type { Fault, Operation } from '../../src/memory';
import { PartialAppendError, type Append, type Log, type Place } from '../../src/ports/log';
import type { Dice } from './dice';
import type { Ledger } from './ledger';
import type { ServerLog } from './spool-plants';

/** The rates of a seed. */
export interface SpoolFaultPlan {
  /** The probability of a fault in each call to the log of the machine, and to the servers. */
  readonly perLocalCall: number;
  readonly perServerCall: number;
  /** The probability that such a fault ends the process. */
  readonly crash: number;
  /** The time after which the log of the servers reports an unknown outcome. The append can still be written. */
  readonly appendMs: number;
  /** True if the servers name the records that they refuse, as newer brokers do. */
  readonly namesRefused: boolean;
}

export function drawSpoolFaults(d: Dice): SpoolFaultPlan {
  return {
    perLocalCall: d.pick([0, 0.005, 0.02, 0.05]),
    perServerCall: d.pick([0, 0.05, 0.2, 0.4]),
    crash: d.pick([0, 0.1, 0.3]),
    appendMs: d.pick([500, 3_000, 30_000]),
    namesRefused: d.chance(0.5),
  };
}

export const unreachable = (message: string, outcome: 'unknown' | 'not-sent'): BusError =>
  new BusError('Unreachable', message, { outcome, waitedMs: 0 });
const path = '/sim/spool';

/** Effects of the calls that the embedded log reports as unknown when the disk fails. */
const broken = (call: string): BusError =>
  new BusError('StoreBroken', `${call}: the disk failed`, { outcome: 'unknown', path, cause: 'the disk failed' });
const notAllowed = (): BusError => new BusError('NotAllowed', 'the user cannot write', { what: 'WRITE' });
const diskFull = (): BusError =>
  new BusError('DiskFull', 'the disk is full', { outcome: 'not-sent', path, freeBytes: 0, neededBytes: 1 });

/** How much more often a list is torn than another call of the log of a machine fails. */
const tornPerCall = 4;
/** A list of which a part is written. The call ends with the error, or ends its process. */
export interface Torn {
  readonly written: readonly Append[];
  readonly error: BusError;
  readonly ends: boolean;
}

const writes = new Set(['append', 'commit', 'ensure']);

export interface SpoolFaultParts {
  readonly plan: SpoolFaultPlan;
  readonly dice: Dice;
  readonly ledger: Pick<Ledger, 'count' | 'note'>;
  readonly nowMs: () => number;
  /** The call ends its process before or after its effect. */
  readonly crashes: (process: string) => void;
}

export class SpoolFaults {
  #isOn = true;
  #awayMs = 0;
  #refusedMs = 0;
  /** Until when the disk of each machine is full. */
  readonly #fullMs = new Map<string, number>();

  constructor(private readonly parts: SpoolFaultParts) {}

  heal(): void {
    this.#isOn = false;
  }
  away(forMs: number): void {
    this.#awayMs = this.parts.nowMs() + forMs;
  }
  /** The servers refuse the permission to write. */
  refuse(forMs: number): void {
    this.#refusedMs = this.parts.nowMs() + forMs;
  }
  fill(machine: string, forMs: number): void {
    this.#fullMs.set(machine, this.parts.nowMs() + forMs);
  }

  /** Returns the fault of a call to the log of a machine. */
  local(machine: string, operation: Operation): Fault | undefined {
    if (!this.#isOn || operation.process === 'operator') return undefined;
    const { call } = operation;
    if (writes.has(call) && this.parts.nowMs() < (this.#fullMs.get(machine) ?? 0))
      return this.#note(operation, 'disk full', { error: diskFull(), done: false });
    const { perLocalCall } = this.parts.plan;
    if (!this.parts.dice.chance(perLocalCall)) return undefined;
    return this.#crash(operation) ?? this.#localFault(operation);
  }
  #localFault(operation: Operation): Fault {
    const { dice } = this.parts;
    const kind = dice.pick(['delay', 'delay', 'failed', 'lost answer', 'disconnect'] as const);
    if (kind === 'delay') return this.#note(operation, 'spool delay', { delayMs: dice.whole(1, 500) });
    if (kind === 'disconnect') return this.#note(operation, 'spool expire', kind);
    const done = kind === 'lost answer';
    return this.#note(operation, `spool ${kind}`, { error: broken(operation.call), done });
  }

  /**
   * Returns the records that are written of a list whose process or disk fails in the middle. The embedded log writes up
   * to 1,000 records of a partition in one transaction, and LMDB keeps a transaction as a whole. So each partition keeps
   * the first records of a longer list, and no record is torn.
   */
  tear(process: string, records: readonly Append[]): Torn | undefined {
    const { dice, plan } = this.parts;
    if (!this.#isOn || records.length < 2 || !dice.chance(tornPerCall * plan.perLocalCall)) return undefined;
    const kept = new Map<number, number>();
    for (const { partition } of records) kept.set(partition, (kept.get(partition) ?? 0) + 1);
    for (const [partition, count] of kept) kept.set(partition, dice.whole(0, count));
    const written = records.filter(({ partition }) => {
      const left = kept.get(partition) ?? 0;
      kept.set(partition, left - 1);
      return left > 0;
    });
    const error = broken('append');
    this.#note({ process, call: 'append' }, 'spool torn list', { error, done: true });
    return { written, error, ends: dice.chance(0.5) };
  }

  /** Returns the fault of a call of a process of a machine to the servers. */
  server(operation: Operation): Fault | undefined {
    const { dice, plan, nowMs } = this.parts;
    if (!this.#isOn) return undefined;
    if (nowMs() < this.#awayMs)
      return { error: unreachable('no broker responds', dice.pick(['unknown', 'not-sent'])), done: false };
    if (nowMs() < this.#refusedMs) return { error: notAllowed(), done: false };
    if (!dice.chance(plan.perServerCall)) return undefined;
    return this.#crash(operation) ?? this.#serverFault(operation);
  }
  #serverFault(operation: Operation): Fault {
    const { dice } = this.parts;
    const kind = dice.pick(['written', 'written', 'not written', 'double', 'delay'] as const);
    if (kind === 'delay') return this.#note(operation, 'server delay', { delayMs: dice.whole(1, 40_000) });
    if (kind === 'double') return this.#note(operation, 'server double', kind);
    const error = unreachable('the answer was lost', 'unknown');
    return this.#note(operation, `server ${kind}`, { error, done: kind === 'written' });
  }

  #crash(operation: Operation): Fault | undefined {
    const { dice, plan, crashes } = this.parts;
    if (!dice.chance(plan.crash)) return undefined;
    crashes(operation.process);
    return this.#note(operation, 'spool crash', dice.pick<Fault>(['crash-before', 'crash-after']));
  }

  #note({ process, call }: Pick<Operation, 'process' | 'call'>, what: string, fault: Fault): Fault {
    this.parts.ledger.note(`${what} at ${call} of ${process}`);
    this.parts.ledger.count(`fault ${what}`);
    return fault;
  }
}

/** Returns the log of a machine whose lists can be torn. `crash` ends the process. */
export function tornLists(log: Log, tear: (records: readonly Append[]) => Torn | undefined, crash: () => void): Log {
  return {
    ...log,
    async append(topic, records) {
      const torn = tear(records);
      if (!torn) return log.append(topic, records);
      if (torn.written.length > 0) await log.append(topic, torn.written);
      if (!torn.ends) throw torn.error;
      crash();
      return new Promise(() => undefined);
    },
  };
}

/** Returns the log of the servers as a process reaches it: it waits for a limited time, and can name refused records. */
export function serverLog(
  log: ServerLog,
  clock: Clock,
  { appendMs, namesRefused }: SpoolFaultPlan,
  isRefused: (record: Append) => boolean,
): ServerLog {
  const inTime = async <T>(work: Promise<T>): Promise<T> => {
    const ended = new AbortController();
    const late = sleep(clock, appendMs, ended.signal).then(() => {
      throw unreachable(`no outcome after ${appendMs} ms`, 'unknown');
    });
    late.catch(() => undefined);
    work.catch(() => undefined); // it can reject when no caller waits for it
    try {
      return await Promise.race([work, late]);
    } finally {
      ended.abort();
    }
  };
  const named = async (topic: string, records: readonly Append[]): Promise<readonly Place[]> => {
    const isPartial = namesRefused && records.some(isRefused) && !records.every(isRefused);
    if (!isPartial) return log.append(topic, records);
    const places = await log.append(
      topic,
      records.filter((record) => !isRefused(record)),
    );
    const rest = [...places];
    const all = records.map((record) => (isRefused(record) ? undefined : rest.shift()));
    const error = new BusError('TooLarge', 'a record is too large', { bytes: 1, limitBytes: 0 });
    const failed = new Map(records.flatMap((record, n) => (isRefused(record) ? [[n, error]] : [])));
    throw new PartialAppendError(error, failed, records.length, all);
  };
  return {
    ensure: (topic) => inTime(log.ensure(topic)),
    append: (topic, records) => inTime(named(topic, records)),
  };
}

/** Returns true if the error reports that nothing was accepted. */
export const isRefusal = (error: unknown): boolean =>
  isBusError(error, 'SpoolFull', 'TooLarge', 'Overloaded', 'Invalid', 'Config') ||
  (isBusError(error, 'DiskFull', 'Closed', 'Unreachable', 'SpoolBroken', 'StoreBroken') &&
    error.details.outcome === 'not-sent');
