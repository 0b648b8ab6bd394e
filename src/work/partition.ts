/** One partition of a queue while this instance owns it: fills lanes, knows what is settled, commits, is given up. */
import type { Timer } from '../base/clock';
import { aborted } from '../base/lifecycle';
import { limits } from '../base/limits';
import { LostError, type Commit, type Owned, type ReadMax, type Stored } from '../ports/log';
import { Commits, type CommitsParts } from './commits';
import { openFilter, type Filter } from './duplicates';
import type { Lanes } from './lanes';
import { envelopeOf, placeOf, readMessage, type Holder, type Message } from './message';
import { Reader, type ReaderParts } from './reader';
import { cutState, encodeState, restoreState } from './state';
import { Trials } from './trials';
import type { Queue, TakeParts, Unserved } from './types';
import { openWatermark, type Watermark } from './watermark';

export interface PartitionParts {
  readonly take: TakeParts;
  readonly queue: Queue;
  readonly lanes: Lanes<Message>;
  /** What runs may go on for so long when the partition must move. */
  readonly longestMs: number;
  /** Resolves when what runs is not waited for at all any longer. */
  readonly hurried: Promise<void>;
  /** There may be something to start. */
  pump(): void;
  /** It is not this instance's any more. */
  gone(partition: Partition): void;
  /** It is still, but has to go on from that commit. */
  again(owned: Owned, commit: Commit): void;
}

const commitMsDefault = 500;
/** Messages of a partition in memory while its handlers have enough to do: few, as the garbage collector moves them. */
const readAhead = 32;
const readMessagesMax = 1_000;
const readBytesMax = 4 * 1024 * 1024;
/** What was full is filled again when no more than this is left of it. */
const fullShare = 0.75;
const heldEntriesMax = 100;

type Phase = 'owned' | 'giving' | 'given' | 'lost';

export class Partition implements Holder {
  readonly number: number;
  readonly running = new Set<Message>();
  readonly #troubled = new Set<'reading' | 'commits'>();
  readonly #watermark: Watermark;
  readonly #filter: Filter;
  readonly #commits: Commits;
  readonly #reader: Reader;
  /** Below it the owner before has asked the filter. */
  readonly #seenBefore: number;
  readonly #trials: Trials;
  readonly #unserved = new Map<string, Unserved>();
  readonly #closed = new AbortController();
  #phase: Phase = 'owned';
  /** What was read from there on the log has lost. */
  #end = Infinity;
  #bytes = 0;
  #refused = false;
  #idle: (() => void) | undefined;

