/**
 * Tracks the condition of one open store: the fault that prevents reads or writes, and whether it can end by itself.
 */
import { BusError, type SendOutcome } from '../base/errors';
import type { FileFault } from './files';

/** Reason why a store does not work. */
export interface StoreFault {
  readonly reason: string;
  /** True if nothing in this process can repair it. */
  readonly final: boolean;
}
type Listener = (fault: StoreFault | undefined) => void;

export class Condition {
  private readonly listeners = new Set<Listener>();
  /** Reason why nothing can be written or read, permanently. */
  private broken: string | undefined;
  private file: FileFault | undefined;
  /** Reason that can end by itself: a full disk, or a write lock that another process holds. */
  private passing: string | undefined;
  private reported: StoreFault | undefined;

  constructor(private readonly path: string) {}

  /**
   * Calls `listener` at each change, until the returned function is called. Calls it immediately if there is a fault,
   * since a handle on an environment that already failed would otherwise count as working.
   */
  onChange(listener: Listener): () => void {
    this.listeners.add(listener);
    const { fault } = this;
    if (fault !== undefined) listener(fault);
    return () => void this.listeners.delete(listener);
  }

  get fault(): StoreFault | undefined {
    const final = this.finalReason;
    if (final !== undefined) return { reason: final, final: true };
    const reason = this.passing ?? this.file?.reason;
    return reason === undefined ? undefined : { reason, final: false };
  }
  private get finalReason(): string | undefined {
    return this.broken ?? (this.file?.kind === 'gone' ? this.file.reason : undefined);
  }

  /** Stops all reads and writes in this process: the files are damaged, or the outcome of a write is unknown. */
  break(cause: string): void {
    this.broken ??= cause;
    this.report();
  }
  setFile(fault: FileFault | undefined): void {
    this.file = fault;
    this.report();
  }
  setPassing(reason: string | undefined): void {
    this.passing = reason;
    this.report();
  }

  /** Throws StoreBroken when nothing can be written or read. */
  check(outcome: SendOutcome = 'not-sent'): void {
    const reason = this.finalReason;
    if (reason === undefined) return;
    const message = `${this.path} cannot be used before a restart of this process: ${reason}`;
    throw new BusError('StoreBroken', message, { outcome, path: this.path, cause: reason });
  }

  private report(): void {
    const { fault, reported } = this;
    if (fault?.reason === reported?.reason && fault?.final === reported?.final) return;
    this.reported = fault;
    for (const listener of this.listeners) listener(fault);
  }
}
