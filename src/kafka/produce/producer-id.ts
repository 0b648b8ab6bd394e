/**
 * Producer ids and sequence numbers, by which the broker writes each batch once, however often it is sent.
 *
 * A lane has one batch on its way and sends it unchanged until its outcome is known. So at each send the sequence is
 * the number of records that the broker has acknowledged under this id and epoch. If a copy was written before, the
 * broker answers with the place of that copy. A copy behind later batches, or after a higher epoch, is refused.
 */
import { sleep } from '../../base/clock';
import { sayError } from '../../base/errors';
import { WireError } from '../protocol/errors';
import { pauseMs, type View } from '../cluster/metadata';
import type { ProducerState } from '../protocol/types';

const epochMax = 32_767;
const sequencesPerEpoch = 2 ** 31;
const retryPauseMsMax = 1_000;

/** Follows `state` when its batch of `records` records was written. */
export function written(state: ProducerState, records: number): ProducerState {
  return { ...state, sequence: (state.sequence + records) % sequencesPerEpoch };
}

/**
 * Follows `state` when a batch that was sent is given up or divided, and when the broker's count differs from ours. So
 * an epoch and a sequence never stand for two batches: the broker would take the second one for a copy of the first.
 */
export function nextEpoch({ id, epoch }: ProducerState): ProducerState {
  return { id, epoch: epoch + 1, sequence: 0 };
}

/** The broker refused a batch because of its id, epoch or sequence, so it did not write this copy. */
export const isSequenceError = ({ code }: WireError): boolean => sequenceErrors.has(code);
const sequenceErrors: ReadonlySet<string> = new Set([
  'OUT_OF_ORDER_SEQUENCE_NUMBER',
  'INVALID_PRODUCER_EPOCH',
  'UNKNOWN_PRODUCER_ID',
]);

export interface ProducerIdParts {
  readonly view: View;
  /** Called when there is an id. */
  readonly ready: () => void;
  /** Called when the brokers refuse one until a person changes rights or settings. */
  readonly refused: (error: WireError) => void;
  readonly closing: AbortSignal;
}

/** The producer id of one sender, requested when the first batch is to be sent. */
export class ProducerId {
  #id: number | undefined;
  #requesting = false;
  /** Why there is none yet, as far as known. */
  failure: string | undefined;

  constructor(private readonly parts: ProducerIdParts) {}

  /**
   * The state with which a lane sends: `state`, or the first one of an id if it has none or has used up all epochs of
   * its id. Undefined while there is no id, which is then requested.
   */
  stateFor(state: ProducerState | undefined): ProducerState | undefined {
    if (state && state.epoch <= epochMax) return state;
    if (state && state.id === this.#id) this.#id = undefined;
    if (this.#id !== undefined) return { id: this.#id, epoch: 0, sequence: 0 };
    void this.#request();
    return undefined;
  }

  async #request(): Promise<void> {
    if (this.#requesting) return;
    this.#requesting = true;
    const { view, ready, refused, closing } = this.parts;
    let fatal: WireError | undefined;
    for (let tries = 0; this.#id === undefined && !fatal && !closing.aborted; tries++) {
      try {
        this.#id = await view.parts.wire.initProducerId();
      } catch (error) {
        this.failure = sayError(error);
        if (error instanceof WireError && error.fatal) fatal = error;
        else await sleep(view.parts.clock, pauseMs(view.parts.random, tries, retryPauseMsMax), closing);
      }
    }
    this.#requesting = false;
    if (closing.aborted) return;
    if (fatal) return refused(fatal);
    this.failure = undefined;
    ready();
  }
}
