/** One partition of a queue while this instance owns it: fills lanes, tracks settled messages, and commits them. */
import type { Capacity } from '../../base/bounded';
import type { Timer } from '../../base/clock';
import { aborted } from '../../base/lifecycle';
import { PartitionLostError, type Commit, type OwnedPartition, type Stored } from '../../ports/log';
import { Committer, type CommitterParts } from '../progress/committer';
import { openFilter, type Filter } from '../progress/duplicate-filter';
import type { Lanes } from './lanes';
import { describeAt, envelopeOf, placeOf, readMessage, type Holder, type Message } from '../message';
import { PartitionNotices } from './partition-notices';
import type { Progress } from '../progress/progress';
import { Reader, type ReaderParts } from './reader';
import type { Begin, Retained } from '../progress/retained';
import { fullShare, Room } from './read-ahead';
import { cutNotice, unreadOf } from '../progress/resume';
import { cutState, encodeState, takenMs, type Newest } from '../progress/commit-state';
import { CrashEvidence } from './crash-evidence';
import type { Queue, ConsumerParts, Unserved } from '../types';
import { openUnkept, type Unkept } from '../progress/unkept';
import { UnservedEntries } from './unserved';
import { openWatermark, type Watermark } from '../progress/watermark';

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
}

const commitMsDefault = 500;

type Phase = 'owned' | 'giving' | 'given' | 'lost';

export class Partition implements Holder {
  readonly number: number;
  readonly running = new Set<Message>();
  readonly #watermark: Watermark;
  readonly #filter: Filter;
  readonly #commits: Committer;
  readonly #reader: Reader;
  /** Offset below which an earlier owner has already filtered the records. */
  readonly #seenBefore: number;
  #newest: Newest | undefined;
  readonly #evidence: CrashEvidence;
  readonly #room: Room;
  readonly #unserved: UnservedEntries;
  readonly #notices: PartitionNotices;
  readonly #closed = new AbortController();
  #phase: Phase = 'owned';
  /** Offset from which the log has lost the records that were read. */
  #end = Infinity;
  #refused = false;
  #idle: (() => void) | undefined;

