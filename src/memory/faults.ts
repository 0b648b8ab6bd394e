/** Defines the fault script of a simulation, which is consulted before every port call of every simulated process. */

/** A port call that is about to be made. */
export interface Operation {
  /** Process that makes the call. */
  readonly process: string;
  readonly port: 'log' | 'messenger' | 'registry' | 'settings';
  /**
   * Method of the port. `read` stands for tails and owned partitions, and `release` for the end of `Owner.onRevoked`.
   */
  readonly call: string;
  /** Topic, module of a broadcast, or address of a send. */
  readonly topic?: string;
  /** Number of this call among the process's calls of the method, counted from 1. */
  readonly n: number;
}

/**
 * Fault of a port call:
 * - `drop`: the call never arrives. The caller gets Unreachable; a sent packet is lost without an error.
 * - `double`: the call arrives twice, as after a resend.
 * - `disconnect`: a send is lost and the sender is notified with `left`, although the receiver is running. Any other
 *   call is lost, and the process loses its session with its partitions and announcement. It then rejoins and
 *   announces itself again.
 * - `crash-before`, `crash-after`: the process ends before or after the effect.
 * - `delayMs`: the call arrives later by this time. Later calls that must stay in order wait for it.
 * - `error`: the caller gets this error. `done` states whether the effect happened.
 */
export type Fault =
  | 'drop'
  | 'double'
  | 'disconnect'
  | 'crash-before'
  | 'crash-after'
  | { readonly delayMs: number }
  | { readonly error: Error; readonly done: boolean };

export type FaultScript = (operation: Operation) => Fault | undefined;

export function delayOf(fault: Fault | undefined): number {
  return typeof fault === 'object' && 'delayMs' in fault ? fault.delayMs : 0;
}
export function errorOf(fault: Fault | undefined): { readonly error: Error; readonly done: boolean } | undefined {
  return typeof fault === 'object' && 'error' in fault ? fault : undefined;
}
