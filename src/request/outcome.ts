/** Converts the outcome of a handler into a reply: a value, a declared failure, or an error that can always be sent. */
import {
  BusError,
  Failure,
  isBusError,
  errorMessage,
  type AnyBusError,
  type BusCode,
  type BusDetails,
  behind,
} from '../base/errors';
import { check } from '../contract/check';
import { isFailureName } from '../contract/contract';
import type { Request } from '../contract/types';
import type { Outcome } from '../delivery/deliver';
import { encodeBody } from '../format/codec';
import type { Envelope } from '../format/envelope-fields';
import { outputOf } from './reply';

export type Reply = Pick<Envelope, 'status' | 'code'> & { readonly body: Uint8Array };

export interface ReplyParts {
  readonly self: string;
  readonly messageBytesMax: number;
  /** Maximum nesting depth of a body. Default: limits.bodyDepthMax. */
  readonly bodyDepthMax?: number | undefined;
}

/**
 * Returns the reply, and a promise only when the schema of the reply or failure is asynchronous. Never throws or
 * rejects.
 */
export function replyOf(parts: ReplyParts, entry: Request, outcome: Outcome): Reply | Promise<Reply> {
  const { messageBytesMax, bodyDepthMax } = parts;
  const refused = (error: unknown): Reply =>
    errorReply(isBusError(error) ? byHandler(parts, error) : handlerFailed(parts, entry, error));
  const ok = (value: unknown): Reply => ({
    status: 'ok',
    body: encodeBody(value, messageBytesMax, 'reply', entry.name, bodyDepthMax),
  });
  try {
    if (outcome.ok)
      return whenChecked(check(outputOf(entry), outcome.value, 'reply', entry.name), () => ok(outcome.value), refused);
    const { error, by } = outcome;
    if (by === 'check') return errorReply(isBusError(error) ? error : handlerFailed(parts, entry, error));
    const schema = error instanceof Failure && error.entry === entry.name && declared(entry, error.code);
    if (!schema || !isFailureName(error.code)) return errorReply(handlerFailed(parts, entry, error));
    const failure = (): Reply => ({
      status: 'failure',
      code: error.code,
      body: encodeBody(error.data, messageBytesMax, 'failure', entry.name, bodyDepthMax),
    });
    return whenChecked(check(schema, error.data, 'failure', entry.name), failure, refused);
  } catch (error) {
    return refused(error);
  }
}

/**
 * Returns the schema of a declared failure. Contracts choose the names, so inherited properties of objects must not
 * match.
 */
function declared({ schemas: { failures } }: Request, code: string) {
  return failures && Object.hasOwn(failures, code) ? failures[code] : undefined;
}

function whenChecked(checked: unknown, make: () => Reply, refused: (error: unknown) => Reply): Reply | Promise<Reply> {
  return checked instanceof Promise ? checked.then(make).catch(refused) : make();
}

/** Adds the responder to the message of an error that the handler caused, since the caller is not at fault. */
function byHandler({ self }: ReplyParts, { code, message, details }: AnyBusError): Parameters<typeof errorReply>[0] {
  const text = `${message}; the value is from the handler at ${self}`;
  return { code, message: text, details: code === 'Invalid' ? { ...details, instance: self } : details };
}

function handlerFailed({ self }: ReplyParts, entry: Request, error: unknown): BusError<'HandlerFailed'> {
  const isUndeclared = error instanceof Failure && error.entry === entry.name;
  const handlerError = short(
    isUndeclared ? `failure '${error.code}' is not declared in the contract` : errorMessage(error),
  );
  const message = `${entry.name}: its handler at ${self} failed: ${handlerError}`;
  const details = { handlerError, ...(!isUndeclared && behind(error)), instance: self };
  return new BusError('HandlerFailed', message, details);
}

const textCharsMax = 2_000;
const errorBytesMax = 64 * 1024;
/** Returns a text that can always be sent: at most `textCharsMax` characters, and no half of a surrogate pair. */
function short(text: string): string {
  return Buffer.from(text.slice(0, textCharsMax)).toString();
}

/** Encodes an error. Details that cannot be encoded are sent as texts. */
export function errorReply<C extends BusCode>({
  code,
  message,
  details,
}: {
  code: C;
  message: string;
  details: BusDetails[C];
}): Reply {
  const text = short(message);
  try {
    return { status: 'error', code, body: encodeBody({ message: text, details }, errorBytesMax) };
  } catch {
    const facts = Object.entries(details).map(([name, value]) => [name, canBeSent(value) ? value : inWords(value)]);
    const all = { message: text, details: Object.fromEntries(facts) };
    return {
      status: 'error',
      code,
      body: encodeBody(canBeSent(all) ? all : { message: text, details: {} }, errorBytesMax),
    };
  }
}

function canBeSent(value: unknown): boolean {
  try {
    return encodeBody(value, errorBytesMax).length > 0;
  } catch {
    return false;
  }
}
/** Converts a detail that cannot be encoded into a text. Elements of a list are converted one by one. */
function inWords(value: unknown): unknown {
  return Array.isArray(value)
    ? value.map((one) => ({ message: short(errorMessage(one)) }))
    : short(errorMessage(value));
}
