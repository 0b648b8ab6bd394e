/** Replays or drops parked messages. It first lists the messages that it will change, then changes them in batches. */
import { sleep } from '../base/clock';
import { outlookOf } from '../base/errors';
import type { Parked } from '../work/parked/find';
import { drop, replay, type Failed } from '../work/parked/replay';
import { OriginalGoneError, readOriginal } from '../work/parked/stub';
import { findQueues } from './names';
import { readNote } from '../work/parked/note';
import { findParked, parkedView } from './parked';
import { NotParked, UnknownName, type InspectorParts, type MessageFilter, type ParkedView } from './types';

/** A selection of parked messages. A message must match every field that is set. */
export interface Selection extends MessageFilter {
  /** Message ids, or beginnings of ids that only one message has. */
  readonly ids?: readonly string[];
  /** A part of the reason, compared without regard to case. */
  readonly reasonLike?: string;
}

/** Parked messages that a replay or drop will change, without their bodies. */
export interface Chosen {
  readonly queue: string;
  readonly messages: readonly ChosenMessage[];
  /** Other queues that also receive a replayed event, because a replay publishes it to all listeners. */
  readonly alsoIn: readonly string[];
}
/** A parked message, without its body. */
export interface ChosenMessage {
  readonly id: string;
  readonly entry: string;
  readonly reason: string;
  readonly parkedAtMs: number;
  /** Number of earlier replays. */
  readonly replay: number;
  /** The parked topic. `partition` and `offset` are the place of the parked record in it. */
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  /** Topic, partition and offset of the original record. */
  readonly origin: readonly [string, number, number];
}

/**
 * Returns the messages parked in `queue` that match `which`, in the order of their original log. Throws NotParked for
 * an id that is not parked there. Throws UnknownName for the beginning of several ids.
 */
export async function choose(parts: InspectorParts, queue: string, which: Selection): Promise<Chosen> {
  const { ids, reasonLike, ...filter } = which;
  const messages: ChosenMessage[] = [];
  const entries = new Set<string>();
  const wanted = reasonLike?.toLowerCase();
  for await (const parked of findParked(parts, queue, filter)) {
    const { id, reason } = parked.note;
    if (wanted !== undefined && !reason.toLowerCase().includes(wanted)) continue;
    if (ids && !ids.some((start) => id.startsWith(start))) continue;
    messages.push(chosenOf(parked));
    entries.add(parked.note.entry);
  }
  if (ids) checkIds(queue, ids, messages);
  messages.sort(inOrder);
  return { queue, messages, alsoIn: await alsoIn(parts, queue, entries) };
}

function chosenOf({ topic, note, record }: Parked): ChosenMessage {
  const { replay: before } = parkedView({ topic, note, record });
  return {
    id: note.id,
    entry: note.entry,
    reason: note.reason,
    parkedAtMs: note.parkedAtMs,
    replay: before,
    topic,
    partition: record.partition,
    offset: record.offset,
    origin: [note.topic, note.partition, note.offset],
  };
}

/** Compares by original place, so that messages of one key are replayed in the order in which they were sent. */
function inOrder({ origin: one }: ChosenMessage, { origin: other }: ChosenMessage): number {
  if (one[0] !== other[0]) return one[0] < other[0] ? -1 : 1;
  return one[1] - other[1] || one[2] - other[2];
}

function checkIds(queue: string, ids: readonly string[], found: readonly ChosenMessage[]): void {
  for (const start of ids) {
    const meant = new Set(found.map(({ id }) => id).filter((id) => id.startsWith(start)));
    if (meant.size === 0) throw new NotParked(queue, start);
    if (meant.size > 1 && !meant.has(start)) {
      throw new UnknownName(
        'single parked message',
        start,
        [],
        `: ${meant.size} ids begin with it. Type more characters`,
      );
    }
  }
}

/**
 * Returns the other named listeners of the entries. They also receive replayed events, because a replay publishes to
 * all.
 */
async function alsoIn(parts: InspectorParts, queue: string, entries: ReadonlySet<string>): Promise<readonly string[]> {
  const queues = await findQueues(parts.log, parts.ns);
  const others = [...queues.values()].filter((one) => one.queue !== queue && one.kind === 'listener');
  return others
    .filter(({ sources }) => sources.some(({ entry }) => entry !== null && entries.has(entry)))
    .map((one) => one.queue);
}

const batchSize = 100;

