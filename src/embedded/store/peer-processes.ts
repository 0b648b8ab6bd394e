/**
 * Declares the functions that the log needs from the other processes of this machine: liveness, and a doorbell to each
 * of them.
 */

/** Access to the other processes. The doorbells implement it; the tests of the log use a fake. */
export interface PeerProcesses {
  /** Opaque address at which other processes ring this one. It is written into the shared files. */
  readonly address: string;
  /**
   * Returns false only when the process at `address` is certainly dead. It is cheap. A kill -9 is detected within a
   * second.
   */
  alive(address: string): boolean;
  /** Notifies each address that `topic` has changed; best effort. `group:<name>` stands for a change in a group. */
  ring(addresses: readonly string[], topic: string): void;
  /** Calls `listener` for each ring that arrives, until the returned function is called. */
  onRing(listener: (topic: string) => void): () => void;
}
