/** Limits that are not options, each with its reason. */

/** Limits of messages, queues and buffers. They keep memory bounded when a sender is faster than its receiver. */
export const limits = {
  /**
   * Largest body of a message, in bytes, and upper limit of the option. It is below Kafka's default of 1,048,588, with
   * room for the envelope.
   */
  messageBytesMax: 1_000_000,
  /** Longest envelope line, in bytes. The sender refuses a longer one; the receiver drops it. */
  envelopeBytesMax: 8_192,
  /** Nesting levels of a body, unless the option bodyDepthMax sets another number. */
  bodyDepthMax: 100,
  /**
   * Highest value of the option bodyDepthMax. Reading and writing use a stack of their own, so depth costs memory only.
   */
  bodyDepthMost: 10_000,
  /** Items of a body: each element, key and value counts. 1 MB of one-byte items would take 64 times as much memory. */
  bodyItemsMax: 100_000,
  /** Requests of one instance without a reply. Further ones reject with Overloaded. */
  pendingRequestsMax: 65_536,
  /**
   * Bytes of the bodies of requests without a reply. They are kept for a resend. Further ones reject with Overloaded.
   */
  pendingBytesMax: 256 * 1024 * 1024,
  /** Requests of one entry that wait in one instance for a free handler. Further ones reject with Overloaded. */
  waitingRequestsMax: 10_000,
  /** Bytes of the requests of one entry that wait in one instance. Further ones reject with Overloaded. */
  waitingBytesMax: 64 * 1024 * 1024,
  /** Messages of one partition held in memory. Reading ahead stops there. */
  bufferMessagesMax: 10_000,
  /** Bytes of one partition held in memory. Reading ahead stops there. */
  bufferBytesMax: 64 * 1024 * 1024,
  /**
   * Bytes of messages that one instance holds in memory, over all partitions of its queues. Partitions share them, so
   * that memory does not grow with their number.
   */
  instanceBufferBytesMax: 256 * 1024 * 1024,
  /**
   * Bytes that each partition can hold even if the other partitions have used up the shared limit. It prevents that a
   * partition is never read.
   */
  partitionReserveBytes: 1024 * 1024,
  /**
   * Bytes of events of one module older than `keepMs` that wait for named listeners. Above it the oldest are deleted,
   * so that a listener that never returns cannot fill the disk.
   */
  heldEventBytesMax: 1024 * 1024 * 1024,
  /**
   * Settled ranges above the watermark in one commit. At the limit only the lowest message is started, because a commit
   * with more ranges would be too large.
   */
  openRangesMax: 700,
  /**
   * Messages for one topic that an instance is sending. Further ones reject with Overloaded, a longer list with
   * TooLarge.
   */
  sendingMax: 100_000,
  /** Bytes of the messages for one topic that an instance is sending. */
  sendingBytesMax: 64 * 1024 * 1024,
  /**
   * Senders in memory of the owner of a partition, each with its last position, for the detection of duplicates. The
   * senders of the newest records are kept.
   */
  incarnationsMax: 10_000,
  /**
   * Distance within which two records of a partition with the same chosen id are one message, in offsets. It bounds the
   * ids in memory to about 3 MB for each partition.
   */
  idWindowRecords: 10_000,
  /** Time between two such records, by the log, in ms. A sender retries within it after an unknown outcome. */
  idWindowMs: 600_000,
  /**
   * Records that a new owner of a partition reads back at most, to recognize the copies that a spool sends. Reading
   * them takes about a second.
   */
  recalledRecordsMax: 50_000,
  /** Senders in each commit, with their last position. They take about 1 KB in every commit. */
  committedSendersMax: 64,
} as const;
