/**
 * Reads and validates the note of a parked record, since any process that can write to the topic can have written it.
 */
import { isBehind } from '../../base/errors';
import { parseTopic } from '../../format/names';
import type { Stored } from '../../ports/log';
import type { Attempt } from '../message';
import type { ParkedNote, Stub } from './park';

type Checks<T> = { readonly [K in keyof T]-?: (value: unknown) => boolean };

const isText = (value: unknown): boolean => typeof value === 'string';
const isTextOrNone = (value: unknown): boolean => value === undefined || typeof value === 'string';
const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && Number(value) >= 0;
const isTime = (value: unknown): boolean => Number.isFinite(value);

const attemptChecks: Checks<Attempt> = {
  attempt: isCount,
  atMs: isTime,
  error: isText,
  stack: isTextOrNone,
  cause: (value) => isBehind({ cause: value }),
  errors: (value) => isBehind({ errors: value }),
  instance: isText,
};
const stubChecks: Checks<Stub> = { bytes: isCount, sha256: isText, refusal: isText };
const noteChecks: Checks<ParkedNote> = {
  queue: isText,
  topic: isText,
  partition: isCount,
  offset: isCount,
  id: isText,
  entry: isText,
  key: (value) => value === null || isText(value),
  keyBase64: isTextOrNone,
  reason: isText,
  attemptCount: isCount,
  attempts: (value) => Array.isArray(value) && value.every((one) => holds(attemptChecks, one)),
  parkedAtMs: isTime,
  instance: isText,
  version: isText,
  stub: (value) => value === undefined || holds(stubChecks, value),
};

/**
 * Returns the note of a record of `parkedTopic`. Returns undefined for a missing note, or one that this code cannot
 * have written. A replay writes to the topic that the note names, so that topic must be in the same namespace.
 */
export function readNote({ value, headers }: Stored, parkedTopic: string): ParkedNote | undefined {
  const line = headers['parked'];
  if (value === null || line === undefined) return undefined;
  try {
    const note: unknown = JSON.parse(line);
    return holds(noteChecks, note) && isSource(note.topic, parkedTopic) ? note : undefined;
  } catch {
    return undefined;
  }
}

function isSource(name: string, parkedTopic: string): boolean {
  const topic = parseTopic(name);
  const isQueued = topic?.kind === 'work' || topic?.kind === 'events';
  return isQueued && topic.namespace === parseTopic(parkedTopic)?.namespace;
}

function holds<T extends object>(checks: Checks<T>, value: unknown): value is T {
  if (typeof value !== 'object' || value === null) return false;
  // The cast only names fields that can exist. Each field is checked.
  const fields = value as Readonly<Record<string, unknown>>;
  return Object.entries<(field: unknown) => boolean>(checks).every(([name, check]) => check(fields[name]));
}
