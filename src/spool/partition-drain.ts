/** Sends one partition of the spool to the servers, in order, one list of records at a time. */
import { sleep, type Clock } from '../base/clock';
import { errorMessage, isBusError, outlookOf, type BusError } from '../base/errors';
import { deferred, onAbort } from '../base/lifecycle';
import { withSentAfter } from '../format/sent-after';
import {
  OutOfRangeError,
  PartialAppendError,
  PartitionLostError,
  type Log,
  type OwnedPartition,
  type Place,
  type Stored,
} from '../ports/log';
import { addRefused, addShipped, decodeShipped, encodeShipped, endOf, nothingShipped, type Shipped } from './shipped';

/** Limits of a list. It fits into one batch of the producer, so that it is written as a whole. */
const listRecordsMax = 1_000;
const listRecordsMin = 200;
/**
 * Records of the first list. Each list is longer than the one before, so that the first messages after a start do not
 * wait for thousands to be read.
 */
const firstListRecords = 20;
const listGrowth = 4;
const listBytesMax = 384 * 1024;
/**
 * Records of a topic that one process sends at a time, about. With more of them, garbage collection takes more time
 * than the requests that are saved.
 */
const sendingMax = 6_000;
/**
 * Time without an answer to a list after which it counts as one that cannot be sent. A producer whose brokers are away
 * tries for minutes, and its call does not fail before.
 */
const lateMs = 2_000;
const retryMsMin = 50;
const retryMsMax = 2_000;

export interface PartitionDrainParts {
  readonly clock: Clock;
  readonly topic: string;
  /** Log of the servers. */
  readonly log: Pick<Log, 'append'>;
  readonly local: Pick<Log, 'bounds' | 'trim'>;
  /**
   * Resolves when the topic exists at the servers. Rejects if it cannot be created, or differs. The result is
   * remembered, unless the topic can have been deleted or changed.
   */
  readonly ensure: (canHaveChanged?: boolean) => Promise<unknown>;
  /** Returns the number of partitions of the topic that this process sends. */
  readonly owned: () => number;
  /** Keeps a record that the servers refuse for good. Resolves when it is durable. */
  readonly park: (record: Stored, error: BusError) => Promise<void>;
  /** Called with the reason when records cannot be sent, and with undefined when they are sent again. */
  readonly failing: (partition: number, reason: string | undefined) => void;
  /** Called when the servers have all records below `offset`. */
  readonly sent: (partition: number, offset: number, shipped: Shipped) => void;
}

export class PartitionDrain {
  readonly #stopped = new AbortController();
  #shipped: Shipped;
  /** End of the partition at the start. An earlier owner can have sent any record below it that is not committed. */
  #takenEnd: number | undefined;
  #next: number;
  /** Limit of the next list, until it reaches that of all lists. */
  #listRecords = firstListRecords;
  /** Offset below which everything is committed. */
  #committed: number;
  /** Offset below which the records are removed. */
  #trimmed = 0;
  #trimming: Promise<void> = Promise.resolve();
  #committing: Promise<void> = Promise.resolve();
  #hasCommitFailed = false;
  readonly #ended = deferred<void>();

  constructor(
    private readonly parts: PartitionDrainParts,
    private readonly owned: OwnedPartition,
  ) {
    const { committed } = owned;
    this.#shipped = committed ? decodeShipped(committed.state) : nothingShipped;
    this.#next = committed?.offset ?? 0;
    this.#committed = this.#next;
  }

