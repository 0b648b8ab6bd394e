/** Errors of ZooKeeper, and their translation into errors of the bus. */
import { BusError, errorMessage, type SendOutcome } from '../../base/errors';

/** Codes of ZooKeeper's protocol that this folder handles. */
export const codes = {
  connectionLoss: -4,
  noNode: -101,
  noAuth: -102,
  badVersion: -103,
  nodeExists: -110,
  sessionExpired: -112,
  authFailed: -115,
  quotaExceeded: -125,
} as const;

/** Error of an operation that a server refused. The operation was not executed. */
export class ServerError extends Error {
  override readonly name = 'ServerError';
  constructor(
    readonly code: number,
    path: string,
  ) {
    super(`${meanings[code] ?? `refused with code ${code}`}: ${path}`);
  }
}
/** Error of an operation when the connection ended before the response. The outcome is unknown. */
export class LostError extends Error {
  override readonly name = 'LostError';
}

/**
 * Meaning of each code:
 * https://zookeeper.apache.org/doc/r3.9.3/apidocs/zookeeper-server/org/apache/zookeeper/KeeperException.Code.html
 */
export const meanings: Readonly<Record<number, string>> = {
  [-1]: 'system error',
  [-5]: 'the server could not decode the request',
  [-6]: 'the server does not support the request',
  [-101]: 'the node does not exist',
  [-102]: 'not allowed',
  [-103]: 'another client changed it',
  [-108]: 'an ephemeral node cannot have children',
  [-110]: 'the node already exists',
  [-111]: 'the node has children',
  [-114]: 'its access control list is not valid',
  [-115]: 'the server rejected the user and password',
  [-119]: 'the server is read-only',
  [-125]: 'a quota of the server is used up',
  [-127]: 'the server is overloaded',
};

/** Returns whether a server refused the operation with one of these codes. */
export function isServerError(error: unknown, ...wanted: readonly number[]): error is ServerError {
  return error instanceof ServerError && wanted.includes(error.code);
}

/** Returns the text of an error, with a remedy if an operator must repair it. */
export function describeFault(error: unknown): string {
  const grant =
    'Grant the user of this instance all permissions to it (setAcl), or connect as the user that created it';
  if (isServerError(error, codes.noAuth)) return `${error.message}. ${grant}`;
  if (isServerError(error, codes.quotaExceeded)) return `${error.message}. Raise the quota (setquota)`;
  return errorMessage(error);
}

/** Returns the bus error for an error that occurred during `what` at `where` after `waitedMs`. */
export function busErrorOf(error: unknown, what: string, where: string, waitedMs: number): unknown {
  if (error instanceof LostError) return unreachable(`${what}: ${where}: ${errorMessage(error)}`, waitedMs, error);
  if (!(error instanceof ServerError)) return error;
  if (error.code !== codes.noAuth && error.code !== codes.authFailed)
    return unreachable(`${what}: ${where}: ${errorMessage(error)}`, waitedMs, error);
  const message =
    `${what}: ZooKeeper does not permit it: ${errorMessage(error)}. Connect as the user that created the node, ` +
    `or grant the missing permission to this one (setAcl)`;
  return new BusError('NotAllowed', message, { what: errorMessage(error) }, error);
}

/** Returns an Unreachable error. By default its outcome is 'unknown'. */
export function unreachable(
  message: string,
  waitedMs: number,
  cause?: unknown,
  outcome: SendOutcome = 'unknown',
): BusError<'Unreachable'> {
  return new BusError(
    'Unreachable',
    message,
    { outcome, waitedMs: Math.round(waitedMs), cause: errorMessage(cause ?? message) },
    cause,
  );
}
