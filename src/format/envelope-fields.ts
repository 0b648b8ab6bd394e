/** The fields of an envelope, and the forms of words that the printer and the parser share. */

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
  /**
   * Set if the id was chosen, so that records with the same entry and id are one message. `given`: by the caller.
   * `derived`: from the message that was being handled, so that a repeated handler sends the same ids.
   */
  readonly once?: Once | undefined;
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

/** The origin of an id that was chosen. */
export type Once = 'given' | 'derived';

export const baggageCharsMax = 4_096;
export const baggageDepthMax = 32;
export const idCharsMax = 200;

/** Returns what is wrong with a value as an id, as the end of a sentence. Returns undefined for a valid id. */
export function idFault(id: unknown): string | undefined {
  if (typeof id !== 'string') return `is of type ${typeof id}, not a string`;
  if (id.length === 0 || id.length > idCharsMax) return `has ${id.length} characters; it must have 1 to ${idCharsMax}`;
  if (controls.test(id)) return 'has a control character, a line separator, or a mark of the writing direction';
  return id.isWellFormed() ? undefined : 'has half of a surrogate pair, which UTF-8 cannot hold';
}

/** Parses a stamp, `<16 hex digits>:<position>`. Returns undefined for any other word. */
export function parseStamp(word: string): Stamp | undefined {
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
export function parseWhole(word: string, from: number): number | undefined {
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

// Each pattern has at most one way to match a text, so none of them can backtrack.
export const entryPattern = /^[a-z][a-zA-Z0-9-]{0,62}\.[a-z][a-zA-Z0-9]{0,62}$/;
/** Matches control characters, line separators, and characters that reverse the writing direction. */
// eslint-disable-next-line no-control-regex
export const controls = /[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/;
