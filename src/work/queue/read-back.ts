/** Reads records with chosen ids that an earlier owner of the partition has read, to recognize their copies. */
import { limits } from '../../base/limits';
import { clockSlackMs, type ChosenId } from '../../delivery/id-window';
import type { Log, Place, Stored } from '../../ports/log';
import { envelopeOf } from '../message';
import type { ChosenRange } from '../progress/commit-state';
import type { Progress } from '../progress/progress';
import { firstSince } from '../progress/search';
import { recallSenders, type KnownSenders } from './sender-recall';
import type { ConsumerParts, Queue } from '../types';

/** Records of one read. Its bytes are few, since the digests of a read are computed in one turn of the event loop. */
const chunk = { messages: 500, bytes: 1024 * 1024 };
/** Time by which the clock of this machine can be ahead of the clock of the log. */
const clockSkewMsMax = 600_000;

/**
 * Returns the lowest offset that the id window of an owner needs which begins at `offset`. Returns `offset` when it
 * needs none, which is usual: reading back costs nothing without chosen ids. Rejects as `peek` does.
 */
export async function windowStart(
  log: Pick<Log, 'peek'>,
  topic: string,
  { partition, offset }: Place,
  { from, newest }: ChosenRange,
  nowMs: number,
): Promise<number> {
  const low = Math.max(from, offset - limits.idWindowRecords);
  const high = Math.min(offset, newest.offset + 1);
  if (low >= high) return offset;
  const [next] = await log.peek(topic, { partition, offset }, { messages: 1, bytes: 1 });
  const sinceMs = (next?.timeMs ?? nowMs - clockSkewMsMax) - limits.idWindowMs - clockSlackMs;
  if (newest.offset < offset && newest.timeMs < sinceMs) return offset;
  return firstSince(log, { topic, partition }, { low, high }, sinceMs);
}

type ReadIds = (signal: AbortSignal) => Promise<void>;
/** Returns what a reader calls before its first record, and before it admits records, to know what was read before. */
export function lookBack(
  { take, queue }: { readonly take: Pick<ConsumerParts, 'log' | 'clock'>; readonly queue: Queue },
  partition: number,
  begin: Progress,
  state: IdRecall & KnownSenders,
): { readonly prepare: ReadIds | undefined; readonly recall: ReturnType<typeof recallSenders> } {
  return {
    prepare: readBack(take, queue, partition, begin, state),
    recall: recallSenders(take, queue, partition, begin, state),
  };
}
interface IdRecall {
  recallId(record: Stored, chosen: ChosenId): void;
}

/**
 * Returns a function that reads back. It rejects as `peek` does, and continues when it is called again. It ends early
 * when `signal` aborts. Returns undefined when the group has read no chosen id.
 */
export function readBack(
  { log, clock }: Pick<ConsumerParts, 'log' | 'clock'>,
  queue: Queue,
  partition: number,
  { offset: end, state: { chosen } }: Progress,
  ids: IdRecall,
): ReadIds | undefined {
  if (!chosen) return undefined;
  const topic = queue.topic.name;
  const stop = Math.min(end, chosen.newest.offset + 1);
  let next: number | undefined;
  return async (signal) => {
    next ??= await windowStart(log, topic, { partition, offset: end }, chosen, clock.now());
    while (next < stop && !signal.aborted) {
      const records = await log.peek(topic, { partition, offset: next }, chunk);
      for (const record of records) {
        if (record.offset >= stop) return;
        const id = chosenIdOf(queue, record, envelopeOf(record));
        if (id) ids.recallId(record, id);
        next = record.offset + 1;
      }
      if (records.length === 0) return;
    }
  };
}

/** Returns the entry and id of a record whose chosen id counts in this queue. */
export function chosenIdOf(
  queue: Queue,
  { value }: Pick<Stored, 'value'>,
  envelope: ReturnType<typeof envelopeOf>,
): ChosenId | undefined {
  if (value === null || !envelope || !('once' in envelope) || !envelope.once) return undefined;
  return queue.other === 'hold' || queue.entries.has(envelope.entry) ? envelope : undefined;
}