/** Options of {@link replayChosen} and {@link dropChosen}. */
export interface RepairOptions {
  /** Stops the call between two batches. Finished batches stay finished, and the remaining messages stay parked. */
  readonly signal: AbortSignal;
  /** Called with the messages of a batch when they are done. */
  readonly done?: (messages: readonly ChosenMessage[]) => void;
  /**
   * Called with the error for each message that stays parked because it cannot be replayed; the call continues with the
   * next one. By default, the call rejects after the batch with the first such error.
   */
  readonly failed?: (message: ChosenMessage, error: unknown) => void;
  /**
   * Maximum number of messages in a second.
   * @default Infinity
   */
  readonly perSecond?: number;
  /** Reason of the operator, which `busbar why` shows for the messages. */
  readonly reason?: string | undefined;
}

/**
 * Sends the messages again under their ids, and removes them from the parked topic. Resolves with the number of
 * messages replayed. The number is lower when `signal` aborted, or when another process removed some in the meantime.
 * Rejects with Unreachable when the log does not respond. A message that was not reported as done is still parked, and
 * can have been sent.
 */
export function replayChosen(parts: InspectorParts, chosen: Chosen, options: RepairOptions): Promise<number> {
  return inBatches(parts, chosen, options, (batch, failed) =>
    replay({ ...parts, instance: parts.bus.self.instance, reason: options.reason }, batch, failed),
  );
}

/** Removes the messages from the parked topic permanently. Otherwise it behaves as {@link replayChosen}. */
export function dropChosen(parts: InspectorParts, chosen: Chosen, options: RepairOptions): Promise<number> {
  return inBatches(parts, chosen, options, (batch) =>
    drop({ ...parts, instance: parts.bus.self.instance, reason: options.reason }, batch),
  );
}

async function inBatches(
  parts: InspectorParts,
  { queue, messages }: Chosen,
  { signal, done, failed, perSecond = Infinity }: RepairOptions,
  run: (batch: readonly Parked[], failed?: Failed) => Promise<number>,
): Promise<number> {
  let count = 0;
  // Small batches keep the rate even, and a signal takes effect sooner.
  const size = Math.max(1, Math.min(batchSize, Math.floor(perSecond / 4)));
  const beganMs = parts.clock.mono();
  for (let at = 0; at < messages.length; at += size) {
    await sleep(parts.clock, Math.max(0, beganMs + (at * 1_000) / perSecond - parts.clock.mono()), signal);
    if (signal.aborted) break;
    const batch = messages.slice(at, at + size);
    const still = await stillParked(parts, queue, batch);
    const notDone = new Set<Parked>();
    const report: Failed = (one, error) => {
      notDone.add(one);
      const message = still.find(({ parked }) => parked === one)?.message;
      if (message) failed?.(message, error);
    };
    count += await run(
      still.map(({ parked }) => parked),
      failed && report,
    );
    done?.(still.filter(({ parked }) => !notDone.has(parked)).map(({ message }) => message));
  }
  return count;
}

/** Yields the chosen messages that are still parked, with their bodies. */
export async function* readChosen(parts: InspectorParts, { queue, messages }: Chosen): AsyncGenerator<Exported> {
  for (let at = 0; at < messages.length; at += batchSize) {
    for (const { parked } of await stillParked(parts, queue, messages.slice(at, at + batchSize))) {
      yield { view: parkedView(parked), record: await asWhole(parts, parked) };
    }
  }
}
/**
 * A copy of a dropped message, sufficient to read it and to send it again byte for byte. When the original of a stub
 * has been deleted, only its first bytes are available.
 */
export interface Exported {
  readonly view: ParkedView;
  readonly record: Parked['record'];
}

/** Returns the record with the whole value. For a stub, it reads the original while that is still in its log. */
async function asWhole({ log }: InspectorParts, { note, record }: Parked): Promise<Parked['record']> {
  if (!note.stub) return record;
  const original = await readOriginal(log, note).catch((error: unknown) => {
    if (error instanceof OriginalGoneError || outlookOf(error) !== 'transient') return undefined;
    throw error;
  });
  return original ? { ...record, value: original.value } : record;
}

interface Still {
  readonly message: ChosenMessage;
  readonly parked: Parked;
}

async function stillParked(
  { log }: InspectorParts,
  queue: string,
  messages: readonly ChosenMessage[],
): Promise<readonly Still[]> {
  const found = await Promise.all(
    messages.map(async (message): Promise<readonly Still[]> => {
      const [record] = await log.peek(message.topic, message, { messages: 1, bytes: 1 });
      const note = record && readNote(record, message.topic);
      if (!note || record.offset !== message.offset || note.queue !== queue) return [];
      return [{ message, parked: { topic: message.topic, note, record } }];
    }),
  );
  return found.flat();
}
