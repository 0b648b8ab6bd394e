/** The three ways a request can be answered on the wire: a value, a declared failure, an error of the bus. */
import { BusError, busCodes, Failure, type BusCode, type BusDetails, type Issue } from '../base/errors';
import { check } from '../contract/check';
import type { Request } from '../contract/types';
import { decodeBody } from '../format/codec';
import type { Envelope } from '../format/envelope';

/** What an error says on the wire. */
export interface WireError {
  readonly message: string;
  readonly details: object;
}

/** The value a reply brings, checked; throws the Failure or BusError it stands for. */
export function openReply(entry: Request, reply: Envelope, bytes: Uint8Array, depthMax?: number): unknown {
  const decoded = decodeBody(bytes, depthMax);
  if (!decoded.ok) throw invalidReply(entry, `the bytes are not a body: ${decoded.reason}`, decoded.path);
  if (reply.status === 'ok') return check(outputOf(entry), decoded.value, 'reply', entry.name);
  if (reply.status === 'failure') throw openFailure(entry, reply.code ?? '', decoded.value);
  throw openError(reply.code ?? '', decoded.value);
}

export function outputOf(entry: Request): NonNullable<Request['schemas']['output']> {
  const { output } = entry.schemas;
  // `request` always gives one
  if (!output) throw new TypeError(`${entry.name} is a request without a schema for its reply`);
  return output;
}

function openFailure(entry: Request, code: string, data: unknown): unknown {
  const { failures } = entry.schemas;
  const schema = failures && Object.hasOwn(failures, code) ? failures[code] : undefined;
  if (!schema)
    return new BusError('HandlerFailed', `${entry.name} failed with '${code}', which our contract does not declare`, {
      handlerError: code,
    });
  const checked = check(schema, data, 'failure', entry.name);
  if (checked instanceof Promise) checked.catch(() => undefined); // its verdict is not waited for
  // A schema that is asynchronous only for failures would make every error path a promise; the data is taken as it
  // came.
  return new Failure(entry.name, code, checked instanceof Promise ? data : checked);
}

function openError(code: string, body: unknown): BusError {
  // the line before it checks the cast
  const known = Object.hasOwn(busCodes, code) ? (code as BusCode) : 'HandlerFailed';
  const { message, details } = isWireError(body)
    ? body
    : { message: `answered with the unknown error '${code}'`, details: {} };
  // The details were written by the same class on the other side; a foreign sender can only mislead itself.
  return new BusError(known, message, details as BusDetails[BusCode]);
}

function isWireError(body: unknown): body is WireError {
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
