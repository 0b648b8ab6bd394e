/** One partition of a queue while this instance owns it: fills lanes, tracks settled messages, and commits them. */
import type { Capacity } from '../../base/bounded';
import { aborted } from '../../base/lifecycle';
import { PartitionLostError, type OwnedPartition } from '../../ports/log';
import { Committer, commitMsDefault, type CommitterParts } from '../progress/committer';
import { Admission } from './admission';
import type { Lanes } from './lane';
import { describeAt, type Holder, type Message } from '../message';
import { PartitionNotices } from './partition-notices';
import { commitOf, PartitionState } from './partition-state';
import type { Progress } from '../progress/progress';
import { lookBack } from './read-back';
import { Reader, type ReaderParts } from './reader';
import type { Begin, Retained } from '../progress/retained';
import { Room } from './read-ahead';
import { RunningMessages } from './running';
import { cutNotice, unreadOf } from '../progress/resume';
import type { Settled } from './trim';
import type { Queue, ConsumerParts, Unserved } from '../types';
import { openUnkept } from '../progress/unkept';

export interface PartitionParts {
  readonly take: ConsumerParts;
  readonly queue: Queue;
  readonly lanes: Lanes<Message>;
  readonly retained: Retained;
  /** Messages in memory, of all partitions of this instance. */
  readonly buffered: Capacity;
  /** Maximum time that running handlers can continue when the partition is revoked. */
  readonly handoverMs: number;
  /** Resolves when running handlers are no longer waited for. */
  readonly hurried: Promise<void>;
  /** Called when a message can possibly start. */
  pump(): void;
  /** Called when this instance no longer owns the partition. */
  gone(partition: Partition): void;
  /** Called when the partition is still owned, but must resume at `begin` with a new Partition. */
  again(owned: OwnedPartition, begin: Begin): void;
  /** Called when commits have failed for a while, or succeed again. */
  commits(partition: number, ok: boolean, reason: string): void;
  /** Called for each message that was read. */
  received(message: Message): void;
}

export class Partition implements Holder {
  readonly number: number;
  readonly #running = new RunningMessages();
  readonly state: PartitionState;
  readonly #admission: Admission;
  readonly #commits: Committer;
  readonly #reader: Reader;
  readonly #room: Room;
  readonly #notices: PartitionNotices;
  readonly #closed = new AbortController();
  readonly closed: AbortSignal = this.#closed.signal;
  readonly running: ReadonlySet<Message> = this.#running.all;
  #phase: 'owned' | 'giving' | 'given' | 'lost' = 'owned';

