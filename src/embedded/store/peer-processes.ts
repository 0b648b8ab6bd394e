/** What the log needs of the other processes on this machine: whether they live, and a doorbell to each of them. */

/** Made of embedded/liveness and embedded/post; a fake in the tests of the log. */
export interface Neighbours {
  /** Where others ring this process: written into the shared files, opaque. */
  readonly address: string;
  /** Cheap. False only when the process at `address` is surely dead; a kill -9 shows within a second. */
  alive(address: string): boolean;
  /** Says 'something is new in `topic`' to each address; best effort. `group:<name>` stands for a change in a group. */
  ring(addresses: readonly string[], topic: string): void;
  /** Calls `hear` for each ring that arrives, until the function given back is called. */
  onRing(hear: (topic: string) => void): () => void;
}
