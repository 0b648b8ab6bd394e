/** Stubs of messages that are too large to be parked whole: their creation, and rereading of the whole message. */
import { sha256Of } from '../../format/digest';
import type { Append, Log, LogRecord, Stored } from '../../ports/log';
import { placeOf } from '../message';
import { keyOf, ours, printNote, type ParkedNote, type Stub } from './park';

/**
 * `stub` holds the first bytes of the value, the envelope and the attempts; `least` only what identifies the message.
 */
export type StubForm = 'stub' | 'least';

/** Number of first bytes of a value that a stub keeps: enough for a person to recognize the content. */
const firstBytes = 1_024;
/**
 * Maximum size of a stub's note. With the first bytes and the envelope it fits into a topic that takes records of 20
 * KB.
 */
const stubNoteBytesMax = 8_000;
/** Maximum length of a header in a stub. No instance can read a longer envelope, see `limits.envelopeBytesMax`. */
const stubHeaderBytesMax = 8_192;
const refusalCharsMax = 500;
const leastTextCharsMax = 120;

/**
 * Returns the stub of `record` for the parked topic. `refusal` is the reason why the record could not be parked whole.
 */
export function stubRecord(note: ParkedNote, record: LogRecord, refusal: string, form: StubForm): Append {
  const value = record.value ?? new Uint8Array();
  const stub = { bytes: value.length, sha256: sha256Of(value), refusal: refusal.slice(0, refusalCharsMax) };
  const key = keyOf(note);
  if (form === 'least')
    return { partition: 0, key, value: new Uint8Array(), headers: { parked: least({ ...note, stub }) } };
  const parked = printNote({ ...note, stub }, stubNoteBytesMax) ?? least({ ...note, stub });
  const headers = Object.entries(ours(record.headers)).filter(([, text]) => text.length <= stubHeaderBytesMax);
  return {
    partition: 0,
    key,
    value: value.subarray(0, firstBytes),
    headers: { ...Object.fromEntries(headers), parked },
  };
}

/** Returns a note without attempts and without a long key. The whole message holds the key. */
function least({ keyBase64: _left, ...note }: ParkedNote & { readonly stub: Stub }): string {
  const short = (text: string): string => text.slice(0, leastTextCharsMax);
  const cut: ParkedNote = {
    ...note,
    key: note.key !== null && note.key.length > leastTextCharsMax ? null : note.key,
    reason: short(note.reason),
    attempts: [],
    stub: { ...note.stub, refusal: short(note.stub.refusal) },
  };
  return JSON.stringify(cut);
}

/** Error of a stub whose whole message is no longer in its original log. */
export class OriginalGoneError extends Error {
  override readonly name = 'OriginalGoneError';
}

/**
 * Rereads the whole message of a stub from its original place. Rejects with OriginalGoneError when the log no longer
 * has it there, and with the errors of `Log.peek`.
 */
export async function readOriginal(log: Log, { stub, topic, partition, offset, id }: ParkedNote): Promise<Stored> {
  const [record] = await log.peek(topic, { partition, offset }, { messages: 1, bytes: 1 });
  const value = record?.offset === offset ? record.value : null;
  if (record && value && value.length === stub?.bytes && sha256Of(value) === stub.sha256) return record;
  const found = value ? 'contains another message now' : 'is no longer in the log';
  throw new OriginalGoneError(
    `cannot reread ${id}: only a stub of it is parked, and ${placeOf(topic, { partition, offset })} ${found}. ` +
      'Have its sender send it again, then drop the stub.',
  );
}
