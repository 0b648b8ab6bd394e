/** State of the producers of one partition at its leader, by Kafka's rules for idempotent producers. */
import type { ProducerState } from '../../src/kafka/protocol/types';

export interface WrittenBatch {
  readonly epoch: number;
  readonly sequence: number;
  readonly count: number;
  readonly offset: number;
  readonly timeMs: number;
}
interface Known {
  epoch: number;
  batches: WrittenBatch[];
}
const recognizedMax = 5;

export class FakeProducers {
  readonly #known = new Map<number, Known>();

  /** Returns undefined for a batch to write. Batches from `end` on were lost with the log. */
  check(
    { id, epoch, sequence }: ProducerState,
    count: number,
    end: number,
    oldestMs: number,
  ): { readonly copyOf: WrittenBatch } | { readonly error: string } | undefined {
    const known = this.#known.get(id);
    const batches = known?.batches.filter((batch) => batch.offset < end) ?? [];
    if (known) known.batches = batches;
    const last = batches.at(-1);
    if (!known || (last && last.timeMs < oldestMs)) {
      this.#known.delete(id); // it has expired, so that any sequence is accepted
      return undefined;
    }
    if (epoch < known.epoch) return { error: 'INVALID_PRODUCER_EPOCH' };
    const isCopy = (batch: WrittenBatch): boolean =>
      batch.epoch === epoch && batch.sequence === sequence && batch.count === count;
    const copyOf = batches.slice(-recognizedMax).find(isCopy);
    if (copyOf) return { copyOf };
    const expected = epoch === last?.epoch ? last.sequence + last.count : 0;
    return sequence === expected ? undefined : { error: 'OUT_OF_ORDER_SEQUENCE_NUMBER' };
  }

  written({ id, epoch, sequence }: ProducerState, count: number, offset: number, timeMs: number): void {
    const known = this.#known.get(id) ?? { epoch, batches: [] };
    known.epoch = epoch;
    known.batches.push({ epoch, sequence, count, offset, timeMs });
    this.#known.set(id, known);
  }
}