  constructor(
    private readonly parts: PartitionParts,
    private readonly owned: OwnedPartition,
    private readonly begin: Begin,
  ) {
    const { take } = parts;
    this.number = owned.partition;
    const { offset: at, state } = begin;
    this.#seenBefore = state.seen;
    this.#watermark = (take.makeWatermark ?? openWatermark)(at, state.seen, state.ranges);
    this.#room = new Room({
      watermark: this.#watermark,
      stateBytesMax: () => take.log.stateBytesMax,
      running: this.running,
      seenBefore: state.seen,
      whole: parts.buffered,
      isHungry: () => parts.lanes.hungry(this.number),
      wake: () => this.#reader.look(),
    });
    this.#filter = (take.makeFilter ?? openFilter)(state.senders);
    const commitMs = take.commitMs ?? commitMsDefault;
    this.#evidence = new CrashEvidence(state.tried, take.clock, commitMs);
    this.#notices = new PartitionNotices(take.notices, parts.queue.name, this.number);
    this.#unserved = new UnservedEntries({
      clock: take.clock,
      givenAway: parts.retained.givenAway,
      report: (reason) => this.#notices.stuck(reason),
      offer: (entries) => owned.cannotServe(entries),
    });
    const unkept = (take.makeUnkept ?? openUnkept)(take.clock, commitMs);
    this.#commits = new Committer(this.#commitsParts(unkept), Math.min(at, owned.committed?.offset ?? 0));
    this.#newest = state.newest;
    this.#reader = new Reader(this.#readerParts(), at, state.newest);
  }

  start(): void {
    const { lost } = this.owned;
    this.#notices.change('taken');
    lost.addEventListener('abort', () => this.#lose(), { once: true });
    if (lost.aborted) this.#lose();
    else void this.#reader.run();
    if (this.begin.ahead) this.#commits.touch();
  }

  get closed(): AbortSignal {
    return this.#closed.signal;
  }
  get retained(): Retained {
    return this.parts.retained;
  }
  get unserved(): Iterable<Unserved> {
    return this.#unserved.all();
  }
  /**
   * Offset below which everything is settled and committed. It is 0 until the log is recognized as the one of the
   * commit. Otherwise unhandled records of a recreated log could be trimmed.
   */
  get committedOffset(): number {
    return this.#reader.isRecognized ? this.#commits.offset : 0;
  }

  mayStart(message: Message): boolean {
    if (!this.#isOurs() || this.parts.retained.blocks(message)) return false;
    const isOpen = this.#watermark.openRanges < this.#room.rangesMax || message.offset === this.#watermark.at;
    const may = isOpen && !this.#commits.isFull;
    if (!may) this.#refused = true;
    return may;
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
    this.running.add(message);
    this.#commits.touch();
  }

  /**
   * Commits before the handler runs, so that the next owner finds a message that crashes its process at once. Applies
   * before the first commit, to suspected messages, and to all messages for a while after a loss.
   */
  announce(message: Message): Promise<void> | undefined {
    if (this.#commits.kept && !message.interrupted && !this.#evidence.wary()) return undefined;
    message.announced = true;
    return this.#commits.now();
  }
  mayRun(message: Message): boolean {
    message.announced = false;
    const may = this.#isOurs();
    if (!may) this.#stopped(message);
    return may;
  }

  /** Called when more messages could run. */
  readMore(): void {
    this.#reader.look();
  }

  again(message: Message, counts: boolean): void {
    if (counts) this.#evidence.failed(message);
    this.#stopped(message);
    this.#commits.touch(); // a commit can have recorded it as running
  }

  settle(message: Message): void {
    const { offset } = message;
    this.#evidence.settled(offset);
    this.#room.remove(message);
    const before = this.#watermark.at;
    this.#watermark.settle(offset);
    this.parts.retained.settled(offset);
    this.#stopped(message);
    this.#commits.settled();
    if (this.#refused) this.#offerAgain(this.#watermark.at !== before);
    this.#reader.look();
  }

  /** Stops reading and starting, waits for running handlers, and commits. Then another instance can own it. */
  async revoke(): Promise<void> {
    if (this.#phase !== 'owned') return;
    this.#phase = 'giving';
    if (this.#unserved.size > 0) this.parts.retained.givenAway++;
    this.#reader.stop();
    this.parts.lanes.drop(this.number);
    this.#room.keepRunning();
    this.#commits.giving();
    await this.#runOut();
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
    this.#unserved.end();
    const error = new PartitionLostError(this.parts.queue.group, this.number, reason);
    this.#closed.abort(error);
    for (const message of this.running) {
      if (!message.announced) this.parts.retained.outlives(message);
      message.context?.abort(error);
    }
  }

  /** Resolves when no handler runs, the maximum wait is over, or the partition is lost. */
  async #runOut(): Promise<void> {
    if (this.running.size === 0) return;
    let timer: Timer | undefined;
    await Promise.race([
      new Promise<void>((resolve) => (this.#idle = resolve)),
      new Promise<void>((resolve) => (timer = this.parts.take.clock.after(this.parts.handoverMs, resolve))),
      this.parts.hurried,
      aborted(this.closed),
    ]);
    timer?.cancel();
  }

  #stopped(message: Message): void {
    this.running.delete(message);
    if (this.running.size === 0) this.#idle?.();
  }

  #admit(record: Stored): void {
    const { queue, lanes, take } = this.parts;
    const { offset } = record;
    if (offset > (this.#newest?.offset ?? -1)) this.#newest = { offset, timeMs: takenMs(record) };
    const envelope = record.value === null ? undefined : envelopeOf(record);
    const stamp = envelope && 'stamp' in envelope ? envelope.stamp : undefined;
    if (stamp && offset >= this.#seenBefore && !this.#filter.fresh(stamp.incarnation, stamp.position, record.timeMs)) {
      this.#watermark.see(offset);
      this.#watermark.settle(offset);
      return this.#drop(record, 'repeated');
    }
    if (record.value === null) return this.#drop(record, 'it has no value');
    const message = readMessage(queue, record, envelope, this);
    if (!message) return this.#skip(offset);
    if (!this.#watermark.see(offset, stamp)) return; // an earlier owner has settled it
    this.#evidence.recall(message);
    this.#room.add(message);
    if (take.notices.watched) this.#notices.received(message);
    if (message.refusal === undefined && !queue.entries.has(message.entry)) this.#unserved.add(message);
    lanes.add(message);
  }

  #skip(offset: number): void {
    this.#watermark.pass(offset + 1);
    this.#commits.touch();
  }

  #drop(record: Stored, reason: string): void {
    this.#skip(record.offset);
    const what = placeOf(this.parts.queue.topic.name, record);
    const envelope = envelopeOf(record);
    const about = envelope && 'id' in envelope ? { entry: envelope.entry, id: envelope.id } : {};
    this.parts.take.notices.emit({ type: 'dropped', what, reason, ...about });
  }

  /** At the limit of ranges only the lowest message can start. With room again, all messages are offered. */
  #offerAgain(moved: boolean): void {
    if (this.#watermark.openRanges < this.#room.rangesMax * fullShare) {
      this.#refused = false;
      this.parts.lanes.offer(this.number);
    } else if (moved) this.parts.lanes.offer(this.number, this.#watermark.at);
  }

  /** Offers refused messages after a commit, since more messages can settle before the next one. */
  #kept(): void {
    if (!this.#refused) return;
    this.#offerAgain(true);
    this.parts.pump();
  }

  #progress(): Progress {
    const { at, seen } = this.#watermark;
    const ranges = this.#watermark.ranges();
    const tried = this.#evidence.report(at, this.#runningNow(), !this.closed.aborted);
    const newest = this.#newest && { newest: this.#newest };
    const state = cutState({ seen, ...newest, ranges, tried, senders: this.#filter.senders() }, this.#end);
    return { offset: Math.min(at, this.#end), state };
  }
  #snapshot(): Commit {
    const { offset, state } = this.#progress();
    return { offset, state: encodeState(offset, state, this.parts.take.log.stateBytesMax) };
  }

  /** Returns messages whose handler was called, or will be when this commit is acknowledged. */
  #runningNow(): ReadonlySet<number> {
    const open = this.#phase === 'owned';
    const running = [...this.running].filter(({ context, announced }) => context || (open && announced));
    return new Set(running.map(({ offset }) => offset));
  }

  #readerParts(): ReaderParts {
    return {
      clock: this.parts.take.clock,
      owned: this.owned,
      admit: (record) => this.#admit(record),
      come: (next) => {
        this.#watermark.pass(next);
        this.parts.pump();
      },
      room: (next) => this.#room.next(next),
      roomy: (next) => this.#room.isWorth(next),
      lowest: () => this.#watermark.at,
      stuck: (lowest) => void this.#reportStuck(lowest),
      gap: (from, start) => this.#gap(from, start),
      cut: (end, reason) => this.#cut(end, reason),
      lost: () => this.#lose(),
      report: (ok, reason) => this.#notices.reading(ok, reason),
    };
  }

  #commitsParts(unkept: Unkept): CommitterParts {
    const { take } = this.parts;
    return {
      clock: take.clock,
      owned: this.owned,
      commitMs: () => this.#evidence.commitMs(),
      snapshot: () => this.#snapshot(),
      stateBytesMax: () => take.log.stateBytesMax,
      resting: () => this.#watermark.unsettled === 0,
      lost: () => this.#lose(),
      kept: () => this.#kept(),
      retained: this.parts.retained,
      unkept,
      report: (ok, reason) => this.parts.commits(this.number, ok, reason),
    };
  }

  async #reportStuck(offset: number): Promise<void> {
    if (!this.parts.lanes.hungry(this.number)) return; // the handlers are busy, so it is not stuck
    const { take, queue } = this.parts;
    const what = await describeAt(take.log, queue.topic.name, { partition: this.number, offset });
    const { unsettled, openRanges } = this.#watermark;
    const ranges = `${openRanges} ranges are settled above it`;
    const behind = `${unsettled} messages are in memory, ${ranges}${this.#room.describeWhole()}`;
    this.#notices.stuck(`${what} at ${offset} does not settle, so reading of the partition pauses: ${behind}`);
  }

  #gap(from: number, start: number): void {
    this.#commits.touch();
    if (!this.owned.committed && from === 0) return; // a new group starts wherever the log starts
    const what = `${this.parts.queue.topic.name}/${this.number}/${from}-${start - 1}`;
    this.parts.take.notices.emit({ type: 'dropped', what, reason: 'they are no longer in the log' });
  }

  /** Resumes as if lost and assigned where the log has ended, since other messages get the lost offsets. */
  async #cut(lost: number, reason: string): Promise<void> {
    const { take, queue, retained } = this.parts;
    const spot = { topic: queue.topic.name, partition: this.number };
    const place = this.#watermark.at;
    const unread = await unreadOf(take.log, spot, this.#newest, lost);
    if (this.#phase === 'lost' || this.#phase === 'given') return; // the next owner finds the same
    this.#end = unread.from;
    retained.cut(unread.from);
    // The senders of lost, unhandled messages can resend them, so the filter must accept their stamps.
    for (const { incarnation, position } of this.#watermark.unsettledFrom(unread.from))
      this.#filter.forget(incarnation, position);
    if (this.#phase !== 'owned') return; // the next owner resumes there
    take.notices.emit(cutNotice({ ...spot, place, unread, lost, known: this.#newest !== undefined, reason }));
    this.#newest = undefined; // it is not in this log
    this.#lose();
    this.parts.again(this.owned, { ...this.#progress(), ahead: true });
  }
}
