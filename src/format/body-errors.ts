/** Errors of bodies that cannot be encoded. They name the body as `what`, such as `input of photos.add`. */
import { BusError, type BusDetails, type Issue } from '../base/errors';
import { limits } from '../base/limits';
import { boundedPath, describePath } from './body-format';

export type Side = BusDetails['Invalid']['side'];

/** Creates the error of a body beyond `limitBytes`. */
export function tooLarge(what: string, bytes: number, limitBytes: number): BusError<'TooLarge'> {
  const most = limits.messageBytesMax;
  const option = limitBytes < most ? `messageBytesMax, which can be raised to ${most}` : 'which cannot be raised';
  const message = `${what} has ${bytes} bytes or more, the limit is ${limitBytes} (${option})`;
  return new BusError('TooLarge', message, { bytes, limitBytes });
}

/** Creates the error of the field at the path `whole`. */
export function invalid(side: Side, what: string, message: string, whole: readonly PropertyKey[]): BusError<'Invalid'> {
  const path = boundedPath(whole);
  const issue: Issue = path.length > 0 ? { message, path } : { message };
  const place = path.length > 0 ? `${describePath(path)}: ` : '';
  return new BusError('Invalid', `${what} cannot be sent: ${place}${message}`, { side, issues: [issue] });
}

/** Returns the reason of an error that a getter or a Proxy threw. */
export function readFault(error: unknown): string {
  // The error of a hostile Proxy can itself throw when it is read.
  try {
    return `reading the value threw: ${error instanceof Error ? error.message : String(error)}`;
  } catch {
    return 'reading the value threw';
  }
}
