/** State of a partition that its commits record: settled offsets, stamps of senders, attempts and the newest record. */
import type { Clock } from '../../base/clock';
import type { Stamp } from '../../format/envelope-fields';
import type { Commit, Stored } from '../../ports/log';
import { openIdWindow, type ChosenId, type Earlier, type IdWindow, type MakeIdWindow } from '../../delivery/id-window';
import { cutState, encodeState, takenMs, type ChosenRange, type Newest } from '../progress/commit-state';
import { openFilter, type Filter, type MakeFilter } from '../progress/duplicate-filter';
import type { Progress } from '../progress/progress';
import { openWatermark, type MakeWatermark, type Watermark } from '../progress/watermark';
import { CrashEvidence } from './crash-evidence';

export interface PartitionStateParts {
  readonly clock: Clock;
  readonly commitMs: number;
  readonly makeWatermark?: MakeWatermark | undefined;
  readonly makeFilter?: MakeFilter | undefined;
  readonly makeIdWindow?: MakeIdWindow | undefined;
}

export class PartitionState {
  readonly watermark: Watermark;
  readonly evidence: CrashEvidence;
  /** Offset below which an earlier owner has already filtered the records. */
  readonly seenBefore: number;
  readonly #filter: Filter;
  readonly #ids: IdWindow;
  #chosen: ChosenRange | undefined;
  #newest: Newest | undefined;
  /** Offset from which the log has lost the records that were read. */
  #end = Infinity;

  constructor(
    { clock, commitMs, makeWatermark, makeFilter, makeIdWindow }: PartitionStateParts,
    { offset, state }: Progress,
  ) {
    this.seenBefore = state.seen;
    this.watermark = (makeWatermark ?? openWatermark)(offset, state.seen, state.ranges);
    this.#filter = (makeFilter ?? openFilter)(state.senders);
    this.#ids = (makeIdWindow ?? openIdWindow)();
    this.#chosen = state.chosen;
    this.evidence = new CrashEvidence(state.tried, clock, commitMs);
    this.#newest = state.newest;
  }

  /** Newest record that the group has read. */
  get newest(): Newest | undefined {
    return this.#newest;
  }
  /** Forgets the newest record, since it is not in this log. */
  forgetNewest(): void {
    this.#newest = undefined;
  }

  /** Records with chosen ids that the group has read. */
  get chosen(): ChosenRange | undefined {
    return this.#chosen;
  }
  /** Notes a record with a chosen id that was read. Returns an earlier record of the same message. */
  noteId(record: Stored, chosen: ChosenId): Earlier | undefined {
    const { from, newest } = this.#chosen ?? { from: record.offset };
    const isNewest = record.offset > (newest?.offset ?? -1);
    const at = { offset: record.offset, timeMs: takenMs(record) };
    this.#chosen = { from, newest: isNewest || !newest ? at : newest };
    return this.#ids.note(record, chosen);
  }
  /** Notes a record with a chosen id that an earlier owner has read. */
  recallId(record: Stored, chosen: ChosenId): void {
    this.#ids.recall(record, chosen);
  }
  knowsSender({ incarnation }: Stamp): boolean {
    return this.#filter.knows(incarnation);
  }
  /** Notes a record that an earlier owner has read. */
  recallSender({ incarnation, position }: Stamp, timeMs: number): void {
    this.#filter.recall(incarnation, position, timeMs);
  }

  /** Settles a record that is not handled. Returns false when an earlier owner has settled it. */
  settleUnhandled(offset: number): boolean {
    return this.watermark.see(offset) && this.watermark.settle(offset);
  }

  /** Notes a record that was read. Returns true when it repeats an earlier one of its sender, which settles it. */
  repeats(record: Stored, stamp: Stamp | undefined): boolean {
    const { offset, timeMs } = record;
    if (offset > (this.#newest?.offset ?? -1)) this.#newest = { offset, timeMs: takenMs(record) };
    if (!stamp || offset < this.seenBefore || this.#filter.fresh(stamp.incarnation, stamp.position, timeMs))
      return false;
    this.settleUnhandled(offset);
    return true;
  }

  /** Settles a message. Returns true when the watermark has moved. */
  settle(offset: number): boolean {
    const before = this.watermark.at;
    this.evidence.settled(offset);
    this.watermark.settle(offset);
    return this.watermark.at !== before;
  }

  /** Ends the state at `end`. Senders can resend unhandled messages above it, so their stamps are accepted again. */
  cut(end: number): void {
    this.#end = end;
    for (const { incarnation, position } of this.watermark.unsettledFrom(end))
      this.#filter.forget(incarnation, position);
  }

  /** Returns the progress while the messages at the `running` offsets run. `open` means that this owner continues. */
  progress(running: ReadonlySet<number>, open: boolean): Progress {
    const { at, seen } = this.watermark;
    const ranges = this.watermark.ranges();
    const tried = this.evidence.report(at, running, open);
    const newest = this.#newest && { newest: this.#newest };
    const chosen = this.#chosen && { chosen: this.#chosen };
    const state = cutState({ seen, ...newest, ...chosen, ranges, tried, senders: this.#filter.senders() }, this.#end);
    return { offset: Math.min(at, this.#end), state };
  }
}

/** Returns the progress as a commit. */
export function commitOf({ offset, state }: Progress, stateBytesMax: number): Commit {
  return { offset, state: encodeState(offset, state, stateBytesMax) };
}
