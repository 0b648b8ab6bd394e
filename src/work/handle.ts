/** One attempt at a message: decodes its body, calls the handler, says how it ended. */
import { isBusError, sayError } from '../base/errors';
import { DeliveryContext, type Facts } from '../delivery/context';
import { deliver } from '../delivery/deliver';
import { peerOf } from '../delivery/peer';
import { decodeBody } from '../format/codec';
import type { Message } from './message';
import { Refused } from './retry';
import type { Handling, TakeParts } from './types';

export type Ended = { readonly ok: true } | { readonly ok: false; readonly error: unknown };

const done: Ended = { ok: true };
const foreign = { module: '', instance: '' };
const noBaggage = Object.freeze({});

/** Never rejects. `message.context` is set while the handler runs. */
export async function handle(parts: TakeParts, message: Message, { entry, run }: Handling): Promise<Ended> {
  const body = decodeBody(message.record.value ?? nothing);
  if (!body.ok) return { ok: false, error: new Refused(`its body is not readable: ${body.reason}`) };
  const { envelope, record } = message;
  const facts: Facts = {
    id: message.id,
    entry: entry.name,
    attempt: message.attempts + 1,
    deadline: Infinity,
    from: envelope ? peerOf(envelope.from) : foreign,
    baggage: envelope?.baggage ?? noBaggage,
    traceparent: record.headers['traceparent'] ?? envelope?.traceparent,
  };
  const context = new DeliveryContext(facts, parts.clock, parts.notices);
  message.context = context;
  const outcome = await deliver(parts, entry, facts, body.value, run, context);
  message.context = undefined;
  if (outcome.ok) return done;
  const refused = outcome.by === 'check' && isBusError(outcome.error, 'Invalid');
  return { ok: false, error: refused ? new Refused(sayError(outcome.error)) : outcome.error };
}
const nothing = new Uint8Array(0);
