/**
 * Delivers a module's events to plain listeners, without a queue: every instance gets each event while it is listening.
 */
import { sleep, within } from '../base/clock';
import { errorMessage } from '../base/errors';
import { aborted, closable, NotStarted, teardown, type Closable } from '../base/lifecycle';
import { limits } from '../base/limits';
import { openStates } from '../base/notices';
import type { Event } from '../contract/types';
import { DeliveryContext, type Facts } from '../delivery/context';
import { deliver, type DeliverParts, type Run } from '../delivery/deliver';
import { closedReason, Gate } from '../delivery/gate';
import { peerOf } from '../delivery/peer';
import { openIdWindow, type IdWindow } from '../delivery/id-window';
import { createSenderPositions, type SenderPositions } from '../delivery/sender-positions';
import { createSerialQueue } from '../delivery/serial-queue';
import { parseEnvelope } from '../format/envelope-parser';
import { decodeValue } from '../format/json';
import { OutOfRangeError, type Log, type ReadMax, type Stored, type Topic } from '../ports/log';

/** Reader of one topic for all plain listeners of this instance. */
export interface EventSubscription extends Closable {
  /** Adds a listener. Returns undefined when this reader has been closed. */
  add(entry: Event, run: Run): Closable | undefined;
  /** True when the reader has no listener. */
  readonly idle: boolean;
  /** Events that wait or run. */
  readonly waiting: number;
}

export interface EventSubscriptionParts extends DeliverParts {
  readonly log: Log;
  /** Maximum time that closing waits for running listeners, in ms. Those that still run are then aborted. */
  readonly drainMs: number;
}

const waitingMax = { count: limits.bufferMessagesMax, bytes: limits.bufferBytesMax };
/** Maximum bytes of one read, so that a single read does not fill the memory. */
const readBytesMax = 8 * 1024 * 1024;
/**
 * Largest record of a topic: a message, its envelope, and the additions of a parked record. A read starts only when one
 * fits.
 */
const recordBytesMax = limits.messageBytesMax + 192 * 1024;
/** Share of the buffer in use at which reading resumes. A full buffer must drain first, so that reads stay large. */
const refillShare = 0.5;
const atOnceMax = 100; // lanes of events without a key: at most this many are handled concurrently
const retryReadMs = 500; // delay after a failed read of the log, so that errors do not repeat in a busy loop

interface Listener {
  readonly entry: Event;
  readonly run: Run;
  readonly gate: Gate;
}
/** An event that waits for one of its listeners. */
interface Waiting {
  readonly listener: Listener;
  readonly drop: () => void;
}

