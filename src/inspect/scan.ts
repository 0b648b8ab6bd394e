/** Reads several partitions in parallel and merges them by time, up to a limit of records. */
import type { Log } from '../ports/log';
import { isWithin, type Span } from './backlog';
import { readEnvelopeAndBody, type DecodedMessage } from './message';
import { StoppedEarly } from './types';

/** The number of records that can still be read. All reads of one call share it. */
export interface Budget {
  left: number;
  readonly of: number;
}
export const budgetOf = (records: number): Budget => ({ left: records, of: records });

/** Maximum read from one partition at a time, which bounds memory. */
const chunk = { messages: 256, bytes: 1024 * 1024 };

/**
 * Yields the records of all spans: in offset order within a partition, and by append time across partitions. Throws
 * StoppedEarly when the budget is used up and unread records remain.
 */
export async function* scan<S extends Span>(
  log: Log,
  spans: readonly S[],
  budget: Budget,
): AsyncGenerator<readonly [DecodedMessage, S]> {
  const readers = spans.filter(({ from, end }) => from < end).map((span) => new SpanReader(log, span, budget));
  await Promise.all(readers.map((reader) => reader.fill()));
  for (;;) {
    const first = oldest(readers);
    const decoded = first?.take();
    if (!first || !decoded) return;
    yield [decoded, first.span];
    await first.fill();
  }
}

function oldest<S extends Span>(readers: readonly SpanReader<S>[]): SpanReader<S> | undefined {
  let first: SpanReader<S> | undefined;
  for (const reader of readers) if (reader.headMs < (first?.headMs ?? Infinity)) first = reader;
  return first;
}

class SpanReader<S extends Span> {
  #decoded: DecodedMessage[] = [];
  #at = 0;
  #next: number;

  constructor(
    private readonly log: Log,
    readonly span: S,
    private readonly budget: Budget,
  ) {
    this.#next = span.from;
  }

  /** Append time of the next record; Infinity when there is none. */
  get headMs(): number {
    return this.#decoded[this.#at]?.record.timeMs ?? Infinity;
  }

  take(): DecodedMessage | undefined {
    return this.#decoded[this.#at++];
  }

  /** Reads the next chunk when no record is left in memory. */
  async fill(): Promise<void> {
    const { topic, partition, end } = this.span;
    while (this.#at >= this.#decoded.length && this.#next < end) {
      if (this.budget.left <= 0) throw new StoppedEarly(this.budget.of);
      this.#skip();
      const most = Math.min(chunk.messages, this.budget.left); // other readers draw on the budget at the same time
      this.budget.left -= most;
      const max = { messages: most, bytes: chunk.bytes };
      const records = await this.log.peek(topic, { partition, offset: this.#next }, max);
      this.budget.left += most - records.length;
      const last = records.at(-1);
      this.#next = last && last.offset < end ? last.offset + 1 : end;
      this.#decoded = records
        .filter(({ offset }) => isWithin(this.span, offset))
        .map((one) => readEnvelopeAndBody(topic, one));
      this.#at = 0;
    }
  }

  /** Skips a settled range at the current offset, so that it is not read. */
  #skip(): void {
    const range = this.span.without.find(({ from, to }) => this.#next >= from && this.#next < to);
    if (range) this.#next = Math.min(range.to, this.span.end);
  }
}
