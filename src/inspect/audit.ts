/** Records each change of an operator in the audit topic of the namespace, and reads the records. */
import { errorMessage } from '../base/errors';
import { idMaker } from '../format/id';
import type { Stored } from '../ports/log';
import { auditTopic } from '../work/topics';
import { wholeTopics } from './parked';
import { budgetFor } from './queues';
import { scan } from './scan';
import { NotRecorded, type InspectorParts } from './types';

/** A change that an operator makes. */
export interface Change {
  /** The verb, such as `skip`. */
  readonly verb: string;
  /** The queue, key or instance that is changed. */
  readonly about: string;
  /** Ids of the messages that it touches, at most 1,000. */
  readonly ids?: readonly string[];
  /** Other arguments of the verb. */
  readonly details?: Readonly<Record<string, unknown>>;
  readonly reason: string | null;
  readonly user: string;
  readonly host: string;
}
/** The end of a change. */
export interface ChangeEnd {
  readonly ok: boolean;
  /** Number of messages or settings that were changed. */
  readonly count: number;
  /** Message of the error; null if there was none. */
  readonly error: string | null;
}
/** A change as the audit topic has it. */
export interface AuditEntry extends Change {
  /** The id of the change. */
  readonly id: string;
  readonly atMs: number;
  /** The instance of the command, such as `console#c41f`. */
  readonly by: string;
  /** The end; null while the change runs, and if the command was killed. */
  readonly end: (ChangeEnd & { readonly atMs: number }) | null;
}

const idsMax = 1_000;

/**
 * Records that a change begins. Creates the audit topic if there is none. Resolves with a function that records the
 * end. Rejects if the topic cannot be written; the change must not be made then.
 */
export async function recordChange(parts: InspectorParts, change: Change): Promise<(end: ChangeEnd) => Promise<void>> {
  const { log, ns, clock, random, bus } = parts;
  const topic = auditTopic(ns);
  const id = idMaker(clock, random)();
  const append = async (record: object): Promise<void> => {
    const value = Buffer.from(JSON.stringify({ id, ...record }));
    await log.append(topic.name, [{ partition: 0, key: null, value, headers: {} }]);
  };
  try {
    await log.ensure(topic);
    const { ids, ...rest } = change;
    const cut = ids && { ids: ids.slice(0, idsMax), idsLeft: Math.max(0, ids.length - idsMax) };
    await append({ change: { ...rest, ...cut, atMs: clock.now(), by: bus.self.instance } });
  } catch (error) {
    const why = `nothing was changed, because the change cannot be recorded in ${topic.name}: ${errorMessage(error)}`;
    throw new NotRecorded(why, { cause: error });
  }
  return (end) => append({ end: { ...end, atMs: clock.now() } });
}

/** Returns the recorded changes, oldest first. Returns none if the namespace has no audit topic. */
export async function readAudit(parts: InspectorParts): Promise<readonly AuditEntry[]> {
  const { log, ns } = parts;
  const { name } = auditTopic(ns);
  if (!(await log.topics()).some((topic) => topic.name === name)) return [];
  const found = new Map<string, AuditEntry>();
  for await (const [{ record }] of scan(log, await wholeTopics(parts, [name]), budgetFor(parts))) {
    const read = readRecord(record);
    if (!read) continue; // another program wrote it
    const { id, change, end } = read;
    const entry = found.get(id);
    if (change) found.set(id, { ...change, id, end: null });
    else if (entry && end) found.set(id, { ...entry, end });
  }
  return [...found.values()];
}

interface AuditRecord {
  readonly id: string;
  readonly change?: Omit<AuditEntry, 'id' | 'end'>;
  readonly end?: NonNullable<AuditEntry['end']>;
}

function readRecord({ value }: Stored): AuditRecord | undefined {
  try {
    const read: unknown = JSON.parse(Buffer.from(value ?? []).toString());
    if (typeof read !== 'object' || read === null || !('id' in read) || typeof read.id !== 'string') return undefined;
    const change = 'change' in read && isObject(read.change) && typeof read.change['verb'] === 'string';
    const end = 'end' in read && isObject(read.end) && typeof read.end['atMs'] === 'number';
    // The cast is safe for display: the fields that are used without a check are texts and numbers.
    return change || end ? (read as AuditRecord) : undefined;
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
