/** Encodes the messages of one call: checks the inputs, and adds keys, ids and envelopes. The stamps follow later. */
import { BusError, divideRemedy, ofList, errorMessage } from '../base/errors';
import { limits } from '../base/limits';
import { check } from '../contract/check';
import type { AnyEntry } from '../contract/types';
import { currentScope, inherited } from '../delivery/context';
import { encodeBody } from '../format/codec';
import { idFault, type Envelope } from '../format/envelope-fields';
import { idMaker } from '../format/id';
import type { CallIds } from './ids/call-ids';
import type { SenderParts } from './types';

/** Limit of a key, because every queue holds the keys of its messages in memory. */
const keyBytesMax = 1_024;

const nothingInherited: ReturnType<typeof inherited> = {};

/** Form of the call: one message or a list. Errors of a list name the message that failed. */
export type How = 'one' | 'list';
/** Messages of a call, and the bytes of their bodies. The bytes are known before all checks have ended. */
export interface EncodedCall {
  readonly bytes: number;
  readonly ready: readonly EncodedMessage[] | Promise<readonly EncodedMessage[]>;
}

/** A message that is complete except for its stamp. */
export interface EncodedMessage {
  readonly key: Uint8Array | null;
  readonly value: Uint8Array;
  readonly id: string;
  /** Gets its stamp when the record is created for the append. */
  readonly envelope: { -readonly [K in keyof Envelope]: Envelope[K] };
  readonly traceparent: string | undefined;
}

export type EncoderParts = Pick<
  SenderParts,
  'clock' | 'random' | 'scopes' | 'self' | 'messageBytesMax' | 'bodyDepthMax'
>;
export type EncodeCall = (entry: AnyEntry, inputs: readonly unknown[], how: How, chosen?: CallIds) => EncodedCall;

/**
 * Returns a function that encodes the inputs of a call. It throws Invalid and TooLarge, and the errors of `chosen`. If
 * a schema checks asynchronously, the messages are a promise that rejects with them.
 */
export function messageEncoder(parts: EncoderParts): EncodeCall {
  const makeId = idMaker(parts.clock, parts.random);
  const bytesMax = parts.messageBytesMax ?? limits.messageBytesMax;

  function pack(
    entry: AnyEntry,
    made: string,
    checked: unknown,
    body: () => Uint8Array,
    chosen: CallIds | undefined,
  ): EncodedMessage {
    const key = keyOf(entry, checked);
    if (key && key.length > keyBytesMax) throw keyTooLarge(entry, key.length);
    const scope = currentScope(parts.scopes);
    const from = scope ? inherited(scope) : nothingInherited;
    const kind = entry.kind === 'event' ? 'event' : 'work';
    const value = body();
    const { id, once } = chosen?.choose(entry.name, made, key, value) ?? { id: made };
    return {
      key,
      value,
      id,
      envelope: {
        kind,
        entry: entry.name,
        id,
        from: parts.self.instance,
        stamp: undefined,
        sentMs: parts.clock.now(),
        once,
        cause: from.cause,
        baggage: from.baggage,
      },
      traceparent: from.traceparent,
    };
  }

  function encodeAll(entry: AnyEntry, inputs: readonly unknown[], how: How, chosen?: CallIds): EncodedCall {
    const ids = inputs.map(chosen?.idOf ?? makeId);
    let bytes = 0;
    let tooLong: BusError | undefined;
    const failed = (error: unknown, n: number): unknown =>
      how === 'list' && error !== tooLong ? ofList(error, n, inputs.length, ids[n] ?? '') : error;
    /** Stops at the byte limit, so that a list is not encoded into more memory than can wait. */
    const encode = (input: unknown): Uint8Array => {
      const body = encodeBody(input, bytesMax, 'input', entry.name, parts.bodyDepthMax);
      bytes += body.length;
      if (bytes <= limits.sendingBytesMax || inputs.length === 1) return body;
      throw (tooLong = tooManyBytes(entry, inputs.length, bytes));
    };
    const checked: unknown[] = [];
    let n = 0;
    try {
      if (chosen?.idOf) for (; n < ids.length; n++) mustBeId(entry, ids[n]);
      for (n = 0; n < inputs.length; n++) checked.push(check(entry.schemas.input, inputs[n], 'input', entry.name));
      if (checked.some((one) => one instanceof Promise)) return packLater();
      const ready: EncodedMessage[] = [];
      for (n = 0; n < inputs.length; n++)
        ready.push(pack(entry, ids[n] ?? '', checked[n], () => encode(inputs[n]), chosen));
      return { bytes, ready };
    } catch (error) {
      void Promise.allSettled(checked); // the list is already rejected; the checks that still run change nothing
      throw failed(error, n);
    }
    /** Encodes the bodies before the checks have ended, so that the bytes of waiting messages are bounded too. */
    function packLater(): EncodedCall {
      const bodies: Uint8Array[] = [];
      for (n = 0; n < inputs.length; n++) bodies.push(encode(inputs[n]));
      const ready = bodies.map(async (body, at): Promise<EncodedMessage> => {
        try {
          return pack(entry, ids[at] ?? '', await checked[at], () => body, chosen);
        } catch (error) {
          throw failed(error, at);
        }
      });
      return { bytes, ready: Promise.all(ready) };
    }
  }

  return encodeAll;
}

/** Throws Invalid if the caller gave an id that no envelope can have. */
function mustBeId(entry: AnyEntry, id: unknown): void {
  const fault = idFault(id);
  if (fault === undefined) return;
  const message = `the id of a message for ${entry.name} ${fault}`;
  throw new BusError('Invalid', message, { side: 'input', issues: [{ message, path: ['id'] }] });
}

function keyOf(entry: AnyEntry, body: unknown): Uint8Array | null {
  if (!entry.options.key) return null;
  let fault: string;
  try {
    // `key` was declared for the body of this entry, which has just passed its schema.
    const key: unknown = entry.options.key(body as never);
    if (typeof key === 'string' && key.isWellFormed()) return Buffer.from(key);
    fault =
      typeof key === 'string'
        ? 'returned a string with half of a surrogate pair, which UTF-8 cannot hold'
        : `returned ${key === null ? 'null' : typeof key}, not a string`;
  } catch (error) {
    fault = `threw: ${errorMessage(error)}`;
  }
  const message = `key of ${entry.name} ${fault}`;
  throw new BusError('Invalid', message, { side: 'input', issues: [{ message }] });
}

function tooManyBytes(entry: AnyEntry, messages: number, bytes: number): BusError<'TooLarge'> {
  const limitBytes = limits.sendingBytesMax;
  const size = `${messages} messages for ${entry.name} has ${bytes} bytes or more`;
  const message = `a list of ${size}, the limit of one call is ${limitBytes} bytes`;
  return new BusError('TooLarge', message, { bytes, limitBytes }, undefined, divideRemedy);
}

function keyTooLarge(entry: AnyEntry, bytes: number): BusError<'TooLarge'> {
  const message = `the key of ${entry.name} has ${bytes} bytes, the limit is ${keyBytesMax}. Use a hash of it`;
  return new BusError('TooLarge', message, { bytes, limitBytes: keyBytesMax });
}
