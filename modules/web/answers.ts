/** HTTP answers: safe headers on all of them, and a status for each error of the bus. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Failure, isBusError, type AnyBusError } from 'busbar';

export interface Visit {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly url: URL;
}

/** A refusal that is sent to the browser unchanged. */
export class HttpError extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly headers: Readonly<Record<string, string>> = {},
  ) {
    super(message);
  }
}

export function safeHeaders(inlineHashes: readonly string[]): Readonly<Record<string, string>> {
  const [style = '', script = ''] = inlineHashes;
  return {
    'content-security-policy':
      `default-src 'none'; img-src 'self' blob:; connect-src 'self'; style-src '${style}'; script-src '${script}'; ` +
      `form-action 'self'; base-uri 'none'; frame-ancestors 'none'`,
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'same-origin',
    'cross-origin-resource-policy': 'same-origin',
  };
}

export function sendJson(response: ServerResponse, status: number, value: unknown): void {
  send(response, status, 'application/json; charset=utf-8', JSON.stringify(value), { 'cache-control': 'no-store' });
}

export function send(
  response: ServerResponse,
  status: number,
  type: string,
  text: string,
  headers: Readonly<Record<string, string>> = {},
): void {
  const body = Buffer.from(text);
  response.writeHead(status, { ...headers, 'content-type': type, 'content-length': body.length });
  response.end(response.req.method === 'HEAD' ? undefined : body);
}

/** Returns the answer for any thrown value. Internal errors are not shown. */
export function toHttpError(thrown: unknown): HttpError {
  if (thrown instanceof HttpError) return thrown;
  if (thrown instanceof Failure) return fromFailure(thrown);
  return isBusError(thrown) ? fromBus(thrown) : new HttpError(500, 'Something went wrong here.');
}

const failures: Readonly<Record<string, readonly [status: number, message: string]>> = {
  TooBig: [413, 'The image is too large.'],
  NotAnImage: [415, 'This is neither a JPEG nor a PNG image.'],
  NotFound: [404, 'There is no such photo.'],
  NoUpload: [503, 'The upload got lost; please send it again.'],
  Full: [507, 'The gallery is full.'],
};
function fromFailure(failure: Failure): HttpError {
  const [status, message] = failures[failure.code] ?? [500, failure.message];
  return new HttpError(status, message, status === 503 ? { 'retry-after': '1' } : {});
}

function fromBus(error: AnyBusError): HttpError {
  switch (error.code) {
    case 'Invalid':
      return new HttpError(400, error.message);
    case 'TooLarge':
      return new HttpError(413, error.message);
    case 'HandlerFailed':
    case 'Incompatible':
      return new HttpError(502, `${error.code}: a module behind this page failed.`);
    case 'Overloaded':
      return unavailable(error.code, error.details.retryAfterMs);
    case 'NoHandler':
    case 'ResponderLost':
    case 'Timeout':
    case 'Unreachable':
    case 'Cancelled':
    case 'Closed':
      return unavailable(error.code, 1_000);
    default:
      return new HttpError(500, `${error.code}: something went wrong here.`);
  }
}
function unavailable(code: string, retryAfterMs: number): HttpError {
  const seconds = Math.max(1, Math.ceil(retryAfterMs / 1_000));
  return new HttpError(503, `${code}: a module behind this page is away; please try again.`, {
    'retry-after': `${seconds}`,
  });
}
