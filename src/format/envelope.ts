/**
 * Prints and parses envelopes, each of which is one line of text that describes a body:
 * `1 request photos.add 01j… web#a02f 9f86d081884c7d65:42 attempt=2`.
 */
import { BusError } from '../base/errors';
import { limits } from '../base/limits';
import { inexactJson, readJson } from './exact-json';

/**
 * The kind of a message. `leave` announces that its sender accepts no more requests, and confirms such an announcement.
 * The kind `part` is reserved for streams.
 */
export type WireKind = 'request' | 'reply' | 'cancel' | 'probe' | 'leave' | 'work' | 'broadcast' | 'event';

/** The incarnation of the sender, and the sequence number of the message in it. Receivers use it to drop duplicates. */
export interface Stamp {
  /** The incarnation, 16 hex digits. */
  readonly incarnation: string;
  readonly position: number;
}

/**
 * The fields around a body. Times are milliseconds since 1970. All numbers are whole and not negative. Undefined fields
 * are not printed.
 */
export interface Envelope {
  readonly kind: WireKind;
  /** The full name of the entry, `module.entry`. */
  readonly entry: string;
  /** The id of the message: 1 to 200 characters, without control characters. */
  readonly id: string;
  /** The sending instance, `module#xxxx`. */
  readonly from: string;
  readonly stamp?: Stamp | undefined;
  /** Time after which the caller no longer waits for an answer. */
  readonly deadlineMs?: number | undefined;
  readonly sentMs?: number | undefined;
  /** Reserved for the time before which the message must not be handled. No code sets or checks it. */
  readonly dueMs?: number | undefined;
  readonly attempt?: number | undefined;
  /** Number of replays by an operator. */
  readonly replay?: number | undefined;
  /** Reserved for the number of messages in the chain of causes before this one. No code sets or checks it. */
  readonly hops?: number | undefined;
  /** The kind of a reply. */
  readonly status?: ReplyStatus | undefined;
  /** The code of the failure or bus error in a reply that is not `ok`. */
  readonly code?: string | undefined;
  /** Reserved for the incarnation of the intended receiver. No code sets or checks it. */
  readonly to?: string | undefined;
  /** The id of the message that was being handled when this one was sent. */
  readonly cause?: string | undefined;
  readonly traceparent?: string | undefined;
  /** The baggage, at most 4,096 characters as JSON. */
  readonly baggage?: Readonly<Record<string, unknown>> | undefined;
}
/** The kind of a reply. `state` answers a probe. */
export type ReplyStatus = 'ok' | 'failure' | 'error' | 'state';

const wholeNames = ['deadlineMs', 'sentMs', 'dueMs', 'attempt', 'replay', 'hops'] as const;
const textNames = ['status', 'code', 'to', 'cause', 'traceparent'] as const;
const baggageCharsMax = 4_096;
const baggageDepthMax = 32;
const baggageIs = 'Baggage is JSON: strings, numbers, booleans, null, arrays and plain objects.';
const idCharsMax = 200;

/** Prints an envelope. Throws Invalid for an invalid field, and TooLarge for a line beyond 8,192 characters. */
export function printEnvelope(envelope: Envelope): string {
  const { kind, entry, stamp, baggage } = envelope;
  if (!entryPattern.test(entry)) throw unprintable('entry', entry);
  const id = printWord('id', envelope.id);
  const from = printWord('from', envelope.from);
  let line = `1 ${kind} ${entry} ${id} ${from} ${printStamp(stamp)}`;
  for (const name of wholeNames) {
    const number = envelope[name];
    if (number === undefined) continue;
    if (!Number.isSafeInteger(number) || number < 0) throw unprintable(name, number);
    line += ` ${name}=${number}`;
  }
  for (const name of textNames) {
    const text = envelope[name];
    if (text !== undefined) line += ` ${name}=${printWord(name, text)}`;
  }
  if (baggage) line += printBaggage(baggage);
  if (line.length > limits.envelopeBytesMax) throw tooLong('envelope', line.length, limits.envelopeBytesMax);
  return line;
}

