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

interface Share {
  messages: number;
  bytes: number;
}

export function createHearer(parts: DeliverParts): Hearer {
  const { clock, notices } = parts;
  const handlers = new Map<string, { readonly entry: Broadcast; readonly run: Run }>();
  /** By module: each has a way of its own, so what was sent to another one may overtake. */
  const seen = new Map<string, Seen>();
  const turns = createTurns();
  /** Of those that wait or run, by their sender. */
  const shares = new Map<string, Share>();
  let waitingBytes = 0;
  let draining = false;

  function seenOf(module: string): Seen {
    const found = seen.get(module) ?? createSeen();
    seen.set(module, found);
    return found;
  }
  function drop({ entry, id }: Envelope, reason: string): void {
    notices.tell({ type: 'dropped', what: 'broadcast', reason, entry, id });
  }
  /** A sender may have as much here as is left for others: one whose handler hangs holds up nobody else. */
  function hasRoom({ messages, bytes }: Share, more: number): boolean {
    const isFew = messages < limits.bufferMessagesMax - turns.waiting;
    return isFew && bytes + more <= limits.bufferBytesMax - waitingBytes;
  }
  function count(from: string, share: Share, messages: number, bytes: number): void {
    share.messages += messages;
    share.bytes += bytes;
    waitingBytes += bytes;
    if (share.messages > 0) shares.set(from, share);
    else shares.delete(from);
  }
  function hear(envelope: Envelope, body: Uint8Array): void {
    const { entry, id, from, stamp, baggage = {}, traceparent } = envelope;
    const handler = handlers.get(entry);
    if (!handler) return drop(envelope, 'no handler for it here');
    if (stamp && !seenOf(moduleOf(handler.entry)).fresh(stamp)) return drop(envelope, 'it came twice');
    if (draining) return drop(envelope, 'this instance is leaving');
    const share = shares.get(from) ?? { messages: 0, bytes: 0 };
    const { length } = body;
    if (!hasRoom(share, length)) {
      const own = `${share.messages} broadcasts of ${share.bytes} bytes of ${from} wait already`;
      return drop(envelope, `${own}, and ${turns.waiting} of ${waitingBytes} bytes in all`);
    }
    const decoded = decodeBody(body);
    if (!decoded.ok) return drop(envelope, `the bytes are not a body: ${decoded.reason}`);
    if (notices.watched) notices.tell({ type: 'received', kind: 'broadcast', entry, id });
    const facts = { id, entry, attempt: 1, deadline: Infinity, from: peerOf(from), baggage, traceparent };
    count(from, share, 1, length);
    turns.take(from, async () => {
      const context = new DeliveryContext(facts, clock, notices);
      const outcome = await deliver(parts, handler.entry, facts, decoded.value, handler.run, context);
      if (!outcome.ok) drop(envelope, `its handler failed: ${sayError(outcome.error)}`);
      count(from, share, -1, -length);
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
