/** Stubs of messages that are too large to be parked whole: how they are made, and how the whole message is reread. */
import { sha256Of } from '../../format/digest';
import type { Append, Log, LogRecord, Stored } from '../../ports/log';
import { placeOf } from '../message';
import { keyOf, ours, printNote, type ParkedNote, type Stub } from './park';

/** `stub` has the first bytes of the value, the envelope and the attempts; `least` only what identifies the message. */
export type StubForm = 'stub' | 'least';

/** The first bytes of a value that a stub keeps: enough for a person to recognize what it is. */
const firstBytes = 1_024;
/** A note of a stub fits beside its first bytes and its envelope into a topic that takes records of 20 KB. */
const stubNoteBytesMax = 8_000;
/** A longer envelope is not readable for any instance, see `limits.envelopeBytesMax`. */
const stubHeaderBytesMax = 8_192;
const refusalCharsMax = 500;
const leastTextCharsMax = 120;

/** Returns the record that stands in the parked topic for `record`. `refusal`: why that could not be parked whole. */
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

/** Without attempts, and without a key that is long: the whole message has it. */
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

/** The whole message of a stub is no longer in the log it came from. */
export class OriginalGoneError extends Error {
  override readonly name = 'OriginalGoneError';
}

/**
 * Rereads the whole message of a stub from the place it came from. Rejects with OriginalGoneError when the log no
 * longer has it there, and with what `Log.peek` rejects with.
 */
export async function readOriginal(log: Log, { stub, topic, partition, offset, id }: ParkedNote): Promise<Stored> {
  const [record] = await log.peek(topic, { partition, offset }, { messages: 1, bytes: 1 });
  const value = record?.offset === offset ? record.value : null;
  if (record && value && value.length === stub?.bytes && sha256Of(value) === stub.sha256) return record;
  const found = value ? 'holds another message now' : 'is no longer in the log';
  throw new OriginalGoneError(
    `cannot reread ${id}: only a stub of it is parked, and ${placeOf(topic, { partition, offset })} ${found}. ` +
      'Have its sender send it again, then drop the stub.',
  );
}