/** Opens a reader. Resolves when everything appended from now on will be delivered. */
export async function openEventSubscription(parts: EventSubscriptionParts, topic: Topic): Promise<EventSubscription> {
  const { clock, notices, log, drainMs } = parts;
  const listeners = new Set<Listener>();
  /** Gates of `listeners`, and of removed listeners until their calls have ended or were aborted. */
  const gates = new Set<Gate>();
  const positions = new Map<number, SenderPositions>();
  /** Chosen ids by partition. They begin with this reader, so a copy of an earlier event is delivered. */
  const windows = new Map<number, IdWindow>();
  const queue = createSerialQueue(waitingMax);
  const { capacity } = queue;
  let keyless = 0;
  await log.ensure(topic);
  const tail = await log.tail(topic.name, 'end');
  const stop = new AbortController();
  const stopped = aborted(stop.signal);
  const states = openStates(notices);
  const part = `tail of ${topic.name}` as const;
  const reading = walk();

  async function walk(): Promise<void> {
    while (!stop.signal.aborted) {
      try {
        const records = await tail.read(room());
        states.works(part, 'it is read again');
        for (const record of records) onRecord(record);
        // Read no more than the buffer can hold. The remaining events stay in the log.
        if (!capacity.fits(recordBytesMax)) await makeRoom();
      } catch (error) {
        if (error instanceof OutOfRangeError)
          notices.emit({ type: 'dropped', what: 'events', reason: errorMessage(error) });
        else {
          states.fails(part, `events of ${topic.name} are not received: ${errorMessage(error)}`);
          await sleep(clock, retryReadMs, stop.signal);
        }
      }
    }
  }
  function room(): ReadMax {
    const { count, bytes, max } = capacity;
    return { messages: max.count - count, bytes: Math.min(readBytesMax, max.bytes - bytes) };
  }
  async function makeRoom(): Promise<void> {
    const held = capacity.describe('events');
    const reason = `its listeners in this instance do not keep up, so reading pauses (${held})`;
    notices.emit({ type: 'stuck', queue: topic.name, partition: 0, reason });
    await Promise.race([capacity.below(refillShare), stopped]);
  }
  function onRecord(record: Stored): void {
    const envelope = parseEnvelope(record.headers['bus'] ?? '');
    const where = `${topic.name}/${record.partition} at ${record.offset}`;
    if ('bad' in envelope) return notices.emit({ type: 'dropped', what: 'event', reason: `${where}: ${envelope.bad}` });
    const { entry, id, from, stamp, baggage = {}, traceparent } = envelope;
    const matching = [...listeners].filter((listener) => listener.entry.name === entry);
    if (stamp && !positionsOf(record.partition).isNew(stamp))
      return notices.emit({ type: 'dropped', what: 'event', reason: 'it arrived twice', entry, id });
    if (matching.length === 0) return;
    const earlier = envelope.once && record.value && windowOf(record.partition).note(record, envelope);
    if (earlier) {
      const first = `the event at offset ${earlier.offset}, which has its id`;
      const reason = `${where}: it ${earlier.same ? 'is a copy of' : 'has another body than'} ${first}`;
      return notices.emit({ type: 'dropped', what: 'event', reason, entry, id });
    }
    const decoded = decodeValue(record.value, parts.bodyDepthMax);
    if (!decoded.ok)
      return notices.emit({ type: 'dropped', what: 'event', reason: `${where}: ${decoded.reason}`, entry, id });
    parts.counters?.of(entry)?.received(clock.now());
    const acceptedMs = record.timeMs;
    const facts = { id, entry, attempt: 1, deadline: Infinity, from: peerOf(from), baggage, traceparent, acceptedMs };
    // Events without a key have no order. They share a fixed number of lanes, so that not all run at once.
    const lane = record.key
      ? `${record.partition} ${Buffer.from(record.key).toString('latin1')}`
      : `${keyless++ % atOnceMax}`;
    const bytes = record.value?.length ?? 0;
    // Checked before the listeners are registered, since a turn can start at once. Lanes have the same bounds.
    if (!capacity.fits(bytes)) return drop(facts, `the queue has no room for more (${capacity.describe('events')})`);
    const waiting = matching.map((listener): Waiting => ({ listener, drop: () => drop(facts, notStartedReason) }));
    for (const one of waiting) one.listener.gate.wait(one.drop);
    queue.take(lane, bytes, async () => {
      for (const one of waiting) await handle(one, facts, decoded.value);
    });
  }
  async function handle(waiting: Waiting, facts: Facts, body: unknown): Promise<void> {
    const { entry, run, gate } = waiting.listener;
    const context = new DeliveryContext(facts, clock, notices);
    if (!gate.enter(waiting.drop, context)) return;
    const outcome = await deliver(parts, entry, facts, body, run, context);
    if (!outcome.ok) drop(facts, whyDropped(outcome.error));
    gate.leave(context);
  }
  function drop({ entry, id }: Facts, reason: string): void {
    notices.emit({ type: 'dropped', what: 'event', reason, entry, id });
  }
  function positionsOf(partition: number): SenderPositions {
    const found = positions.get(partition) ?? createSenderPositions();
    positions.set(partition, found);
    return found;
  }
  function windowOf(partition: number): IdWindow {
    const found = windows.get(partition) ?? openIdWindow();
    windows.set(partition, found);
    return found;
  }
  return {
    add(entry, run) {
      if (stop.signal.aborted) return undefined;
      const gate = new Gate();
      const listener = { entry, run, gate };
      listeners.add(listener);
      gates.add(gate);
      return closable(async () => {
        listeners.delete(listener);
        await gate.close(clock, drainMs, closedReason(`the listener of ${entry.name} was closed`));
        gates.delete(gate);
      });
    },
    get idle() {
      return listeners.size === 0;
    },
    get waiting() {
      return capacity.count;
    },
    ...closable(
      teardown(`the reader of ${topic.name}`, [
        [
          'tail',
          async () => {
            stop.abort();
            await tail.close();
            await reading;
            states.works(part, 'it has no listeners');
          },
        ],
        [
          'listeners',
          async () => {
            await within(clock, drainMs, capacity.below(0));
            for (const gate of gates) gate.abort(closedReason('this instance no longer listens'));
          },
        ],
      ]),
    ),
  };
}
const notStartedReason = 'its listener was closed before it was started';
function whyDropped(error: unknown): string {
  return error instanceof NotStarted ? notStartedReason : `its listener failed: ${errorMessage(error)}`;
}
