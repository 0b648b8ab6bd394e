/** Hears broadcasts: each once, in the order of their sender to their module, one after the other. */
import { within } from '../base/clock';
import { sayError } from '../base/errors';
import { limits } from '../base/limits';
import { moduleOf } from '../contract/contract';
import type { Broadcast } from '../contract/types';
import { DeliveryContext } from '../delivery/context';
import { deliver, type DeliverParts, type Run } from '../delivery/deliver';
import { createTurns } from '../delivery/turns';
import { peerOf } from '../delivery/peer';
import { decodeBody } from '../format/codec';
import type { Envelope } from '../format/envelope';
import { createSeen, type Seen } from '../delivery/seen';

export interface Hearer {
  add(entry: Broadcast, run: Run): void;
  remove(entry: string): void;
  hear(envelope: Envelope, body: Uint8Array): void;
  /** Broadcasts that wait or run. */
  readonly waiting: number;
  /** Takes nothing more; resolves when none waits or runs, at the latest after `drainMs`. */
  drain(drainMs: number): Promise<void>;
}

export function createHearer(parts: DeliverParts): Hearer {
  const { clock, notices } = parts;
  const handlers = new Map<string, { readonly entry: Broadcast; readonly run: Run }>();
  /** By module: each has a way of its own, so what was sent to another one may overtake. */
  const seen = new Map<string, Seen>();
  const turns = createTurns();
  let draining = false;

  function seenOf(module: string): Seen {
    const found = seen.get(module) ?? createSeen();
    seen.set(module, found);
    return found;
  }
  function drop({ entry, id }: Envelope, reason: string): void {
    notices.tell({ type: 'dropped', what: 'broadcast', reason, entry, id });
  }
  function hear(envelope: Envelope, body: Uint8Array): void {
    const { entry, id, from, stamp, baggage = {}, traceparent } = envelope;
    const handler = handlers.get(entry);
    if (!handler) return drop(envelope, 'no handler for it here');
    if (stamp && !seenOf(moduleOf(handler.entry)).fresh(stamp)) return drop(envelope, 'it came twice');
    if (draining) return drop(envelope, 'this instance is leaving');
    if (turns.waiting >= limits.bufferMessagesMax) return drop(envelope, `${turns.waiting} broadcasts wait already`);
    const decoded = decodeBody(body);
    if (!decoded.ok) return drop(envelope, `the bytes are not a body: ${decoded.reason}`);
    if (notices.watched) notices.tell({ type: 'received', kind: 'broadcast', entry, id });
    const facts = { id, entry, attempt: 1, deadline: Infinity, from: peerOf(from), baggage, traceparent };
    turns.take(from, async () => {
      const context = new DeliveryContext(facts, clock, notices);
      const outcome = await deliver(parts, handler.entry, facts, decoded.value, handler.run, context);
      if (!outcome.ok) drop(envelope, `its handler failed: ${sayError(outcome.error)}`);
    });
  }
  return {
    add: (entry, run) => void handlers.set(entry.name, { entry, run }),
    remove: (entry) => void handlers.delete(entry),
    hear,
    get waiting() {
      return turns.waiting;
    },
    async drain(drainMs) {
      draining = true;
      await within(clock, drainMs, turns.below(1));
    },
  };
}