  constructor(
    private readonly parts: PartitionParts,
    private readonly owned: OwnedPartition,
    private readonly begin: Begin,
  ) {
    const { take } = parts;
    this.number = owned.partition;
    const commitMs = take.commitMs ?? commitMsDefault;
    this.state = new PartitionState({ ...take, commitMs }, begin);
    this.#room = new Room({
      watermark: this.state.watermark,
      stateBytesMax: () => take.log.stateBytesMax,
      running: this.#running.all,
      seenBefore: begin.state.seen,
      whole: parts.buffered,
      isHungry: () => parts.lanes.hungry(this.number),
      wake: () => this.#reader.look(),
      isCommitFull: () => this.#commits.isFull,
      offer: (offset) => parts.lanes.offer(this.number, offset),
    });
    this.#notices = new PartitionNotices(take.notices, parts.queue.name, this.number);
    this.#admission = new Admission({
      queue: parts.queue,
      state: this.state,
      lanes: parts.lanes,
      room: this.#room,
      clock: take.clock,
      received: (message) => parts.received(message),
      givenAway: parts.retained.givenAway,
      offer: (entries) => owned.cannotServe(entries),
      notices: this.#notices,
      holder: this,
      skipped: () => this.#commits.touch(),
    });
    this.#commits = new Committer(this.#commitsParts(commitMs), Math.min(begin.offset, owned.committed?.offset ?? 0));
    this.#reader = new Reader(this.#readerParts(), begin.offset, begin.state.newest);
  }

  start(): void {
    const { lost } = this.owned;
    this.#notices.change('taken');
    lost.addEventListener('abort', () => this.#lose(), { once: true });
    if (lost.aborted) this.#lose();
    else void this.#reader.run();
    if (this.begin.ahead || this.owned.committed?.state.length === 0) this.#commits.touch(); // else reported again
  }

  get retained(): Retained {
    return this.parts.retained;
  }
  /** Offset that is read next. */
  get next(): number {
    return this.#reader.next;
  }
  get unserved(): Iterable<Unserved> {
    return this.#admission.unserved.all();
  }
  /**
   * Place below which everything is settled and committed. It is at 0 until the log is recognized as the one of the
   * commit. Otherwise unhandled records of a recreated log could be trimmed.
   */
  get settled(): Settled {
    const offset = this.#reader.isRecognized ? this.#commits.offset : 0;
    return { partition: this.number, offset, chosen: this.state.chosen };
  }

  mayStart(message: Message): boolean {
    return this.#isOurs() && !this.parts.retained.blocks(message) && this.#room.mayStart(message.offset);
  }

  /** Checks the ownership with the log itself, since a stalled process can have missed its loss. */
  #isOurs(): boolean {
    if (this.#phase !== 'owned') return false;
    try {
      this.owned.check();
      return true;
    } catch {
      return false; // the `lost` signal aborts and cleans up
    }
  }

  started(message: Message): void {
    this.#running.add(message);
    this.#commits.touch();
  }

  /**
   * Commits before the handler runs, so that the next owner finds a message that crashes its process at once. Applies
   * before the first commit, to suspected messages, and to all messages for a while after a loss.
   */
  announce(message: Message): Promise<void> | undefined {
    if (this.#commits.kept && !message.interrupted && !this.state.evidence.wary()) return undefined;
    message.announced = true;
    return this.#commits.now();
  }
  mayRun(message: Message): boolean {
    const may = this.#isOurs(); // can end the ownership, which registers messages whose handler was called
    message.announced = false;
    if (may) return true;
    this.#running.remove(message);
    this.parts.retained.ended(message, false); // a loss during `started` has registered it: its key would wait forever
    return false;
  }

  readMore(): void {
    this.#reader.look();
  }

  again(message: Message, counts: boolean): void {
    if (counts) this.state.evidence.failed(message);
    this.#running.remove(message);
    this.#commits.touch(); // a commit can have recorded it as running
  }

  settle(message: Message): void {
    this.#room.remove(message);
    this.#admission.unserved.settled(message);
    const moved = this.state.settle(message.offset);
    this.parts.retained.settled(message.offset);
    this.#running.remove(message);
    this.#commits.settled();
    this.#room.settled(moved);
    this.#reader.look();
  }

  /** Stops reading and starting, waits for running handlers, and commits. Then another instance can own it. */
  async revoke(): Promise<void> {
    if (this.#phase !== 'owned') return;
    this.#phase = 'giving';
    if (this.#admission.unserved.size > 0) this.parts.retained.givenAway++;
    this.#reader.stop();
    this.parts.lanes.drop(this.number);
    this.#room.keepRunning();
    this.#commits.giving();
    await this.#running.ended(this.parts.take.clock, this.parts.handoverMs, [this.parts.hurried, aborted(this.closed)]);
    if (this.closed.aborted) return; // lost meanwhile
    this.#close('it was revoked for another instance, and the maximum wait is over');
    await Promise.race([this.#commits.finish(), aborted(this.owned.lost)]);
    if (this.#phase !== 'giving') return;
    this.#phase = 'given';
    this.parts.retained.leave(this.#commits.isClean ? undefined : this.#progress());
    this.#notices.change('given');
    this.parts.gone(this);
  }

  #lose(): void {
    if (this.#phase === 'given' || this.#phase === 'lost') return;
    this.#phase = 'lost';
    this.#reader.stop();
    this.#commits.stop();
    this.parts.lanes.drop(this.number);
    this.#close('it was lost');
    this.parts.retained.leave(this.#progress());
    this.#notices.change('lost', this.owned.lost.reason);
    this.parts.gone(this);
  }

  /** Aborts running handlers. If this process owns the partition again, their results still count. */
  #close(reason: string): void {
    if (this.closed.aborted) return;
    this.#room.close();
    this.#admission.unserved.end();
    const error = new PartitionLostError(this.parts.queue.group, this.number, reason);
    this.#closed.abort(error);
    for (const message of this.running) {
      if (!message.announced) this.parts.retained.outlives(message);
      message.context?.abort(error);
    }
  }

  #progress(): Progress {
    return this.state.progress(this.#running.offsets(this.#phase === 'owned'), !this.closed.aborted);
  }

  #readerParts(): ReaderParts {
    return {
      clock: this.parts.take.clock,
      owned: this.owned,
      ...lookBack(this.parts, this.number, this.begin, this.state),
      admit: (record) => this.#admission.admit(record),
      come: (next) => {
        this.state.watermark.pass(next);
        this.parts.pump();
      },
      room: (next) => this.#room.next(next),
      roomy: (next) => this.#room.isWorth(next),
      lowest: () => this.state.watermark.at,
      stuck: (lowest) => void this.#reportStuck(lowest),
      gap: (from, start) => this.#gap(from, start),
      cut: (end, reason) => this.#cut(end, reason),
      lost: () => this.#lose(),
      report: (ok, reason) => this.#notices.reading(ok, reason),
    };
  }

  #commitsParts(commitMs: number): CommitterParts {
    const { take } = this.parts;
    return {
      clock: take.clock,
      owned: this.owned,
      commitMs: () => this.state.evidence.commitMs(),
      snapshot: () => commitOf(this.#progress(), take.log.stateBytesMax),
      stateBytesMax: () => take.log.stateBytesMax,
      resting: () => this.state.watermark.unsettled === 0,
      lost: () => this.#lose(),
      kept: () => void (this.#room.committed() && this.parts.pump()),
      retained: this.parts.retained,
      unkept: (take.makeUnkept ?? openUnkept)(take.clock, commitMs),
      report: (ok, reason) => this.parts.commits(this.number, ok, reason),
    };
  }

  async #reportStuck(offset: number): Promise<void> {
    if (!this.parts.lanes.hungry(this.number)) return; // the handlers are busy, so it is not stuck
    const { take, queue } = this.parts;
    const what = await describeAt(take.log, queue.topic.name, { partition: this.number, offset });
    const pauses = `does not settle, so reading of the partition pauses: ${this.#room.describeFull()}`;
    this.#notices.stuck(`${what} at ${offset} ${pauses}`);
  }

  #gap(from: number, start: number): void {
    this.#commits.touch();
    const isNew = !this.owned.committed && from === 0; // a new group starts wherever the log starts
    if (!isNew) this.#notices.deleted(this.parts.queue.topic.name, from, start - 1);
  }

  /** Resumes as if lost and assigned where the log has ended, since other messages get the lost offsets. */
  async #cut(lost: number, reason: string): Promise<void> {
    const { take, queue, retained } = this.parts;
    const spot = { topic: queue.topic.name, partition: this.number };
    const place = this.state.watermark.at;
    const unread = await unreadOf(take.log, spot, this.state.newest, lost);
    if (this.#phase === 'lost' || this.#phase === 'given') return; // the next owner finds the same
    this.state.cut(unread.from);
    retained.cut(unread.from);
    if (this.#phase !== 'owned') return; // the next owner resumes there
    take.notices.emit(cutNotice({ ...spot, place, unread, lost, known: this.state.newest !== undefined, reason }));
    this.state.forgetNewest();
    this.#lose();
    this.parts.again(this.owned, { ...this.#progress(), ahead: true });
  }
}
