/** Encodes the reason with which a caller cancels its request, so that the handler's signal gets it. */
import { isBusError, errorMessage, behind, errorOf, isBehind, isError, type CauseFacts } from '../base/errors';
import { decodeBody, encodeBody } from '../format/codec';

const bytesMax = 16 * 1024;
const charsMax = 1_000;

/**
 * Returns the bytes of a reason: an error with its causes, another value as it is, or its text when neither can be
 * encoded.
 */
export function encodeReason(given: unknown): Uint8Array {
  // A handler that passes its own signal on: the first caller's reason is the useful one.
  const inner = isBusError(given, 'Cancelled') ? given.details.reason : undefined;
  const reason = inner ?? given;
  for (const body of [isError(reason) ? { error: factsOf(reason) } : { value: reason }, { value: textOf(reason) }]) {
    try {
      return encodeBody(body, bytesMax);
    } catch {
      // a function, a value beyond the limit, or a getter that throws: try the text
    }
  }
  return new Uint8Array(0);
}

function factsOf(error: Error): CauseFacts & { readonly name: string } {
  return { name: String(error.name).slice(0, 100).toWellFormed(), message: textOf(error), ...behind(error) };
}
function textOf(reason: unknown): string {
  const text = isError(reason) ? String(reason.message) : errorMessage(reason);
  return text.slice(0, charsMax).toWellFormed();
}

/** Returns the reason of the caller. Returns undefined when there is none, as with an older version of busbar. */
export function decodeReason(bytes: Uint8Array): unknown {
  if (bytes.length === 0) return undefined;
  const decoded = decodeBody(bytes);
  if (!decoded.ok || typeof decoded.value !== 'object' || decoded.value === null) return undefined;
  if ('value' in decoded.value) return decoded.value.value;
  if (!('error' in decoded.value)) return undefined;
  const { error: facts } = decoded.value;
  if (!isBehind(facts) || !('message' in facts) || typeof facts.message !== 'string') return undefined;
  const error = errorOf({ ...facts, message: facts.message });
  if ('name' in facts && typeof facts.name === 'string' && facts.name !== error.name) {
    Object.defineProperty(error, 'name', { value: facts.name, configurable: true, writable: true });
    error.stack = `${facts.name}: ${error.message}`;
  }
  return error;
}
