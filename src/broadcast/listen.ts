/** Listens to a module's events without a queue: every instance, from now on, while it lives. */
import { sleep, within } from '../base/clock';
import { sayError } from '../base/errors';
import { aborted, closable, type Closable } from '../base/lifecycle';
import { limits } from '../base/limits';
import type { Event } from '../contract/types';
import { DeliveryContext } from '../delivery/context';
import { deliver, type DeliverParts, type Run } from '../delivery/deliver';
import { peerOf } from '../delivery/peer';
import { createSeen, type Seen } from '../delivery/seen';
import { createTurns } from '../delivery/turns';
import { parseEnvelope } from '../format/envelope';
import { decodeValue } from '../format/json';
import { OutOfRangeError, type Log, type Stored, type Topic } from '../ports/log';

/** One reader of a topic for all plain listeners of this instance to it. */
export interface Ear extends Closable {
  add(entry: Event, run: Run): Closable;
  /** Events that wait or run. */
  readonly waiting: number;
}

interface EarParts extends DeliverParts {
  readonly log: Log;
  /** How long closing waits for listeners that run. */
  readonly drainMs: number;
}

const roomMax = { messages: limits.bufferMessagesMax, bytes: 8 * 1024 * 1024 };
const atOnceMax = 100; // events without a key that are handled side by side
const againMs = 500; // after a log that could not be read

/** Resolves when everything appended from now on will be heard. */
export async function openEar(parts: EarParts, topic: Topic): Promise<Ear> {
  const { clock, notices, log, drainMs } = parts;
  const listeners = new Set<{ readonly entry: Event; readonly run: Run }>();
  const seen = new Map<number, Seen>();
  const turns = createTurns();
  let keyless = 0;
  await log.ensure(topic);
  const tail = await log.tail(topic.name, 'end');
  const stop = new AbortController();
  const stopped = aborted(stop.signal);
  const walking = walk();

  async function walk(): Promise<void> {
    while (!stop.signal.aborted) {
      try {
        for (const record of await tail.read(roomMax)) hear(record);
        // Full: what was heard has to be handled before more is read, so memory stays bounded.
        if (turns.waiting >= limits.bufferMessagesMax) await makeRoom();
      } catch (error) {
        notices.tell({ type: 'dropped', what: 'events', reason: sayError(error) });
        if (!(error instanceof OutOfRangeError)) await sleep(clock, againMs, stop.signal);
      }
    }
  }
  async function makeRoom(): Promise<void> {
    const reason = `${turns.waiting} events wait for their listeners here, so no more are read`;
    notices.tell({ type: 'stuck', queue: topic.name, partition: 0, reason });
    await Promise.race([turns.below(limits.bufferMessagesMax / 2), stopped]);
  }
  function hear(record: Stored): void {
    const envelope = parseEnvelope(record.headers['bus'] ?? '');
    const where = `${topic.name}/${record.partition} at ${record.offset}`;
    if ('bad' in envelope) return notices.tell({ type: 'dropped', what: 'event', reason: `${where}: ${envelope.bad}` });
    const { entry, id, from, stamp, baggage = {}, traceparent } = envelope;
    const heard = [...listeners].filter((listener) => listener.entry.name === entry);
    if (stamp && !seenOn(record.partition).fresh(stamp))
      return notices.tell({ type: 'dropped', what: 'event', reason: 'it came twice', entry, id });
    if (heard.length === 0) return;
    const decoded = decodeValue(record.value);
    if (!decoded.ok)
      return notices.tell({ type: 'dropped', what: 'event', reason: `${where}: ${decoded.reason}`, entry, id });
    const facts = { id, entry, attempt: 1, deadline: Infinity, from: peerOf(from), baggage, traceparent };
    // Without a key no order is promised, but not everything may run at once.
    const lane = record.key
      ? `${record.partition} ${Buffer.from(record.key).toString('latin1')}`
      : `${keyless++ % atOnceMax}`;
    for (const listener of heard) {
      turns.take(lane, async () => {
        const context = new DeliveryContext(facts, clock, notices);
        const outcome = await deliver(parts, listener.entry, facts, decoded.value, listener.run, context);
        if (!outcome.ok)
          notices.tell({
            type: 'dropped',
            what: 'event',
            reason: `its listener failed: ${sayError(outcome.error)}`,
            entry,
            id,
          });
      });
    }
  }
  function seenOn(partition: number): Seen {
    const found = seen.get(partition) ?? createSeen();
    seen.set(partition, found);
    return found;
  }
  return {
    add(entry, run) {
      const listener = { entry, run };
      listeners.add(listener);
      return closable(async () => void listeners.delete(listener));
    },
    get waiting() {
      return turns.waiting;
    },
    ...closable(async () => {
      stop.abort();
      await tail.close();
      await walking;
      await within(clock, drainMs, turns.below(1));
    }),
  };
}
