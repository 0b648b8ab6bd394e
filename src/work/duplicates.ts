/** Drops what a sender's log holds twice: each record carries its sender's incarnation and a position that only rises. */

export interface Filter {
  /** Whether the record is not a repetition. Notes its position; `timeMs` is the log's time of the record. */
  fresh(incarnation: string, position: number, timeMs: number): boolean;
  /** Newest first. */
  senders(): readonly SenderPlace[];
  restore(senders: readonly SenderPlace[]): void;
}
/** How far a sender was heard on this partition, and when last. */
export interface SenderPlace {
  readonly incarnation: string;
  readonly position: number;
  readonly timeMs: number;
}
