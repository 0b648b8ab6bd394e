/** Decodes the three kinds of replies: a value, a declared failure, and an error of the bus. */
import {
  BusError,
  busCodes,
  Failure,
  isBusError,
  type AnyBusError,
  type BusCode,
  type BusDetails,
  type Issue,
  type Origin,
  errorOf,
  isBehind,
} from '../base/errors';
import { check } from '../contract/check';
import { moduleOf } from '../contract/contract';
import { fingerprintOf } from '../contract/fingerprint';
import type { Request } from '../contract/types';
import { decodeBody } from '../format/codec';
import type { Envelope } from '../format/envelope-fields';
import type { Instance } from '../ports/registry';

/** Body of an error reply. */
export interface ErrorBody {
  readonly message: string;
  readonly details: object;
}

/** Returns the checked value of a reply. Throws the Failure or BusError that the reply carries. */
export function openReply(entry: Request, reply: Envelope, bytes: Uint8Array, depthMax?: number): unknown {
  const decoded = decodeBody(bytes, depthMax);
  if (!decoded.ok) throw invalidReply(entry, `the body cannot be decoded: ${decoded.reason}`, decoded.path);
  if (reply.status === 'ok') return check(outputOf(entry), decoded.value, 'reply', entry.name);
  if (reply.status === 'failure') throw openFailure(entry, reply.code ?? '', decoded.value);
  throw openError(reply.code ?? '', decoded.value);
}

export function outputOf(entry: Request): NonNullable<Request['schemas']['output']> {
  const { output } = entry.schemas;
  // `request` always sets one
  if (!output) throw new TypeError(`${entry.name} is a request without a schema for its reply`);
  return output;
}

function openFailure(entry: Request, code: string, data: unknown): unknown {
  const { failures } = entry.schemas;
  const schema = failures && Object.hasOwn(failures, code) ? failures[code] : undefined;
  if (!schema)
    return new BusError(
      'HandlerFailed',
      `${entry.name} failed with '${code}', which the contract of the caller does not declare`,
      { handlerError: code },
    );
  const checked = check(schema, data, 'failure', entry.name);
  if (checked instanceof Promise) checked.catch(() => undefined); // the check's result is ignored
  // Waiting for a schema that is asynchronous only for failures would make every error path a promise. The data is used
  // unchecked.
  return new Failure(entry.name, code, checked instanceof Promise ? data : checked);
}

function openError(code: string, body: unknown): BusError {
  // the line above checks the cast
  const known = Object.hasOwn(busCodes, code) ? (code as BusCode) : 'HandlerFailed';
  const { message, details } = isErrorBody(body)
    ? body
    : { message: `answered with the unknown error '${code}'`, details: {} };
  // The same class wrote the details at the responder. A foreign sender can only mislead itself.
  return new BusError(known, message, details as BusDetails[BusCode], causeOf(known, details));
}

/** Returns the handler's error with its causes, if the responder sent them. */
function causeOf(code: BusCode, details: object): Error | undefined {
  if (code !== 'HandlerFailed' || !isBehind(details) || !(details.cause || details.errors)) return undefined;
  const message = 'handlerError' in details ? String(details.handlerError) : '';
  return errorOf({ ...details, message });
}

/**
 * Adds the entry, both contract versions and the responder to an Invalid or HandlerFailed. The responder is left out
 * when the call did not reach one.
 */
export function withOrigin(error: unknown, entry: Request, from?: Instance): unknown {
  if (!isBusError(error, 'Invalid', 'HandlerFailed') || error.details.contracts) return error;
  const [caller, responder] = [fingerprintOf(entry), from?.serves[moduleOf(entry)]];
  const contracts = { ...(caller !== undefined && { caller }), ...(responder !== undefined && { responder }) };
  if (!from) return remade(error, error.message, { entry: entry.name, contracts });
  const { name } = from;
  const where = error.message.includes(name) ? '' : `; answered by ${name}`;
  const differ = caller !== undefined && responder !== undefined && caller !== responder;
  const versions = differ ? `; the caller has contract ${caller}, ${name} has ${responder}` : '';
  return remade(error, `${error.message}${where}${versions}`, { entry: entry.name, instance: name, contracts });
}
function remade(error: AnyBusError<'Invalid' | 'HandlerFailed'>, message: string, origin: Origin): BusError {
  // One branch for each code, since the type of the details depends on it.
  return error.code === 'Invalid'
    ? new BusError(error.code, message, { ...error.details, ...origin }, error.cause)
    : new BusError(error.code, message, { ...error.details, ...origin }, error.cause);
}

function isErrorBody(body: unknown): body is ErrorBody {
  return (
    typeof body === 'object' &&
    body !== null &&
    'message' in body &&
    'details' in body &&
    typeof body.message === 'string' &&
    typeof body.details === 'object'
  );
}

function invalidReply(entry: Request, message: string, path: Issue['path'] = []): BusError<'Invalid'> {
  const issue: Issue = path.length > 0 ? { message, path } : { message };
  return new BusError('Invalid', `reply of ${entry.name}: ${message}`, { side: 'reply', issues: [issue] });
}
