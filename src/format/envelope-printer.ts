/** Prints envelopes as lines. */
import { BusError } from '../base/errors';
import { limits } from '../base/limits';
import {
  baggageCharsMax,
  baggageDepthMax,
  controls,
  entryPattern,
  idCharsMax,
  parseStamp,
  type Envelope,
  type Stamp,
} from './envelope-fields';
import { inexactJson } from './exact-json';

const baggageIs = 'Baggage is JSON: strings, numbers, booleans, null, arrays and plain objects.';
const needsPercent = /[^!-$&-<>-~]/;

/** Prints an envelope. Throws Invalid for an invalid field, and TooLarge for a line beyond 8,192 characters. */
export function printEnvelope(envelope: Envelope): string {
  const { kind, entry, stamp, baggage } = envelope;
  if (!entryPattern.test(entry)) throw unprintable('entry', entry);
  const id = printWord('id', envelope.id);
  const from = printWord('from', envelope.from);
  const { deadlineMs, sentMs, dueMs, attempt, replay, hops } = envelope;
  const { status, once, code, to, cause, traceparent } = envelope;
  let line = `1 ${kind} ${entry} ${id} ${from} ${printStamp(stamp)}`;
  // a loop over the names of the fields would read them by a computed name, which is slower
  if (deadlineMs !== undefined) line += printWhole('deadlineMs', deadlineMs);
  if (sentMs !== undefined) line += printWhole('sentMs', sentMs);
  if (dueMs !== undefined) line += printWhole('dueMs', dueMs);
  if (attempt !== undefined) line += printWhole('attempt', attempt);
  if (replay !== undefined) line += printWhole('replay', replay);
  if (hops !== undefined) line += printWhole('hops', hops);
  if (status !== undefined) line += ` status=${printWord('status', status)}`;
  if (once !== undefined) line += ` once=${printWord('once', once)}`;
  if (code !== undefined) line += ` code=${printWord('code', code)}`;
  if (to !== undefined) line += ` to=${printWord('to', to)}`;
  if (cause !== undefined) line += ` cause=${printWord('cause', cause)}`;
  if (traceparent !== undefined) line += ` traceparent=${printWord('traceparent', traceparent)}`;
  if (baggage) line += printBaggage(baggage);
  if (line.length > limits.envelopeBytesMax) throw tooLong('envelope', line.length, limits.envelopeBytesMax);
  return line;
}

function printWhole(name: string, number: number): string {
  if (!Number.isSafeInteger(number) || number < 0) throw unprintable(name, number);
  return ` ${name}=${number}`;
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
