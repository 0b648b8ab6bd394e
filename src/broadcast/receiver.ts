/** Handles incoming broadcasts. Each is handled once, in the order in which its sender sent it. */
import { within } from '../base/clock';
import { errorMessage } from '../base/errors';
import { limits } from '../base/limits';
import { moduleOf } from '../contract/contract';
import type { Broadcast } from '../contract/types';
import { DeliveryContext } from '../delivery/context';
import { deliver, type DeliverParts, type Run } from '../delivery/deliver';
import { closedReason, Gate } from '../delivery/gate';
import { createSerialQueue } from '../delivery/serial-queue';
import { peerOf } from '../delivery/peer';
import { decodeBody } from '../format/codec';
import type { Envelope } from '../format/envelope-fields';
import { createSenderPositions, type SenderPositions } from '../delivery/sender-positions';

export interface BroadcastReceiver {
  add(entry: Broadcast, run: Run): void;
  /**
   * Starts no further broadcasts of these entries. Waiting ones are dropped with a notice. Resolves when none of their
   * handlers runs, after at most `drainMs`. Handlers that still run are then aborted.
   */
  close(entries: readonly string[], drainMs: number): Promise<void>;
  receive(envelope: Envelope, body: Uint8Array): void;
  /** Broadcasts that wait or run. */
  readonly waiting: number;
  /**
   * Accepts no further broadcasts. Resolves when none waits or runs, after at most `drainMs`. Broadcasts that still
   * wait are then dropped with a notice, and running handlers are aborted.
   */
  drain(drainMs: number): Promise<void>;
}

interface Handler {
  readonly entry: Broadcast;
  readonly run: Run;
  readonly gate: Gate;
}

export function createBroadcastReceiver(parts: DeliverParts): BroadcastReceiver {
  const { clock, notices } = parts;
  const handlers = new Map<string, Handler>();
  /** Gates of `handlers`, and of removed handlers until their calls have ended or were aborted. */
  const gates = new Set<Gate>();
  /**
   * Sender positions by module. Order is kept only within a module, so a later position can arrive first at another
   * module.
   */
  const positions = new Map<string, SenderPositions>();
  /** One queue for each sender. */
  const queue = createSerialQueue({ count: limits.bufferMessagesMax, bytes: limits.bufferBytesMax });
  const { capacity } = queue;
  let draining = false;

  function positionsOf(module: string): SenderPositions {
    const found = positions.get(module) ?? createSenderPositions();
    positions.set(module, found);
    return found;
  }
  function drop({ entry, id }: Envelope, reason: string): void {
    notices.emit({ type: 'dropped', what: 'broadcast', reason, entry, id });
  }
  /**
   * Returns true when the sender's share stays below the room that is left for other senders. A sender whose broadcasts
   * hang a handler then does not block the other senders.
   */
  function hasRoom(from: string, bytes: number): boolean {
    const { max } = capacity;
    const share = queue.share(from);
    return share.count < max.count - capacity.count && share.bytes + bytes <= max.bytes - capacity.bytes;
  }
  function receive(envelope: Envelope, body: Uint8Array): void {
    const { entry, id, from, stamp, baggage = {}, traceparent } = envelope;
    const handler = handlers.get(entry);
    if (!handler) return drop(envelope, 'this instance has no handler for it');
    if (stamp && !positionsOf(moduleOf(handler.entry)).isNew(stamp)) return drop(envelope, 'it arrived twice');
    if (draining) return drop(envelope, 'this instance is leaving');
    const { length } = body;
    if (!hasRoom(from, length)) {
      const { count, bytes } = queue.share(from);
      const own = `${count} broadcasts with ${bytes} bytes from ${from} wait already`;
      return drop(envelope, `${own}, in all ${capacity.describe('broadcasts')}`);
    }
    const decoded = decodeBody(body, parts.bodyDepthMax);
    if (!decoded.ok) return drop(envelope, `the body cannot be decoded: ${decoded.reason}`);
    if (notices.watched) notices.emit({ type: 'received', kind: 'broadcast', entry, id });
    const acceptedMs = clock.now();
    parts.counters?.of(entry)?.received(acceptedMs);
    const facts = { id, entry, attempt: 1, deadline: Infinity, from: peerOf(from), baggage, traceparent, acceptedMs };
    const { gate } = handler;
    const close = (): void => drop(envelope, 'its handler was closed before it was started');
    gate.wait(close);
    queue.take(from, length, async () => {
      const context = new DeliveryContext(facts, clock, notices);
      if (!gate.enter(close, context)) return;
      const outcome = await deliver(parts, handler.entry, facts, decoded.value, handler.run, context);
      if (!outcome.ok) drop(envelope, `its handler failed: ${errorMessage(outcome.error)}`);
      gate.leave(context);
    });
  }
  return {
    add(entry, run) {
      const gate = new Gate();
      gates.add(gate);
      handlers.set(entry.name, { entry, run, gate });
    },
    async close(entries, drainMs) {
      const closing = entries.flatMap((entry) => handlers.get(entry) ?? []);
      for (const entry of entries) handlers.delete(entry);
      await Promise.all(
        closing.map(async ({ entry, gate }) => {
          await gate.close(clock, drainMs, closedReason(`${entry.name} is no longer served`));
          gates.delete(gate);
        }),
      );
    },
    receive,
    get waiting() {
      return capacity.count;
    },
    async drain(drainMs) {
      draining = true;
      await within(clock, drainMs, capacity.below(0));
      for (const gate of gates) gate.abort(closedReason('this instance is leaving'));
    },
  };
}
