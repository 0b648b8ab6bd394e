/** Contract and reports of the processes that send and receive numbered jobs. */
import { z } from 'zod';
import { defineModule, work } from '../../src/index';

/** Any view of bytes, also of shared memory. */
export const Bytes = z.custom<Uint8Array>((value) => value instanceof Uint8Array);

export const store = defineModule('store', {
  keep: work(z.object({ key: z.string(), n: z.number(), bytes: Bytes }), { key: ({ key }) => key }),
});

/** Jobs that a sender submits. */
export interface Load {
  readonly messages: number;
  /** Size of each value. */
  readonly bytes: number;
  readonly keys: number;
  /** Number of calls in flight. */
  readonly outstanding: number;
}
/** Report of a sender. */
export interface Sent {
  readonly accepted: number;
  /** The first errors. */
  readonly rejected: readonly string[];
  readonly totalMs: number;
  /** The longest call. */
  readonly maxMs: number;
  /** Longest durations of the disk and of the event loop meanwhile. */
  readonly probed: { readonly diskMs: number; readonly loopMs: number; readonly processorMs: number };
  readonly startBytes: number;
  readonly peakBytes: number;
}
/** Report of a receiver. */
export interface Received {
  readonly count: number;
  readonly bytes: number;
  readonly repeated: number;
  /** Jobs that arrived before another one of their key that was sent earlier. */
  readonly outOfOrder: number;
}
