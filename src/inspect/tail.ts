/** Follows several topics live, those too that appear meanwhile. */
import { sleep } from '../base/clock';
import { OutOfRangeError, type Stored, type Tail } from '../ports/log';
import { fits, letterOf, viewOf, type Letter } from './message';
import type { InspectorParts, MessageFilter, MessageView } from './types';

export interface TailWhat {
  /** Topics to follow, asked again every second: new ones are read from their start. */
  topics(): Promise<readonly string[]>;
  /** Whether a message of these topics is wanted. */
  wanted(letter: Letter): boolean;
  readonly filter: MessageFilter;
  /** Ends the following. */
  readonly signal: AbortSignal;
  /** Messages that were gone before they could be read. */
  missed(what: string): void;
}

const lookMs = 1_000;
const batch = { messages: 256, bytes: 1024 * 1024 };

/** With `filter.sinceMs` it begins with what the logs have from then on, else with the next message. */
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
        const letter = letterOf(next.topic, record);
        if (what.wanted(letter) && fits(letter, filter)) yield viewOf(letter);
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