  constructor(
    private readonly parts: PartitionParts,
    private readonly owned: Owned,
    private readonly committed: Commit | null,
  ) {
    const { take } = parts;
    this.number = owned.partition;
    const at = committed?.offset ?? 0;
    const state = restoreState(at, committed, (reason) => this.#log(reason));
    this.#seenBefore = state.seen;
    this.#watermark = (take.makeWatermark ?? openWatermark)(at, state.seen, state.ranges);
    this.#filter = (take.makeFilter ?? openFilter)(state.senders);
    this.#trials = new Trials(state.tried, take.clock, take.commitMs ?? commitMsDefault);
    this.#commits = new Commits(this.#commitsParts(), at);
    this.#reader = new Reader(this.#readerParts(), at);
  }

  start(): void {
    const { lost } = this.owned;
    this.#change('taken');
    lost.addEventListener('abort', () => this.#lose(), { once: true });
    if (lost.aborted) this.#lose();
    else void this.#reader.run();
    if (this.committed !== this.owned.committed) this.#commits.touch();
  }

  get closed(): AbortSignal {
    return this.#closed.signal;
  }
  get unserved(): Iterable<Unserved> {
    return this.#unserved.values();
  }
  /** Everything below is settled, and the log knows it. */
  get committedOffset(): number {
    return this.#commits.offset;
  }

  mayStart(message: Message): boolean {
    if (!this.#isOurs()) return false;
    const may = this.#watermark.openRanges < limits.openRangesMax || message.offset === this.#watermark.at;
    if (!may) this.#refused = true;
    return may;
  }

  /** Asked of the log itself: a process that stood still has not heard yet that another one has it. */
  #isOurs(): boolean {
    if (this.#phase !== 'owned') return false;
    try {
      this.owned.check();
      return true;
    } catch {
      return false; // then `lost` aborts, and all of it goes
    }
  }

  started(message: Message): void {
    this.running.add(message);
    this.#commits.touch();
  }

  /** What ends its process at once must leave a mark: so do the first ones, and after a loss all for a while. */
  announce(message: Message): Promise<void> | undefined {
    if (this.#commits.kept && !message.cutOff && !this.#trials.wary()) return undefined;
    message.announced = true;
    return this.#commits.now();
  }
  mayRun(message: Message): boolean {
    message.announced = false;
    const may = this.#isOurs();
    if (!may) this.#stopped(message);
    return may;
  }

  /** Called when more could run. */
  readMore(): void {
    this.#reader.look();
  }

  failed(message: Message): void {
    this.#trials.failed(message);
    this.#stopped(message);
    this.#commits.touch();
  }

  settle(message: Message): void {
    const { offset } = message;
    this.#trials.settled(offset);
    this.#bytes -= message.bytes;
    const before = this.#watermark.at;
    this.#watermark.settle(offset);
    this.#stopped(message);
    this.#commits.touch();
    if (this.#refused) this.#offerAgain(this.#watermark.at !== before);
    this.#reader.look();
  }

  /** Stops reading and starting, waits for what runs, commits. Then somebody else may have it. */
  async give(): Promise<void> {
    if (this.#phase !== 'owned') return;
    this.#phase = 'giving';
    this.#reader.stop();
    this.parts.lanes.drop(this.number);
    await this.#runOut();
    if (this.closed.aborted) return; // lost meanwhile
    this.#close('it moves to another instance, which could not wait longer');
    await Promise.race([this.#commits.finish(), aborted(this.owned.lost)]);
    if (this.#phase !== 'giving') return;
    this.#phase = 'given';
    this.#change('given');
    this.parts.gone(this);
  }

  #lose(): void {
    if (this.#phase === 'given' || this.#phase === 'lost') return;
    this.#phase = 'lost';
    this.#reader.stop();
    this.#commits.stop();
    this.parts.lanes.drop(this.number);
    this.#close('it was lost');
    this.#change('lost');
    this.parts.gone(this);
  }

  /** From here on nothing comes of what still runs. */
  #close(reason: string): void {
    const error = new LostError(this.parts.queue.group, this.number, reason);
    this.#closed.abort(error);
    for (const { context } of this.running) context?.abort(error);
  }

  /** Resolves when nothing runs, the longest wait is over, or the partition is lost. */
  async #runOut(): Promise<void> {
    if (this.running.size === 0) return;
    let timer: Timer | undefined;
    await Promise.race([
      new Promise<void>((resolve) => (this.#idle = resolve)),
      new Promise<void>((resolve) => (timer = this.parts.take.clock.after(this.parts.longestMs, resolve))),
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
    if (!this.#watermark.see(offset, stamp)) return; // the owner before has settled it
    this.#trials.recall(message);
    this.#bytes += message.bytes;
    if (take.notices.watched) this.#tellReceived(message);
    if (message.refusal === undefined && !queue.entries.has(message.entry)) this.#hold(message);
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
    this.parts.take.notices.tell({ type: 'dropped', what, reason, ...about });
  }

  /**
   * A few messages are enough as long as they keep the handlers busy; up to the bounds of the buffer when all that is
   * here waits behind others.
   */
  #room(next: number): ReadMax {
    const messages = this.#free(this.parts.lanes.hungry(this.number) ? limits.bufferMessagesMax : readAhead);
    const bytes = limits.bufferBytesMax - this.#bytes;
    if (messages <= 0 || bytes <= 0 || this.#rangesFull(next)) return { messages: 0, bytes: 0 };
    return { messages: Math.min(readMessagesMax, messages), bytes: Math.min(readBytesMax, bytes) };
  }
  /** Not before a good part of what was full is free, so that each read brings many. */
  #roomy(next: number): boolean {
    if (this.#bytes >= limits.bufferBytesMax * fullShare || this.#rangesFull(next)) return false;
    if (this.#free(readAhead, fullShare) > 0) return true;
    return this.#free(limits.bufferMessagesMax, fullShare) > 0 && this.parts.lanes.hungry(this.number);
  }
  #free(messages: number, share = 1): number {
    return Math.floor(Math.min(messages, limits.bufferMessagesMax) * share) - this.#watermark.unsettled;
  }
  /** Reading what was read before makes no new ranges, and may be what it takes to find the lowest message. */
  #rangesFull(next: number): boolean {
    return this.#watermark.openRanges >= limits.openRangesMax && next >= this.#seenBefore;
  }

  /** At the bound of ranges only the lowest message may start; with room again, all. */
  #offerAgain(moved: boolean): void {
    if (this.#watermark.openRanges < limits.openRangesMax * fullShare) {
      this.#refused = false;
      this.parts.lanes.offer(this.number);
    } else if (moved) this.parts.lanes.offer(this.number, this.#watermark.at);
  }

  #snapshot(): Commit {
    const { at, seen } = this.#watermark;
    const ranges = this.#watermark.ranges();
    const tried = this.#trials.tell(at, this.#runningNow(), !this.closed.aborted);
    const state = cutState({ seen, ranges, tried, senders: this.#filter.senders() }, this.#end);
    const offset = Math.min(at, this.#end);
    return { offset, state: encodeState(offset, state, this.parts.take.log.stateBytesMax) };
  }

  /** Those whose handler was called, or will be as soon as this is kept. */
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
      room: (next) => this.#room(next),
      roomy: (next) => this.#roomy(next),
      lowest: () => this.#watermark.at,
      stuck: (lowest) => void this.#tellStuck(lowest),
      gap: (from, start) => this.#gap(from, start),
      cut: (end, reason) => this.#cut(end, reason),
      lost: () => this.#lose(),
      tell: (ok, reason) => this.#tell('reading', ok, reason),
    };
  }

  #commitsParts(): CommitsParts {
    const { take } = this.parts;
    return {
      clock: take.clock,
      owned: this.owned,
      commitMs: () => this.#trials.commitMs(),
      snapshot: () => this.#snapshot(),
      resting: () => this.#watermark.unsettled === 0,
      lost: () => this.#lose(),
      tell: (ok, reason) => this.#tell('commits', ok, reason),
    };
  }

  #change(change: 'taken' | 'given' | 'lost'): void {
    const { notices } = this.parts.take;
    const why: unknown = this.owned.lost.reason; // whoever aborts gives a LostError
    const reason = why instanceof LostError ? why.reason : 'its commit was refused';
    const told = { type: 'partition', queue: this.parts.queue.name, partition: this.number, change } as const;
    notices.tell(change === 'lost' ? { ...told, reason } : told);
    if (change !== 'taken') for (const what of this.#troubled) this.#tell(what, true, 'it is not here any more');
  }

  /** It works when all that did not does again. */
  #tell(what: 'reading' | 'commits', ok: boolean, reason: string): void {
    if (ok && !this.#troubled.delete(what)) return;
    if (!ok) this.#troubled.add(what);
    else if (this.#troubled.size > 0) return;
    const part = `partition ${this.parts.queue.name}/${this.number}` as const;
    this.parts.take.notices.tell({ type: 'state', part, ok, reason });
  }

  #log(reason: string): void {
    const fields = { queue: this.parts.queue.name, partition: this.number, reason };
    const message = 'what the last commit of a partition carried is not readable: it goes on at its offset alone';
    this.parts.take.notices.tell({ type: 'log', level: 'error', message, fields });
  }

  #tellReceived({ entry, id, envelope }: Message): void {
    this.parts.take.notices.tell({ type: 'received', kind: envelope?.kind ?? 'work', entry, id });
  }

  /** Told once for each entry: an instance of another version may serve it. */
  #hold({ entry, id, offset }: Message): void {
    const held = this.#unserved.get(entry);
    if (!held && this.#unserved.size >= heldEntriesMax) return;
    const { waiting, sinceMs } = held ?? { waiting: 0, sinceMs: this.parts.take.clock.now() };
    this.#unserved.set(entry, { entry, waiting: waiting + 1, sinceMs });
    if (held) return;
    this.#tellLow(`${entry} is not served here: ${id} at ${offset} waits, and what comes after it under its key`);
  }

  async #tellStuck(offset: number): Promise<void> {
    if (!this.parts.lanes.hungry(this.number)) return; // it is only long: all handlers are busy
    const { take, queue } = this.parts;
    const place = { partition: this.number, offset };
    const [record] = await take.log.peek(queue.topic.name, place, { messages: 1, bytes: 1 }).catch(() => []);
    const envelope = record && envelopeOf(record);
    const who = envelope && 'id' in envelope ? `${envelope.entry} ${envelope.id}` : placeOf(queue.topic.name, place);
    const { unsettled, openRanges } = this.#watermark;
    const behind = `${unsettled} messages are in memory, ${openRanges} ranges are settled above it`;
    this.#tellLow(`${who} at ${offset} does not settle, so the partition is not read on: ${behind}`);
  }

  #tellLow(reason: string): void {
    this.parts.take.notices.tell({ type: 'stuck', queue: this.parts.queue.name, partition: this.number, reason });
  }

  #gap(from: number, start: number): void {
    this.#commits.touch();
    if (!this.committed && from === 0) return; // a group that is new starts wherever the log does
    const what = `${this.parts.queue.topic.name}/${this.number}/${from}-${start - 1}`;
    this.parts.take.notices.tell({ type: 'dropped', what, reason: 'the log no longer has them' });
  }

  /** As if it had been lost and were taken again where the log has ended: other messages come under those offsets. */
  #cut(end: number, reason: string): void {
    this.#end = end;
    // Whoever sent what was not handled may not know yet that it was there, and send it again.
    for (const { incarnation, position } of this.#watermark.unsettledFrom(end))
      this.#filter.forget(incarnation, position);
    if (this.#phase !== 'owned') return; // the next owner goes on from there
    const what = `${placeOf(this.parts.queue.topic.name, { partition: this.number, offset: end })} and behind`;
    this.parts.take.notices.tell({ type: 'dropped', what, reason });
    const commit = this.#snapshot();
    this.#lose();
    this.parts.again(this.owned, commit);
  }
}
