/** Runs one attempt at a message: decodes its body, calls the handler, and returns the outcome. */
import { isBusError, errorMessage } from '../../base/errors';
import { DeliveryContext, type Facts } from '../../delivery/context';
import { deliver, type Outcome } from '../../delivery/deliver';
import { peerOf } from '../../delivery/peer';
import { decodeValue } from '../../format/json';
import type { Message } from '../message';
import { Refused } from './retry-policy';
import type { Handling, ConsumerParts, Running } from '../types';

const foreign = { module: '', instance: '' };
const noBaggage = Object.freeze({});

/** Calls the handler. Never throws or rejects. `message.context` is set until the handler has ended. */
export function handle(
  parts: ConsumerParts,
  group: string,
  message: Message,
  { entry, run }: Handling,
): Outcome | Promise<Outcome> {
  const body = decodeValue(message.record.value, parts.bodyDepthMax);
  if (!body.ok) {
    return { ok: false, by: 'check', error: new Refused(`its body cannot be decoded: ${body.reason}`) };
  }
  const { envelope, record } = message;
  const facts: Facts = {
    id: message.id,
    entry: entry.name,
    attempt: message.attempts + 1,
    deadline: Infinity,
    source: group,
    place: record,
    durable: true,
    acceptedMs: record.timeMs,
    from: envelope ? peerOf(envelope.from) : foreign,
    baggage: envelope?.baggage ?? noBaggage,
    traceparent: record.headers['traceparent'] ?? envelope?.traceparent,
  };
  const context = new DeliveryContext(facts, parts.clock, parts.notices);
  message.context = context;
  return deliver(parts, entry, facts, body.value, run, context);
}

/** Returns the error of a failed attempt. Returns Refused when no other attempt can succeed. */
export function faultOf({ error, by }: Extract<Outcome, { readonly ok: false }>): unknown {
  return by === 'check' && isBusError(error, 'Invalid') ? new Refused(errorMessage(error)) : error;
}

/** Returns the handler calls that are in progress, of the messages that count as running. */
export function runningIn(messages: Iterable<Message>, attemptsMax: (message: Message) => number): Running[] {
  return [...messages].flatMap((message) => {
    const { id, entry, lane, attempts, sinceMs, partition, offset, context, failures } = message;
    if (!context) return [];
    const about = { attempt: attempts + 1, attemptsMax: attemptsMax(message), from: message.envelope?.from };
    const failed = failures[0] && { failedSinceMs: failures[0].atMs };
    return [{ id, entry, key: lane, ...about, sinceMs, note: context.note, partition, offset, ...failed }];
  });
}