function printStamp(stamp: Stamp | undefined): string {
  if (!stamp) return '-';
  const printed = `${stamp.incarnation}:${stamp.position}`;
  if (!parseStamp(printed)) throw unprintable('stamp', printed);
  return printed;
}

function printWord(name: string, word: string): string {
  if (word.length === 0 || word.length > idCharsMax) throw unprintable(name, word);
  if (!needsPercent.test(word)) return word;
  if (controls.test(word)) throw unprintable(name, word);
  return printPercent(name, word);
}

/** Encodes characters that would end a word or are not printable ASCII as %XX of their UTF-8 bytes. */
function printPercent(name: string, text: string): string {
  if (!text.isWellFormed()) throw unprintable(name, text);
  return text.replace(/[^!-$&-<>-~]+/g, encodeURIComponent);
}

function printBaggage(baggage: Readonly<Record<string, unknown>>): string {
  const fault = inexactJson(baggage, baggageDepthMax, ['baggage']);
  if (fault !== undefined) {
    const message = `the envelope cannot carry ${fault}. ${baggageIs}`;
    throw new BusError('Invalid', message, { side: 'input', issues: [{ message, path: ['baggage'] }] });
  }
  const json = JSON.stringify(baggage);
  if (json === '{}') return '';
  if (json.length > baggageCharsMax) throw tooLong('baggage', json.length, baggageCharsMax);
  return ` baggage=${printPercent('baggage', json)}`;
}

function unprintable(name: string, value: string | number): BusError<'Invalid'> {
  const shown = JSON.stringify(value).slice(0, 100);
  const message = `the envelope cannot carry ${name} ${shown}`;
  return new BusError('Invalid', message, { side: 'input', issues: [{ message, path: [name] }] });
}

function tooLong(what: string, bytes: number, limitBytes: number): BusError<'TooLarge'> {
  return new BusError('TooLarge', `the ${what} has ${bytes} characters, the limit is ${limitBytes}`, {
    bytes,
    limitBytes,
  });
}

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

function parseStamp(word: string): Stamp | undefined {
  if (word.charCodeAt(16) !== 0x3a || !isHex16(word)) return undefined; // 0x3a is the colon
  const position = parseWhole(word, 17);
  return position === undefined ? undefined : { incarnation: word.slice(0, 16), position };
}

function isHex16(word: string): boolean {
  for (let i = 0; i < 16; i++) {
    const code = word.charCodeAt(i);
    if (!((code >= 0x30 && code <= 0x39) || (code >= 0x61 && code <= 0x66))) return false;
  }
  return true;
}

/** Parses decimal digits from `from` to the end of the word; undefined when they are not a safe integer. */
function parseWhole(word: string, from: number): number | undefined {
  const { length } = word;
  if (length === from || length - from > 16) return undefined;
  let number = 0;
  for (let i = from; i < length; i++) {
    const digit = word.charCodeAt(i) - 0x30;
    if (digit < 0 || digit > 9) return undefined;
    number = number * 10 + digit;
  }
  return number <= Number.MAX_SAFE_INTEGER ? number : undefined;
}

function parseBaggage(word: string): Readonly<Record<string, unknown>> | undefined {
  const json = word.includes('%') ? parsePercent(word) : word;
  if (json === undefined || json.length > baggageCharsMax) return undefined;
  if (!json.startsWith('{')) return undefined;
  const read = readJson(json, { depthMax: baggageDepthMax });
  // The cast is safe: JSON that begins with a brace is an object.
  return read.ok ? (read.value as Record<string, unknown>) : undefined;
}

// Each pattern has at most one way to match a text, so none of them can backtrack.
const entryPattern = /^[a-z][a-zA-Z0-9-]{0,62}\.[a-z][a-zA-Z0-9]{0,62}$/;
const unreadable = /[^ -~]/;
const needsPercent = /[^!-$&-<>-~]/;
/** Matches control characters, line separators, and characters that reverse the writing direction. */
// eslint-disable-next-line no-control-regex
const controls = /[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/;
