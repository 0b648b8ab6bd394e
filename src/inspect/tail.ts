/** Follows several topics live, including topics that are created in the meantime. */
import { sleep } from '../base/clock';
import { OutOfRangeError, type Stored, type Tail } from '../ports/log';
import { fits, readEnvelopeAndBody, viewOf, type DecodedMessage } from './message';
import type { InspectorParts, MessageFilter, MessageView } from './types';

export interface TailWhat {
  /** Returns the topics to follow. It is called again every second, and new topics are read from their start. */
  topics(): Promise<readonly string[]>;
  /** Returns true for a message of these topics that must be yielded. */
  wanted(decoded: DecodedMessage): boolean;
  readonly filter: MessageFilter;
  /** Ends the iteration when it aborts. */
  readonly signal: AbortSignal;
  /** Called with a description when messages were deleted before they could be read. */
  missed(what: string): void;
}

const lookMs = 1_000;
const batch = { messages: 256, bytes: 1024 * 1024 };

/**
 * Yields messages as they are appended. With `filter.sinceMs`, it starts with the records from that time; otherwise it
 * starts with the next one.
 */
export async function* follow(parts: InspectorParts, what: TailWhat): AsyncGenerator<MessageView> {
  const { filter, signal } = what;
  const tails = new Map<string, Tail>();
  const reading = new Map<string, Promise<Batch>>();
  const aborted = new Promise<'end'>((resolve) => {
    if (signal.aborted) resolve('end');
    signal.addEventListener('abort', () => resolve('end'), { once: true });
  });
  let from: 'start' | 'end' = filter.sinceMs === undefined ? 'end' : 'start';
  let look: Promise<'look'> | undefined;
  try {
    for (;;) {
      if (!look) {
        for (const topic of await what.topics()) {
          if (tails.has(topic)) continue;
          const tail = await parts.log.tail(topic, from);
          tails.set(topic, tail);
          reading.set(topic, readOf(topic, tail));
        }
        from = 'start';
        look = sleep(parts.clock, lookMs, signal).then(() => 'look' as const);
      }
      const next = await Promise.race([aborted, look, ...reading.values()]);
      if (next === 'end') return;
      if (next === 'look') {
        look = undefined;
        continue;
      }
      const tail = tails.get(next.topic);
      if (tail) reading.set(next.topic, readOf(next.topic, tail));
      if (next.gap) what.missed(next.gap.message);
      for (const record of next.records) {
        const decoded = readEnvelopeAndBody(next.topic, record);
        if (what.wanted(decoded) && fits(decoded, filter)) yield viewOf(decoded);
      }
    }
  } finally {
    await Promise.all([...tails.values()].map((tail) => tail.close()));
  }
}

interface Batch {
  readonly topic: string;
  readonly records: readonly Stored[];
  readonly gap: OutOfRangeError | undefined;
}

async function readOf(topic: string, tail: Tail): Promise<Batch> {
  try {
    return { topic, records: await tail.read(batch), gap: undefined };
  } catch (error) {
    if (error instanceof OutOfRangeError) return { topic, records: [], gap: error };
    throw error;
  }
}
