/** Sends work and events: encodes messages, and appends those of one turn of the event loop together. */
import { Capacity } from '../base/bounded';
import { BusError } from '../base/errors';
import { closable } from '../base/lifecycle';
import { limits } from '../base/limits';
import { moduleOf } from '../contract/contract';
import type { AnyEntry } from '../contract/types';
import { currentScope } from '../delivery/context';
import type { Envelope } from '../format/envelope-fields';
import type { Topic } from '../ports/log';
import { outboxOf, type Outbox } from '../ports/outbox';
import { AppendQueue } from './append-queue';
import { messageEncoder, type How } from './encode-messages';
import { derivedCall, type CallIds, type GivenIds } from './ids/call-ids';
import { SentIds } from './ids/sent-ids';
import { eventTopic, workTopic } from './topics';
import type { MessagePlace, Sender, SenderParts, SendOptions, Submitted } from './types';

/** Time for which `until: 'broker'` waits for the servers, in ms. */
const untilMsDefault = 5_000;

export function openSender(parts: SenderParts): Sender {
  const encode = messageEncoder(parts);
  const sentIds = new SentIds(parts.clock);
  const queues = new Map<string, AppendQueue>();
  const outbox = parts.spool ?? outboxOf(parts.log, parts.reached);
  /** Bytes of all topics together. */
  const whole = new Capacity({ count: Infinity, bytes: 2 * limits.sendingBytesMax });
  let position = 0;
  let closedMs: number | undefined;

  /**
   * Returns the next stamp. Stamps must follow the order of the appends, since a receiver drops a lower one as a
   * duplicate.
   */
  const stamp = (): Envelope['stamp'] => ({ incarnation: parts.incarnation, position: ++position });

  function queueOf(entry: AnyEntry): AppendQueue {
    const topic = topicOf(parts, entry);
    const found = queues.get(topic.name);
    if (found) return found;
    const made = new AppendQueue(outbox, topic, stamp, whole);
    queues.set(topic.name, made);
    if (entry.kind === 'event') parts.publishes?.(topic);
    return made;
  }

  const closed = (message: string): BusError =>
    new BusError('Closed', message, { outcome: 'not-sent', sinceMs: parts.clock.now() - (closedMs ?? 0) });

  async function send(
    entry: AnyEntry,
    inputs: readonly unknown[],
    how: How = 'one',
    options: SendOptions = {},
  ): Promise<readonly Submitted[]> {
    if (closedMs !== undefined) throw closed(`the bus of ${parts.self.instance} was closed`);
    if (inputs.length === 0) return [];
    if (inputs.length > limits.sendingMax) throw tooMany(entry, inputs.length);
    const counter = parts.outgoing?.of(entry);
    try {
      const queue = queueOf(entry);
      queue.mustHaveRoom(inputs.length);
      const chosen = chosenIn(options.ids);
      const answers = await (chosen
        ? chosenOrFailed(chosen, () => queue.send(inputs.length, how, encode(entry, inputs, how, chosen)))
        : queue.send(inputs.length, how, encode(entry, inputs, how)));
      if (parts.notices.watched) {
        for (const { id } of answers) parts.notices.emit({ type: 'sent', kind: entry.kind, entry: entry.name, id });
      }
      counter?.succeeded(parts.clock.now(), answers.length);
      if (!outbox.forwarded) return answers;
      return await forwarded(outbox, queue.topic.name, answers, options);
    } catch (error) {
      counter?.failed(parts.clock.now(), error);
      throw error;
    }
  }

  /** Returns the ids of a call, if the caller gives them, or if they are derived from the message that is handled. */
  function chosenIn(given: GivenIds | undefined): CallIds | undefined {
    if (given) return sentIds.call(given);
    const ids = currentScope(parts.scopes)?.ids;
    return ids && derivedCall(ids);
  }

  return {
    send,
    async lastPlaces() {
      const places = [...queues.keys()].sort().flatMap((topic) => queues.get(topic)?.lastPlaces() ?? []);
      const early = `the bus of ${parts.self.instance} was closed before the brokers had all of its messages`;
      return atServers(outbox, places, () => closed(early));
    },
    ...closable(async () => {
      closedMs = parts.clock.now();
      await Promise.all([...queues.values()].map((queue) => queue.idle()));
    }),
  };
}

/**
 * Returns the answers of messages that go to the servers through the spool. They have a place once the servers have
 * them.
 */
async function forwarded(
  outbox: Outbox,
  topic: string,
  answers: readonly Submitted[],
  { until, timeoutMs = untilMsDefault }: SendOptions,
): Promise<readonly Submitted[]> {
  const places = answers.flatMap(({ place }) => place ?? []);
  const found = until === 'broker' ? await outbox.forwarded?.(topic, places, timeoutMs) : undefined;
  return answers.map(({ id }, n) => {
    const place = found?.[n];
    return { id, reached: found ? 'broker' : 'disk', ...(place && { place: { topic, ...place } }) };
  });
}

/**
 * Waits until the servers have the records at these places, and returns their places there. Rejects with the result of
 * `closed` if the spool is closed before.
 */
async function atServers(
  outbox: Outbox,
  places: readonly MessagePlace[],
  closed: () => BusError,
): Promise<readonly MessagePlace[]> {
  if (!outbox.forwarded) return places;
  const found = places.map(async (place) => {
    const all = await outbox.forwarded?.(place.topic, [place], Infinity).catch(() => []); // it was refused
    if (!all) throw closed();
    return all[0] && { topic: place.topic, ...all[0] };
  });
  return (await Promise.all(found)).filter((place) => place !== undefined);
}

async function chosenOrFailed<T>(chosen: CallIds, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    chosen.failed(error);
    throw error;
  }
}

function topicOf({ ns, keepMs }: SenderParts, entry: AnyEntry): Topic {
  return entry.kind === 'event' ? eventTopic(ns, entry, keepMs) : workTopic(ns, moduleOf(entry), entry.options.queue);
}

/** Creates the error of a list that can never fit. It is not Overloaded, since waiting does not help. */
function tooMany(entry: AnyEntry, messages: number): BusError<'TooLarge'> {
  const limitMessages = limits.sendingMax;
  const message = `the list has ${messages} messages for ${entry.name}, the limit of one call is ${limitMessages}`;
  return new BusError('TooLarge', message, { messages, limitMessages });
}