  /** Sends until the partition is lost or {@link PartitionDrain.stop} is called. Never rejects. */
  async run(): Promise<void> {
    const { signal } = this.#stopped;
    const { lost } = this.owned;
    const unwatch = onAbort(lost, () => this.#stopped.abort());
    if (lost.aborted) this.#stopped.abort();
    while (!signal.aborted) await this.#step().catch((error: unknown) => this.#failed(error));
    unwatch();
    this.parts.failing(this.owned.partition, undefined);
    this.#ended.resolve();
  }

  /** Stops sending, and commits what the servers acknowledged. The next owner sends a list in flight again. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#ended.promise;
    await this.commit();
    await this.trim();
  }

  /**
   * Commits the progress, if there is any. It is called at intervals: each commit is a write to the disk, for which
   * messages that are being accepted would wait.
   */
  commit(): Promise<void> {
    return (this.#committing = this.#committing.then(() => this.#write()));
  }
  /** Removes the records that are committed. A failed removal is repeated by the next call, or by the next owner. */
  trim(): Promise<void> {
    const { topic, local } = this.parts;
    const before = this.#committed;
    if (before === this.#trimmed || this.owned.lost.aborted) return this.#trimming;
    return (this.#trimming = this.#trimming
      .then(() => local.trim(topic, this.owned.partition, before))
      .then(() => void (this.#trimmed = before))
      .catch(() => undefined));
  }

  async #step(): Promise<void> {
    this.#takenEnd ??= await this.#end();
    if (this.#next >= this.#takenEnd) this.#shipped = { ...this.#shipped, after: endOf(this.#shipped) };
    const share = Math.max(listRecordsMin, Math.floor(sendingMax / this.parts.owned()));
    const messages = Math.min(this.#listRecords, listRecordsMax, share);
    const records = await this.owned.read(this.#next, { messages, bytes: listBytesMax }, this.#stopped.signal);
    const last = records.at(-1);
    if (!last || !(await this.#ship(records))) return;
    this.parts.failing(this.owned.partition, undefined);
    this.#next = last.offset + 1;
    this.#listRecords = Math.min(this.#listRecords * listGrowth, listRecordsMax);
    this.parts.sent(this.owned.partition, this.#next, this.#shipped);
  }

  async #end(): Promise<number> {
    const { topic, local } = this.parts;
    return (await local.bounds(topic)).find(({ partition }) => partition === this.owned.partition)?.end ?? 0;
  }

  /** Handles a read that failed. */
  async #failed(error: unknown): Promise<void> {
    if (error instanceof PartitionLostError) return this.#stopped.abort();
    if (error instanceof OutOfRangeError && error.next > this.#next) this.#next = error.next;
    else await this.#pause(error, retryMsMax);
  }
  async #pause(error: unknown, ms: number): Promise<void> {
    this.parts.failing(this.owned.partition, errorMessage(error));
    await sleep(this.parts.clock, ms, this.#stopped.signal);
  }

  /**
   * Appends the records to the topic at the servers. Resolves to true when each of them is there or parked, and to
   * false when this drain was stopped. A list of unknown outcome is appended again as a whole: the receivers drop the
   * copies by their stamps. No later record is appended before, since it would make the earlier ones count as copies.
   *
   * A record is parked if the servers refuse it although the topic was found to be right after they refused it once.
   * `isTopicRight` means that it was found so for a list with these records.
   */
  async #ship(records: readonly Stored[], isTopicRight = false): Promise<boolean> {
    let mustCheck = false;
    // Brokers report a deleted topic like one without leaders, so it is looked for after each failure.
    for (let failures = 0; await this.#untilTopic(mustCheck || failures > 0); failures++) {
      isTopicRight ||= mustCheck;
      mustCheck = false;
      try {
        this.owned.check();
        const places = await this.#append(records);
        if (!places) return false;
        this.#note(records, places);
        return true;
      } catch (error) {
        if (error instanceof PartitionLostError) return this.#lose();
        const refused = refusedIn(error);
        if (refused.size === 0) {
          isTopicRight = false; // it can change in the meantime
          await this.#pause(error, retryMsOf(error, failures));
        } else if (error instanceof PartialAppendError) return this.#shipRest(records, refused, error);
        else if (!isTopicRight) mustCheck = true;
        else if (records.length > 1) return this.#halves(records);
        else return this.#parkAll(records, refused);
      }
    }
    return false;
  }

  /** Waits until the topic exists at the servers. Resolves to false when this drain was stopped. */
  async #untilTopic(mustCheck: boolean): Promise<boolean> {
    for (let failures = 0; !this.#stopped.signal.aborted; failures++) {
      try {
        return (await this.#unlessStopped(this.parts.ensure(mustCheck).then(() => true))) ?? false;
      } catch (error) {
        await this.#pause(error, retryMsOf(error, failures));
      }
    }
    return false;
  }

  /** Resolves to undefined when this drain is stopped. The append can then still be written. */
  #append(records: readonly Stored[]): Promise<readonly Place[] | undefined> {
    const { partition } = this.owned;
    const { topic, log } = this.parts;
    const reason = `the brokers have not acknowledged them for ${lateMs / 1_000} s`;
    const late = this.parts.clock.after(lateMs, () => this.parts.failing(partition, reason));
    const after = String(this.#shipped.after);
    const marked = records.map(({ key, value, headers }) => {
      return { partition, key, value, headers: withSentAfter(headers, after) };
    });
    return this.#unlessStopped(log.append(topic, marked, { isImmutable: true })).finally(() => late.cancel());
  }
  /** Resolves like `work`, or to undefined when this drain is stopped before. */
  #unlessStopped<T>(work: Promise<T>): Promise<T | undefined> {
    const { signal } = this.#stopped;
    return new Promise((resolve, reject) => {
      if (signal.aborted) resolve(undefined);
      // A listener that stayed registered would hold each list in memory.
      const ignore = onAbort(signal, () => resolve(undefined));
      work.then(resolve, reject).finally(ignore);
    });
  }

  /** Handles a list of which the servers have written a part. */
  async #shipRest(
    records: readonly Stored[],
    refused: ReadonlyMap<number, BusError>,
    { failed, places }: PartialAppendError,
  ): Promise<boolean> {
    this.#note(records, places);
    await this.#parkAll(records, refused);
    const rest = records.filter((_, n) => failed.has(n) && !refused.has(n));
    return rest.length === 0 || this.#ship(rest);
  }
  async #halves(records: readonly Stored[]): Promise<boolean> {
    const half = records.length >> 1;
    return (await this.#ship(records.slice(0, half), true)) && (await this.#ship(records.slice(half), true));
  }
  #lose(): false {
    this.#stopped.abort();
    return false;
  }

  async #parkAll(records: readonly Stored[], refused: ReadonlyMap<number, BusError>): Promise<true> {
    for (const [index, error] of refused) {
      const record = records[index];
      if (!record) continue;
      await this.parts.park(record, error);
      this.#shipped = addRefused(this.#shipped, record.offset, error.message);
    }
    return true;
  }
  #note(records: readonly Stored[], places: readonly (Place | undefined)[]): void {
    this.#shipped = addShipped(this.#shipped, records, places);
  }

  async #write(): Promise<void> {
    const offset = this.#next;
    if (offset === this.#committed || this.owned.lost.aborted) return;
    try {
      await this.owned.commit({ offset, state: encodeShipped(this.#shipped) });
      this.#committed = offset;
      if (this.#hasCommitFailed) this.parts.failing(this.owned.partition, undefined);
      this.#hasCommitFailed = false;
    } catch (error) {
      // The next commit contains this one. Without one, the next owner sends the records again.
      if (error instanceof PartitionLostError) return this.#stopped.abort();
      this.#hasCommitFailed = true;
      this.parts.failing(this.owned.partition, errorMessage(error));
    }
  }
}

/** Returns the time after which a call to the servers is repeated. */
function retryMsOf(error: unknown, failures: number): number {
  return outlookOf(error) === 'transient' ? Math.min(retryMsMin * 2 ** Math.min(failures, 10), retryMsMax) : retryMsMax;
}

/** Returns the records that the servers refuse for good, by their index, with the reason. */
function refusedIn(error: unknown): ReadonlyMap<number, BusError> {
  const failed = error instanceof PartialAppendError ? error.failed : new Map([[0, error]]);
  const refused = new Map<number, BusError>();
  for (const [index, one] of failed) if (isBusError(one, 'TooLarge', 'Config', 'Invalid')) refused.set(index, one);
  return refused;
}
