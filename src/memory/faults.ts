/** The script of what goes wrong: asked before every port call of every simulated process. */

/** A port call that is about to be made. */
export interface Operation {
  /** The process that makes it. */
  readonly process: string;
  readonly port: 'log' | 'post' | 'registry' | 'settings';
  /** The method, with `read` for both tails and owned partitions, and `release` for the end of an `Owner.give`. */
  readonly call: string;
  /** The topic, the module of a broadcast, or the address of a send. */
  readonly topic?: string;
  /** Which call of this method by this process it is, counted from 1. */
  readonly n: number;
}

/**
 * What happens to a call:
 * - `drop`: it never arrives; the caller gets Unreachable, a sent packet is lost in silence.
 * - `double`: it arrives twice, as a resend does.
 * - `disconnect`: a send is lost and the sender told `gone` though the receiver lives; any other call is lost and the
 *   process loses its session: partitions and announcement go, then it joins and announces itself again.
 * - `crash-before`, `crash-after`: the process ends before or after the effect.
 * - `delayMs`: it arrives that much later; calls behind it whose order is promised wait for it.
 * - `error`: the caller gets this error, and the effect happened (`done`) or did not.
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
