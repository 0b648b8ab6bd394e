/** Round trip of a value through the body codec, and the reason for which it is refused. */
import { isBusError } from '../../src/base/errors';
import { decodeBody, encodeBody } from '../../src/format/codec';

export const bytesMax = 1_000_000;

export function roundTrip(value: unknown): unknown {
  const decoded = decodeBody(encodeBody(value, bytesMax));
  if (!decoded.ok) throw new Error(decoded.reason);
  return decoded.value;
}

/** Returns the reason for which `encodeBody` refuses a value, as `path: message`. */
export function refusal(value: unknown): string {
  try {
    encodeBody(value, bytesMax);
  } catch (error) {
    if (!isBusError(error, 'Invalid')) throw error;
    const [issue] = error.details.issues;
    return `${(issue?.path ?? []).map(String).join('.')}: ${issue?.message}`;
  }
  throw new Error('it was encoded');
}
