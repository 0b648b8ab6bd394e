/** The messages of an entry at their senders and at the instances that handle them, as an inspector returns them. */
import type { Spread } from '../delivery/durations';
import type { OutgoingCounts } from '../delivery/outgoing';

/** Messages of an entry within the last minute. */
export interface EntryView {
  readonly entry: string;
  readonly kind: OutgoingCounts['kind'];
  /** Instances that sent messages of the entry, with the outcomes. The ones with the most errors come first. */
  readonly senders: readonly SenderView[];
  /** Number of running instances that serve its module. */
  readonly responders: number;
  /** Requests that are being handled, and the maximum, of all instances; 0 for other kinds. */
  readonly running: number;
  readonly limit: number;
  /** Messages that instances received in a second. */
  readonly inPerSecond: number;
  /** Requests that instances refused because too many waited or the entry is paused. */
  readonly refused: number;
  readonly handlerMs: Spread | null;
  readonly queueMs: Spread | null;
}
/** Outcomes of the messages that one instance sent. */
export interface SenderView extends OutgoingCounts {
  readonly instance: string;
}
