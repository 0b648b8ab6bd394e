/** Applies the result of a fetch to each position that was part of it: records, a pause, a gap, or a loss. */
import { sleep } from '../../base/clock';
import { sayError } from '../../base/errors';
import { OutOfRangeError, type Stored } from '../../ports/log';
import { busErrorOf, type WireError } from '../protocol/errors';
import type { Position } from './fetch-buffer';
import type { Troubles } from './read-health';
import { allGood, pauseMs, type View } from '../cluster/metadata';
import type { Via } from '../client/broker-client';
import type { Fetched, Spot } from '../protocol/types';

/** Pause after an error that a change of leader does not resolve, so that the broker is not polled without delay. */
const restMs = 100;
/** Pause after an error that a retry seldom resolves: one that the reader receives, or damaged records. */
export const failedRestMs = 1_000;
/**
 * Time for which a log must end before the read position until that counts as a loss. A broker that is no longer leader
 * can report an old end.
 */
const beyondMsMax = 5_000;
/** Time for which damaged records are fetched again over new connections. The copy on disk can be intact. */
const damagedMsMax = 60_000;
/** The same limit for an inbox. It is short because every request to this instance waits behind the damaged records. */
const damagedInboxMsMax = 2_000;

export interface AnswersParts {
  readonly view: View;
  readonly via: Via;
  readonly troubles: Troubles;
  readonly closing: AbortSignal;
  /** Called when the position must be fetched again. */
  readonly changed: (position: Position) => void;
}

export class Answers {
  constructor(private readonly parts: AnswersParts) {}

  take(node: number, asked: Spot & { readonly offset: number }, answer: Fetched, members: readonly Position[]): void {
    const { error } = answer;
    const fits = members.filter(({ next }) => next >= asked.offset && next <= answer.next);
    fits.forEach((position, i) => {
      if (error === null) {
        this.parts.troubles.over(position);
        // The log of this broker ended before the position, so its records there are not the ones that were read.
        if (position.beyond?.node === node) return this.#lose(position, position.beyond.end, answer.start);
        if (position.absences !== this.parts.view.absences(position.topic))
          return void this.#rest(position, () => this.#recognize(position), 0);
        position.beyond = position.damaged = undefined;
      }
      position.put(i === 0 ? answer.records : answer.records.map(copyOf), answer.next);
      if (error === null) this.parts.view.held.see(position, answer);
    });
    if (error === null) return;
    const leader = this.parts.view.leader(asked);
    if (error.step === 'leader' && leader !== undefined && leader !== node) return; // it is fetched from the new leader
    const ofAll = error.step === 'leader' || (error.fatal && error.until === undefined);
    const affected = ofAll ? members : members.filter((p) => p.next === answer.next);
    if (error.step === 'leader') this.parts.view.doubt(asked, node);
    for (const position of affected) this.#refused(position, error);
  }

