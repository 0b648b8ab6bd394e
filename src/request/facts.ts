/** Facts of a received request, and the outcome of one whose deadline passed. */
import { Failure, isBusError } from '../base/errors';
import type { DeliveryContext, Facts } from '../delivery/context';
import type { Outcome } from '../delivery/deliver';
import { peerOf } from '../delivery/peer';
import type { Envelope } from '../format/envelope-fields';

/**
 * Returns Timeout instead of an error that was thrown after the deadline aborted the handler, since the handler is not
 * at fault. A caller can receive this reply before its own deadline passes.
 */
export function expired({ context }: { readonly context: DeliveryContext }, outcome: Outcome): Outcome {
  if (outcome.ok || outcome.by === 'check' || outcome.error instanceof Failure) return outcome;
  const reason: unknown = context.signal.reason;
  // a `check` error is sent unchanged
  return isBusError(reason, 'Timeout') ? { ok: false, by: 'check', error: reason } : outcome;
}

/** Returns the facts of a request. It is called for each one, so it creates one object, without a spread. */
export function factsOf(envelope: Envelope, acceptedMs: number, isIdempotent = false): Facts {
  const { id, entry, deadlineMs, baggage = {}, traceparent } = envelope;
  const [from, deadline] = [peerOf(envelope.from), deadlineMs ?? Infinity];
  const source = isIdempotent ? entry : undefined; // another instance can be sent the same request
  return { id, entry, attempt: 1, deadline, from, baggage, traceparent, source, acceptedMs };
}
