/** Parses lines into envelopes. */
import { limits } from '../base/limits';
import {
  baggageCharsMax,
  baggageDepthMax,
  controls,
  entryPattern,
  idCharsMax,
  parseStamp,
  parseWhole,
  type Envelope,
  type Stamp,
  type WireKind,
} from './envelope-fields';
import { readJson } from './exact-json';

const unreadable = /[^ -~]/;
type Writable<T> = { -readonly [K in keyof T]: T[K] };

/** Returns the envelope of a line, or the reason why it is invalid. Unknown names are ignored. Never throws. */
export function parseEnvelope(line: string): Envelope | { readonly bad: string } {
  const { length } = line;
  if (length > limits.envelopeBytesMax)
    return { bad: `it has ${length} characters, the limit is ${limits.envelopeBytesMax}` };
  if (!line.startsWith('1 ')) return { bad: versionFault(line) };
  if (line.includes('\n'))
    return { bad: 'it has a line break, which is not printable ASCII. Is the header set twice?' };
  if (unreadable.test(line)) return { bad: 'it has a character that is not printable ASCII' };
  const kindEnd = line.indexOf(' ', 2);
  const entryEnd = line.indexOf(' ', kindEnd + 1);
  const idEnd = line.indexOf(' ', entryEnd + 1);
  const fromEnd = line.indexOf(' ', idEnd + 1);
  if (kindEnd < 0 || entryEnd < 0 || idEnd < 0 || fromEnd < 0) return { bad: 'it has fewer than six words' };
  const stampEnd = endOfWord(line, fromEnd + 1);

  const kind = parseKind(line.slice(2, kindEnd));
  const entry = line.slice(kindEnd + 1, entryEnd);
  const id = parseWord(line.slice(entryEnd + 1, idEnd));
  const from = parseWord(line.slice(idEnd + 1, fromEnd));
  const stamp =
    stampEnd === fromEnd + 2 && line.endsWith('-', stampEnd) ? null : parseStamp(line.slice(fromEnd + 1, stampEnd));
  if (!kind) return { bad: `unknown kind '${line.slice(2, kindEnd).slice(0, 40)}'` };
  if (!entryPattern.test(entry)) return { bad: `'${entry.slice(0, 140)}' is not an entry` };
  if (id === undefined) return { bad: 'the id is empty, too long or not printable' };
  if (from === undefined) return { bad: 'the sender is empty, too long or not printable' };
  if (stamp === undefined) return { bad: 'the stamp is neither - nor <16 hex digits>:<position>' };

  const envelope = blank(kind, entry, id, from, stamp ?? undefined);
  for (let at = stampEnd; at < length;) {
    const end = endOfWord(line, at + 1);
    const equals = line.indexOf('=', at + 1);
    if (equals < 0 || equals > end) return { bad: 'a word is not name=value' };
    const fault = setField(envelope, line.slice(at + 1, equals), line.slice(equals + 1, end));
    if (fault !== undefined) return { bad: fault };
    at = end;
  }
  return envelope;
}

/**
 * Returns an envelope with all fields in a fixed order. Its objects then have one hidden class, which keeps access to
 * them fast.
 */
function blank(kind: WireKind, entry: string, id: string, from: string, stamp: Stamp | undefined): Writable<Envelope> {
  return {
    kind,
    entry,
    id,
    from,
    stamp,
    deadlineMs: undefined,
    sentMs: undefined,
    dueMs: undefined,
    attempt: undefined,
    replay: undefined,
    hops: undefined,
    status: undefined,
    once: undefined,
    code: undefined,
    to: undefined,
    cause: undefined,
    traceparent: undefined,
    baggage: undefined,
  };
}

/** Sets a field. Returns the fault when the value is invalid. */
function setField(envelope: Writable<Envelope>, name: string, value: string): string | undefined {
  switch (name) {
    case 'deadlineMs':
    case 'sentMs':
    case 'dueMs':
    case 'attempt':
    case 'replay':
    case 'hops': {
      const number = parseWhole(value, 0);
      if (number === undefined || envelope[name] !== undefined) return `${name} is not a whole number, or is set twice`;
      envelope[name] = number;
      return undefined;
    }
    case 'code':
    case 'to':
    case 'cause':
    case 'traceparent': {
      const word = parseWord(value);
      if (word === undefined || envelope[name] !== undefined)
        return `${name} is not printable, is too long, or is set twice`;
      envelope[name] = word;
      return undefined;
    }
    case 'status':
      if (value !== 'ok' && value !== 'failure' && value !== 'error' && value !== 'state') {
        return 'status is not ok, failure, error or state';
      }
      if (envelope.status !== undefined) return 'status is set twice';
      envelope.status = value;
      return undefined;
    case 'once':
      if (value !== 'given' && value !== 'derived') return 'once is not given or derived';
      if (envelope.once !== undefined) return 'once is set twice';
      envelope.once = value;
      return undefined;
    case 'baggage': {
      const baggage = parseBaggage(value);
      if (!baggage || envelope.baggage)
        return `baggage is not exact JSON of an object, has over ${baggageCharsMax} characters, or is set twice`;
      envelope.baggage = baggage;
      return undefined;
    }
    default: // an unknown field of a newer version
      return undefined;
  }
}

function endOfWord(line: string, from: number): number {
  const end = line.indexOf(' ', from);
  return end < 0 ? line.length : end;
}

function versionFault(line: string): string {
  const version = /^([0-9]{1,9}) /.exec(line)?.[1];
  if (version === undefined) return 'it does not start with a version';
  return Number(version) > 1 ? `version ${version} is newer than this busbar` : `version ${version} does not exist`;
}

function parseKind(word: string): WireKind | undefined {
  switch (word) {
    case 'request':
    case 'reply':
    case 'cancel':
    case 'probe':
    case 'leave':
    case 'work':
    case 'broadcast':
    case 'event':
      return word;
    default:
      return undefined;
  }
}

/** Decodes a word. The line has no control characters, so only decoded percents can contain them. */
function parseWord(word: string): string | undefined {
  if (!word.includes('%')) return word.length > 0 && word.length <= idCharsMax ? word : undefined;
  const text = parsePercent(word);
  return text === undefined || text.length === 0 || text.length > idCharsMax || controls.test(text) ? undefined : text;
}

function parsePercent(word: string): string | undefined {
  try {
    return decodeURIComponent(word);
  } catch {
    return undefined;
  }
}

function parseBaggage(word: string): Readonly<Record<string, unknown>> | undefined {
  const json = word.includes('%') ? parsePercent(word) : word;
  if (json === undefined || json.length > baggageCharsMax) return undefined;
  if (!json.startsWith('{')) return undefined;
  const read = readJson(json, { depthMax: baggageDepthMax });
  // The cast is safe: JSON that begins with a brace is an object.
  return read.ok ? (read.value as Record<string, unknown>) : undefined;
}
