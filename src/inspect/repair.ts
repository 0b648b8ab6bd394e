/** Sends parked messages again, or takes them away: first what it will touch, then batch by batch. */
import { outlookOf } from '../base/errors';
import type { Parked } from '../work/parked/find';
import { drop, replay, type Failed } from '../work/parked/replay';
import { OriginalGoneError, readOriginal } from '../work/parked/stub';
import { findQueues } from './names';
import { readNote } from '../work/parked/note';
import { findParked, parkedView } from './parked';
import { NotParked, UnknownName, type InspectorParts, type MessageFilter, type ParkedView } from './types';

/** Which of the parked messages; all that is given must hold. */
export interface Which extends MessageFilter {
  /** Ids, or what only one id begins with. */
  readonly ids?: readonly string[];
  /** Part of the reason, in any case of letters. */
  readonly reasonLike?: string;
}

/** What a change will touch, without its bodies. */
export interface Chosen {
  readonly queue: string;
  readonly messages: readonly ChosenMessage[];
  /** Queues that get a replayed event too, since it is told again. */
  readonly alsoIn: readonly string[];
}
export interface ChosenMessage {
  readonly id: string;
  readonly entry: string;
  readonly reason: string;
  readonly parkedAtMs: number;
  /** How often it was replayed before. */
  readonly replay: number;
  /** The parked topic, and where in it. */
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  /** Topic, partition and offset that it came from. */
  readonly origin: readonly [string, number, number];
}

/**
 * What is parked in `queue` and meant by `which`, in the order of the log it came from. Throws NotParked for an id
 * that is not parked there, UnknownName for one that several begin with.
 */
export async function choose(parts: InspectorParts, queue: string, which: Which): Promise<Chosen> {
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

/** By where they came from, so that messages of one key go in the order in which they were sent. */
function inOrder({ origin: one }: ChosenMessage, { origin: other }: ChosenMessage): number {
  if (one[0] !== other[0]) return one[0] < other[0] ? -1 : 1;
  return one[1] - other[1] || one[2] - other[2];
}

function checkIds(queue: string, ids: readonly string[], found: readonly ChosenMessage[]): void {
  for (const start of ids) {
    const meant = new Set(found.map(({ id }) => id).filter((id) => id.startsWith(start)));
    if (meant.size === 0) throw new NotParked(queue, start);
    if (meant.size > 1 && !meant.has(start)) {
      throw new UnknownName('single parked message', start, [], `: ${meant.size} ids begin so, give more of it`);
    }
  }
}

/** A replayed event is an event told once more: every named listener of the entry hears it. */
async function alsoIn(parts: InspectorParts, queue: string, entries: ReadonlySet<string>): Promise<readonly string[]> {
  const queues = await findQueues(parts.log, parts.ns);
  const others = [...queues.values()].filter((one) => one.queue !== queue && one.kind === 'listener');
  return others
    .filter(({ sources }) => sources.some(({ entry }) => entry !== null && entries.has(entry)))
    .map((one) => one.queue);
}

const batchSize = 100;

export interface MendOptions {
  /** Stops between two batches: what was done is done, and the rest is as it was. */
  readonly signal: AbortSignal;
  /** Called with the messages of a batch when they are done. */
  readonly done?: (messages: readonly ChosenMessage[]) => void;
  /**
   * Called for a message that stays parked because it cannot be replayed, with the reason; the others go on. Default:
   * the call rejects with the first such error after its batch.
   */
  readonly failed?: (message: ChosenMessage, error: unknown) => void;
}

/**
 * Sends them again under their ids, and takes each from the parked ones. Gives how many went; fewer when it was
 * stopped, or when others took some meanwhile. Rejects with Unreachable when the log does not answer: what was not
 * reported as done may have been sent, and is still parked.
 */
export function replayChosen(parts: InspectorParts, chosen: Chosen, options: MendOptions): Promise<number> {
  return inBatches(parts, chosen, options, (batch, failed) =>
    replay({ ...parts, instance: parts.bus.self.instance }, batch, failed),
  );
}

/** Takes them from the parked ones for good. Otherwise as {@link replayChosen}. */
export function dropChosen(parts: InspectorParts, chosen: Chosen, options: MendOptions): Promise<number> {
  return inBatches(parts, chosen, options, (batch) => drop({ ...parts, instance: parts.bus.self.instance }, batch));
}

async function inBatches(
  parts: InspectorParts,
  { queue, messages }: Chosen,
  { signal, done, failed }: MendOptions,
  run: (batch: readonly Parked[], failed?: Failed) => Promise<number>,
): Promise<number> {
  let count = 0;
  for (let at = 0; at < messages.length && !signal.aborted; at += batchSize) {
    const batch = messages.slice(at, at + batchSize);
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

/** The chosen messages as they are now, with their bodies; without those that others took meanwhile. */
export async function* readChosen(parts: InspectorParts, { queue, messages }: Chosen): AsyncGenerator<Exported> {
  for (let at = 0; at < messages.length; at += batchSize) {
    for (const { parked } of await stillParked(parts, queue, messages.slice(at, at + batchSize))) {
      yield { view: parkedView(parked), record: await asWhole(parts, parked) };
    }
  }
}
/**
 * What is kept of a message that is dropped: enough to read it, and to send it again byte for byte. Of a stub whose
 * original is gone only the first bytes are known.
 */
export interface Exported {
  readonly view: ParkedView;
  readonly record: Parked['record'];
}

/** The record with the bytes of the whole message, also of a stub whose original is still in its log. */
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
