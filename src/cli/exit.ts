/** Maps errors to the exit codes of the command and to the texts on stderr. */
import { Failure, isBusError, errorMessage, type BusCode } from '../base/errors';

export const exits = {
  done: 0,
  /** There is a warning, or nothing matched. */
  warning: 1,
  critical: 2,
  /** The operation failed, or some of several failed. */
  failed: 3,
  usage: 64,
  unreachable: 69,
  timedOut: 75,
  notAllowed: 77,
  interrupted: 130,
} as const;
export type Exit = (typeof exits)[keyof typeof exits];

/** An error in the typed command line. */
export class Usage extends Error {
  override readonly name = 'Usage';
}
/** An operation that took longer than its limit, such as `--timeout`. */
export class TooSlow extends Error {
  override readonly name = 'TooSlow';
}

const ofCode: { readonly [C in BusCode]: Exit } = {
  Invalid: exits.usage,
  TooLarge: exits.usage,
  NoHandler: exits.unreachable,
  ResponderLost: exits.failed,
  Timeout: exits.timedOut,
  Overloaded: exits.timedOut, // a later retry can succeed, as after a timeout
  Cancelled: exits.interrupted,
  HandlerFailed: exits.failed,
  Unreachable: exits.unreachable,
  DiskFull: exits.unreachable,
  StoreBroken: exits.unreachable,
  SpoolFull: exits.timedOut,
  SpoolBroken: exits.unreachable,
  Closed: exits.unreachable,
  Incompatible: exits.failed,
  Conflict: exits.failed,
  NotAllowed: exits.notAllowed,
  Config: exits.usage,
};

export function exitOf(error: unknown): Exit {
  if (error instanceof Usage) return exits.usage;
  if (error instanceof TooSlow) return exits.timedOut;
  if (error instanceof Failure) return exits.failed;
  if (nameOf(error) === 'UnknownName') return exits.usage;
  if (error instanceof Error && error.name === 'NotRecorded') return exitOf(error.cause);
  if (nameOf(error) === 'StoppedEarly' || nameOf(error) === 'NotParked' || nameOf(error) === 'NotWaiting')
    return exits.warning;
  // A directory that belongs to another user fails with Config. Report the missing permission instead of wrong usage.
  if (/\b(?:EACCES|EPERM)\b|belongs to user \d/.test(errorMessage(error))) return exits.notAllowed;
  return isBusError(error) ? ofCode[error.code] : exits.failed;
}

/**
 * Compares the name instead of the class, because the classes are in a module that is loaded only when it is needed.
 */
function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : '';
}

/**
 * Returns the text for stderr. The remedy is added only for codes whose message does not contain one. A timeout names
 * `--timeout` instead of the option `timeoutMs` of the code.
 */
export function explain(error: unknown): string {
  const withRemedy = isBusError(error, 'Timeout', 'ResponderLost', 'Overloaded', 'HandlerFailed');
  const text = `busbar: ${errorMessage(error)}${withRemedy ? `\n${error.remedy}` : ''}`;
  return isBusError(error, 'Timeout') ? text.replaceAll('timeoutMs', '--timeout') : text;
}
