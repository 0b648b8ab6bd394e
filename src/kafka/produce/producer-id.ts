/** Manages producer ids and sequence numbers, by which the broker writes each batch once even if it arrives twice. */
// A partition has one batch in flight, which is sent unchanged until its outcome is known. So the sequence number of
// each send is the number of records that the broker has acknowledged under this id and epoch. If a copy was written
// before, the broker returns the offset of that copy. It rejects a copy that arrives after later batches, or after a
// higher epoch.
import { sleep } from '../../base/clock';
import { errorMessage } from '../../base/errors';
import { KafkaError } from '../protocol/errors';
import type { ClusterMetadata } from '../cluster/metadata';
import { pauseMs } from '../cluster/retry';
import type { ProducerState } from '../protocol/types';

const epochMax = 32_767;
const sequencesPerEpoch = 2 ** 31;
const retryPauseMsMax = 1_000;

/** Returns the state that follows `state` when its batch of `records` records was written. */
export function written(state: ProducerState, records: number): ProducerState {
  return { ...state, sequence: (state.sequence + records) % sequencesPerEpoch };
}

/**
 * Returns the state that follows `state` after a sent batch was given up or divided, or after a sequence error. So an
 * epoch and a sequence number never identify two batches. Otherwise the broker would treat the second batch as a copy
 * of the first.
 */
export function nextEpoch({ id, epoch }: ProducerState): ProducerState {
  return { id, epoch: epoch + 1, sequence: 0 };
}

/**
 * Returns true if the broker rejected a batch because of its id, epoch or sequence number, so this copy was not
 * written.
 */
export const isSequenceError = ({ code }: KafkaError): boolean => sequenceErrors.has(code);
const sequenceErrors: ReadonlySet<string> = new Set([
  'OUT_OF_ORDER_SEQUENCE_NUMBER',
  'INVALID_PRODUCER_EPOCH',
  'UNKNOWN_PRODUCER_ID',
]);

export interface ProducerIdParts {
  readonly metadata: ClusterMetadata;
  /** Called when an id is available. */
  readonly ready: () => void;
  /** Called when the brokers refuse an id until an operator changes permissions or settings. */
  readonly refused: (error: KafkaError) => void;
  readonly closing: AbortSignal;
}

/** Producer id of one producer, requested on first use. */
export class ProducerId {
  #id: number | undefined;
  #requesting = false;
  /** Text of the last error of a request for an id. Undefined if an id is available or no request has failed. */
  failure: string | undefined;

  constructor(private readonly parts: ProducerIdParts) {}

  /**
   * Returns the state with which a partition sends. It is `state`, or the first state of an id if the partition has
   * none or has used all epochs. Returns undefined while no id is available, and requests one.
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
    const { metadata, ready, refused, closing } = this.parts;
    let fatal: KafkaError | undefined;
    for (let tries = 0; this.#id === undefined && !fatal && !closing.aborted; tries++) {
      try {
        this.#id = await metadata.parts.client.initProducerId();
      } catch (error) {
        this.failure = errorMessage(error);
        if (error instanceof KafkaError && error.fatal) fatal = error;
        else await sleep(metadata.parts.clock, pauseMs(metadata.parts.random, tries, retryPauseMsMax), closing);
      }
    }
    this.#requesting = false;
    if (closing.aborted) return;
    if (fatal) return refused(fatal);
    this.failure = undefined;
    ready();
  }
}
