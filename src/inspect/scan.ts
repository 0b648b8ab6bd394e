/** Reads partitions side by side, oldest record first, within a bound. */
import type { Log } from '../ports/log';
import { isWithin, type Span } from './backlog';
import { letterOf, type Letter } from './message';
import { StoppedEarly } from './types';

/** What may still be read; shared by the readings of one call. */
export interface Budget {
  left: number;
  readonly of: number;
}
export const budgetOf = (records: number): Budget => ({ left: records, of: records });

/** At most so much of each partition is in memory. */
const chunk = { messages: 256, bytes: 1024 * 1024 };

/**
 * The records of all spans, in order per partition; between partitions by the time the log took them.
 * Throws StoppedEarly when the budget is spent and there is more.
 */
export async function* scan<S extends Span>(
  log: Log,
  spans: readonly S[],
  budget: Budget,
): AsyncGenerator<readonly [Letter, S]> {
  const readers = spans.filter(({ from, end }) => from < end).map((span) => new SpanReader(log, span, budget));
  await Promise.all(readers.map((reader) => reader.fill()));
  for (;;) {
    const first = oldest(readers);
    const letter = first?.take();
    if (!first || !letter) return;
    yield [letter, first.span];
    await first.fill();
  }
}

function oldest<S extends Span>(readers: readonly SpanReader<S>[]): SpanReader<S> | undefined {
  let first: SpanReader<S> | undefined;
  for (const reader of readers) if (reader.headMs < (first?.headMs ?? Infinity)) first = reader;
  return first;
}

class SpanReader<S extends Span> {
  #letters: Letter[] = [];
  #at = 0;
  #next: number;

  constructor(
    private readonly log: Log,
    readonly span: S,
    private readonly budget: Budget,
  ) {
    this.#next = span.from;
  }

  /** When the next record was taken by the log; Infinity when there is none. */
  get headMs(): number {
    return this.#letters[this.#at]?.record.timeMs ?? Infinity;
  }

  take(): Letter | undefined {
    return this.#letters[this.#at++];
  }

  /** Reads on when nothing is left in memory. */
  async fill(): Promise<void> {
    const { topic, partition, end } = this.span;
    while (this.#at >= this.#letters.length && this.#next < end) {
      if (this.budget.left <= 0) throw new StoppedEarly(this.budget.of);
      this.#skip();
      const most = Math.min(chunk.messages, this.budget.left); // the others read at the same time
      this.budget.left -= most;
      const max = { messages: most, bytes: chunk.bytes };
      const records = await this.log.peek(topic, { partition, offset: this.#next }, max);
      this.budget.left += most - records.length;
      const last = records.at(-1);
      this.#next = last && last.offset < end ? last.offset + 1 : end;
      this.#letters = records.filter(({ offset }) => isWithin(this.span, offset)).map((one) => letterOf(topic, one));
      this.#at = 0;
    }
  }

  /** What is settled in one piece need not be read. */
  #skip(): void {
    const range = this.span.without.find(({ from, to }) => this.#next >= from && this.#next < to);
    if (range) this.#next = Math.min(range.to, this.span.end);
  }
}
