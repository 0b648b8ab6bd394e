/** What the command ends with, and how errors become that. */
import { Failure, isBusError, sayError, type BusCode } from '../base/errors';

export const exits = {
  done: 0,
  /** A warning, or nothing matched. */
  warning: 1,
  critical: 2,
  /** Some of several, or the one that was asked for, failed. */
  failed: 3,
  usage: 64,
  unreachable: 69,
  timedOut: 75,
  notAllowed: 77,
  interrupted: 130,
} as const;
export type Exit = (typeof exits)[keyof typeof exits];

/** The command was typed wrong; `says` is what is wrong with it. */
export class Usage extends Error {
  override readonly name = 'Usage';
}
/** It took longer than --timeout. */
export class TooSlow extends Error {
  override readonly name = 'TooSlow';
}

const ofCode: { readonly [C in BusCode]: Exit } = {
  Invalid: exits.usage,
  TooLarge: exits.usage,
  NoHandler: exits.unreachable,
  ResponderLost: exits.failed,
  Timeout: exits.timedOut,
  Overloaded: exits.timedOut, // try again later, as with a time-out
  Cancelled: exits.interrupted,
  HandlerFailed: exits.failed,
  Unreachable: exits.unreachable,
  DiskFull: exits.unreachable,
  StoreBroken: exits.unreachable,
  SpoolFull: exits.unreachable,
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
  if (nameOf(error) === 'StoppedEarly' || nameOf(error) === 'NotParked') return exits.warning;
  // A directory of somebody else is a Config error by its code, whoever may not use it wants to know just that.
  if (/\b(?:EACCES|EPERM)\b|belongs to user \d/.test(sayError(error))) return exits.notAllowed;
  return isBusError(error) ? ofCode[error.code] : exits.failed;
}

/** By name: the classes belong to a part that is loaded only when it is needed. */
function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : '';
}

/**
 * What is written to stderr; of other codes the message says itself what can be done from a shell. Where code would
 * give timeoutMs, a shell gives --timeout.
 */
export function explain(error: unknown): string {
  const withRemedy = isBusError(error, 'Timeout', 'ResponderLost', 'Overloaded', 'HandlerFailed');
  const text = `busbar: ${sayError(error)}${withRemedy ? `\n${error.remedy}` : ''}`;
  return isBusError(error, 'Timeout') ? text.replaceAll('timeoutMs', '--timeout') : text;
}