  #refused(position: Position, error: WireError): void {
    // The reader reports an error that it receives.
    if (error.retriable || error.step === 'gone') this.parts.troubles.bad(position, error.message);
    if (error.step === 'leader') {
      void this.parts.view.refresh();
      void this.#rest(position, undefined, 0);
    } else if (error.step === 'gone') void this.#rest(position, () => this.#findOut(position), restMs);
    else if (error.until !== undefined) this.#unreadable(position, error, error.until);
    else if (error.retriable) void this.#rest(position, undefined, restMs);
    else this.#fail(position, error);
  }

  #fail(position: Position, error: WireError): void {
    position.fail(busErrorOf(error, `reading ${position.topic}/${position.partition}`, 0));
    void this.#rest(position, undefined, failedRestMs);
  }

  /**
   * Skips records only if neither a retry nor another member of the group can read them. A member on another Node.js
   * version can support a compression that this process lacks.
   */
  #unreadable(position: Position, error: WireError, until: number): void {
    const { clock } = this.parts.view.parts;
    if (error.code === 'UNSUPPORTED_COMPRESSION_TYPE' && this.parts.via === 'work') return this.#fail(position, error);
    if (error.code !== 'CORRUPT_MESSAGE') return this.#skip(position, error, until);
    if (position.damaged?.at !== position.next) position.damaged = { at: position.next, sinceMs: clock.mono() };
    const [longestMs, restsMs] =
      this.parts.via === 'inbox' ? [damagedInboxMsMax, restMs] : [damagedMsMax, failedRestMs];
    if (clock.mono() - position.damaged.sinceMs >= longestMs) return this.#skip(position, error, until);
    this.parts.troubles.bad(position, error.message);
    void this.#rest(position, undefined, restsMs);
  }

  /** Pauses the position until `meanwhile` has ended, and then for at least `atLeastMs`. */
  async #rest(position: Position, meanwhile: (() => Promise<void>) | undefined, atLeastMs: number): Promise<void> {
    const { clock, random } = this.parts.view.parts;
    position.resting = true;
    await meanwhile?.();
    await sleep(clock, Math.max(atLeastMs, pauseMs(random, 0)), this.parts.closing);
    position.resting = false;
    this.parts.changed(position);
  }

  #skip(position: Position, error: WireError, until: number): void {
    const { topic, partition, next } = position;
    const what = `${topic}/${partition}/${next}-${until - 1}`;
    this.parts.view.parts.notices.tell({ type: 'dropped', what, reason: error.message });
    position.put([], until);
  }

  /** Checks an offset that the broker rejected: it is before the start of the log, or after its end. */
  async #findOut(position: Position): Promise<void> {
    const { topic, partition, next, jumps } = position;
    try {
      const node = this.parts.view.mustLead(position);
      const { start, end } = await boundsOf(this.parts.view, position);
      if (position.jumps !== jumps || position.closed || (next >= start && next <= end)) return;
      if (next > end) await this.#beyond(position, { start, end }, node);
      else position.fail(new OutOfRangeError(topic, partition, next, start));
    } catch {
      await this.parts.view.refresh(); // the position is then fetched again
    }
  }

  /**
   * Handles a log that ends before the position. Either acknowledged records are lost, or this broker is no longer the
   * leader and has not detected that.
   *
   * A leader with a complete log never reports such an end, not even after a restart. Until its replicas have reported
   * their offsets, it returns no records and no end of its log. So the metadata is refreshed for a time, which finds
   * another leader. The lowest end is kept, because new records would otherwise hide the offset at which the log ended.
   */
  async #beyond(position: Position, { start, end }: { start: number; end: number }, node: number): Promise<void> {
    const { clock } = this.parts.view.parts;
    const before = position.beyond ?? { sinceMs: clock.mono(), end };
    position.beyond = { sinceMs: before.sinceMs, end: Math.min(before.end, end), node };
    if (clock.mono() - before.sinceMs < beyondMsMax) await this.parts.view.refresh();
    else this.#lose(position, position.beyond.end, start);
  }

  /**
   * Checks that a topic is the same after an absence. A topic that was deleted and recreated can have other records at
   * and before the position. It is the same if the last record that was read is still stored at its offset.
   */
  async #recognize(position: Position): Promise<void> {
    const { view } = this.parts;
    const { topic, partition, last, jumps } = position;
    const absences = view.absences(topic);
    try {
      const { start } = await boundsOf(view, position);
      const isSame = last === undefined || last.offset < start || (await this.#isThere(position, last));
      if (position.jumps !== jumps || position.closed) return;
      if (isSame) position.absences = absences;
      else this.#lose(position, start, start);
    } catch (error) {
      this.parts.troubles.bad(
        position,
        `${topic}/${partition} was missing, and cannot be compared with what was read before: ${sayError(error)}`,
      );
      await view.refresh(); // the check is then repeated
    }
  }
  async #isThere(spot: Spot, { offset, timeMs }: Pick<Stored, 'offset' | 'timeMs'>): Promise<boolean> {
    const { view } = this.parts;
    const at = { node: view.mustLead(spot), via: 'admin' } as const;
    const partitions = [{ topic: spot.topic, partition: spot.partition, offset, bytesMax: 1 }];
    const [answer] = await view.parts.wire.fetch(at, { partitions, maxWaitMs: 0, bytesMax: 1 }, this.parts.closing);
    if (answer?.error && answer.error.step !== 'gone') throw answer.error;
    const [record] = answer?.records ?? [];
    return record?.offset === offset && record.timeMs === timeMs;
  }

  /** Reports that the records from `end` on are lost. All records are lost if the topic was recreated. */
  #lose(position: Position, end: number, start: number): void {
    const { topic, partition, next } = position;
    const goOn = this.parts.view.absences(topic) === position.absences ? end : start;
    const error = new OutOfRangeError(topic, partition, next, start, goOn);
    const fields = { topic, partition, next, start, end };
    const message = `${error.message}. Was a replica elected that lacked records, or the topic recreated?`;
    this.parts.view.parts.notices.tell({ type: 'log', level: 'error', message, fields });
    position.fail(error);
  }
}

function copyOf(record: Stored): Stored {
  const copy = (bytes: Uint8Array | null): Uint8Array | null => bytes && Uint8Array.from(bytes);
  return { ...record, key: copy(record.key), value: copy(record.value), headers: { ...record.headers } };
}

/**
 * Returns the start and the end of a partition, requested from its leader without a retry. Rejects with a WireError.
 */
export async function boundsOf(view: View, spot: Spot): Promise<{ readonly start: number; readonly end: number }> {
  const at = { node: view.mustLead(spot), via: 'admin' } as const;
  const { topic, partition } = spot;
  const offset = async (time: 'start' | 'end'): Promise<number> => {
    const [answer] = allGood(await view.parts.wire.listOffsets(at, [{ topic, partition, time }]));
    return answer?.offset ?? 0;
  };
  const [start, end] = await Promise.all([offset('start'), offset('end')]);
  return { start, end };
}
