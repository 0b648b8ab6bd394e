/** The bounds that are not options, each with its reason. */

export const limits = {
  /**
   * Largest body a message may have unless an option says less: below Kafka's default of 1,048,588 with room for our
   * envelope.
   */
  messageBytesMax: 1_000_000,
  /** Longest envelope line; longer ones are refused at the sender and dropped at the receiver. */
  envelopeBytesMax: 8_192,
  /** Levels of a body unless the option bodyDepthMax sets another number. */
  bodyDepthMax: 100,
  /** The most that bodyDepthMax can be. Reading and writing keep their own stack, so it costs memory only. */
  bodyDepthMost: 10_000,
  /**
   * Items of a body, counting each element, key and value: 1 MB of one-byte items is a 64-fold amplification in memory.
   */
  bodyItemsMax: 100_000,
  /** Requests of one instance without an answer; beyond it Overloaded. */
  pendingRequestsMax: 65_536,
  /** Bytes of the bodies of those; beyond it Overloaded. */
  pendingBytesMax: 256 * 1024 * 1024,
  /** Requests waiting in one instance for a free handler; beyond it Overloaded. */
  waitingRequestsMax: 10_000,
  /** Bytes of the requests of one entry that wait in one instance; beyond it Overloaded. */
  waitingBytesMax: 64 * 1024 * 1024,
  /** Messages of one partition held in memory. */
  bufferMessagesMax: 10_000,
  /** Bytes of one partition held in memory. */
  bufferBytesMax: 64 * 1024 * 1024,
  /** Bytes of messages that an instance holds in memory, of all partitions of its queues together. */
  instanceBufferBytesMax: 256 * 1024 * 1024,
  /** Bytes that each partition can hold although others have used these up, so that it is read all the same. */
  partitionReserveBytes: 1024 * 1024,
  /** Events of one module older than `keepMs` that wait for named listeners, in bytes; beyond it the oldest go. */
  heldEventBytesMax: 1024 * 1024 * 1024,
  /** Settled ranges that a commit may carry above the watermark; at the bound the partition waits. */
  openRangesMax: 700,
  /** Messages for one topic that an instance is sending. Beyond it Overloaded; TooLarge for a list that is longer. */
  sendingMax: 100_000,
  /** Bytes of those messages. */
  sendingBytesMax: 64 * 1024 * 1024,
  /** Senders whose last position the owner of a partition keeps in memory, those of the newest records. */
  incarnationsMax: 10_000,
  /** Of these, the ones that each commit carries: about 1 KB, written with every commit. */
  committedSendersMax: 64,
} as const;
