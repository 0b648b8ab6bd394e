/** Applies the result of a fetch to each position that was part of it: records, a pause, a gap, or a loss. */
import { sleep } from '../../base/clock';
import { errorMessage } from '../../base/errors';
import { OutOfRangeError, type Stored } from '../../ports/log';
import { busErrorOf, type KafkaError } from '../protocol/errors';
import type { FetchBuffer } from './fetch-buffer';
import type { ReadHealth } from './read-health';
import type { ClusterMetadata } from '../cluster/metadata';
import { allGood, pauseMs } from '../cluster/retry';
import type { Channel } from '../client/broker-client';
import type { Fetched, TopicPartition } from '../protocol/types';

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

export interface FetchResultsParts {
  readonly metadata: ClusterMetadata;
  readonly channel: Channel;
  readonly readHealth: ReadHealth;
  readonly closing: AbortSignal;
  /** Called when the position must be fetched again. */
  readonly changed: (buffer: FetchBuffer) => void;
}

export class FetchResults {
  constructor(private readonly parts: FetchResultsParts) {}

  take(
    node: number,
    requested: TopicPartition & { readonly offset: number },
    answer: Fetched,
    members: readonly FetchBuffer[],
  ): void {
    const { error } = answer;
    const fits = members.filter(({ next }) => next >= requested.offset && next <= answer.next);
    fits.forEach((buffer, i) => {
      if (error === null) {
        this.parts.readHealth.works(buffer);
        // The log of this broker ended before the position, so its records there are not the ones that were read.
        if (buffer.beyond?.node === node) return this.#lose(buffer, buffer.beyond.end, answer.start);
        if (buffer.absences !== this.parts.metadata.absences(buffer.topic))
          return void this.#rest(buffer, () => this.#recognize(buffer), 0);
        buffer.beyond = buffer.damaged = undefined;
      }
      buffer.put(i === 0 ? answer.records : answer.records.map(copyOf), answer.next);
      if (error === null) this.parts.metadata.held.see(buffer, answer);
    });
    if (error === null) return;
    const leader = this.parts.metadata.leader(requested);
    if (error.step === 'leader' && leader !== undefined && leader !== node) return; // it is fetched from the new leader
    const ofAll = error.step === 'leader' || (error.fatal && error.until === undefined);
    const affected = ofAll ? members : members.filter((p) => p.next === answer.next);
    if (error.step === 'leader') this.parts.metadata.invalidateLeader(requested, node);
    for (const buffer of affected) this.#refused(buffer, error);
  }

  #refused(buffer: FetchBuffer, error: KafkaError): void {
    // The reader reports an error that it receives.
    if (error.retriable || error.step === 'offsetMissing') this.parts.readHealth.fails(buffer, error.message);
    if (error.step === 'leader') {
      void this.parts.metadata.refresh();
      void this.#rest(buffer, undefined, 0);
    } else if (error.step === 'offsetMissing') void this.#rest(buffer, () => this.#findOut(buffer), restMs);
    else if (error.until !== undefined) this.#unreadable(buffer, error, error.until);
    else if (error.retriable) void this.#rest(buffer, undefined, restMs);
    else this.#fail(buffer, error);
  }

  #fail(buffer: FetchBuffer, error: KafkaError): void {
    buffer.fail(busErrorOf(error, `reading ${buffer.topic}/${buffer.partition}`, 0));
    void this.#rest(buffer, undefined, failedRestMs);
  }

  /**
   * Skips records only if neither a retry nor another member of the group can read them. A member on another Node.js
   * version can support a compression that this process lacks.
   */
  #unreadable(buffer: FetchBuffer, error: KafkaError, until: number): void {
    const { clock } = this.parts.metadata.parts;
    if (error.code === 'UNSUPPORTED_COMPRESSION_TYPE' && this.parts.channel === 'work')
      return this.#fail(buffer, error);
    if (error.code !== 'CORRUPT_MESSAGE') return this.#skip(buffer, error, until);
    if (buffer.damaged?.at !== buffer.next) buffer.damaged = { at: buffer.next, sinceMs: clock.mono() };
    const [limitMs, restsMs] =
      this.parts.channel === 'inbox' ? [damagedInboxMsMax, restMs] : [damagedMsMax, failedRestMs];
    if (clock.mono() - buffer.damaged.sinceMs >= limitMs) return this.#skip(buffer, error, until);
    this.parts.readHealth.fails(buffer, error.message);
    void this.#rest(buffer, undefined, restsMs);
  }

  /** Pauses the position until `meanwhile` has ended, and then for at least `atLeastMs`. */
  async #rest(buffer: FetchBuffer, meanwhile: (() => Promise<void>) | undefined, atLeastMs: number): Promise<void> {
    const { clock, random } = this.parts.metadata.parts;
    buffer.resting = true;
    await meanwhile?.();
    await sleep(clock, Math.max(atLeastMs, pauseMs(random, 0)), this.parts.closing);
    buffer.resting = false;
    this.parts.changed(buffer);
  }

  #skip(buffer: FetchBuffer, error: KafkaError, until: number): void {
    const { topic, partition, next } = buffer;
    const what = `${topic}/${partition}/${next}-${until - 1}`;
    this.parts.metadata.parts.notices.emit({ type: 'dropped', what, reason: error.message });
    buffer.put([], until);
  }

  /** Checks an offset that the broker rejected: it is before the start of the log, or after its end. */
  async #findOut(buffer: FetchBuffer): Promise<void> {
    const { topic, partition, next, jumps } = buffer;
    try {
      const node = this.parts.metadata.mustLead(buffer);
      const { start, end } = await boundsOf(this.parts.metadata, buffer);
      if (buffer.jumps !== jumps || buffer.closed || (next >= start && next <= end)) return;
      if (next > end) await this.#beyond(buffer, { start, end }, node);
      else buffer.fail(new OutOfRangeError(topic, partition, next, start));
    } catch {
      await this.parts.metadata.refresh(); // the position is then fetched again
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
  async #beyond(buffer: FetchBuffer, { start, end }: { start: number; end: number }, node: number): Promise<void> {
    const { clock } = this.parts.metadata.parts;
    const before = buffer.beyond ?? { sinceMs: clock.mono(), end };
    buffer.beyond = { sinceMs: before.sinceMs, end: Math.min(before.end, end), node };
    if (clock.mono() - before.sinceMs < beyondMsMax) await this.parts.metadata.refresh();
    else this.#lose(buffer, buffer.beyond.end, start);
  }

  /**
   * Checks that a topic is the same after an absence. A topic that was deleted and recreated can have other records at
   * and before the position. It is the same if the last record that was read is still stored at its offset.
   */
  async #recognize(buffer: FetchBuffer): Promise<void> {
    const { metadata } = this.parts;
    const { topic, partition, last, jumps } = buffer;
    const absences = metadata.absences(topic);
    try {
      const { start } = await boundsOf(metadata, buffer);
      const isSame = last === undefined || last.offset < start || (await this.#isThere(buffer, last));
      if (buffer.jumps !== jumps || buffer.closed) return;
      if (isSame) buffer.absences = absences;
      else this.#lose(buffer, start, start);
    } catch (error) {
      this.parts.readHealth.fails(
        buffer,
        `${topic}/${partition} was missing, and cannot be compared with what was read before: ${errorMessage(error)}`,
      );
      await metadata.refresh(); // the check is then repeated
    }
  }
  async #isThere(
    topicPartition: TopicPartition,
    { offset, timeMs }: Pick<Stored, 'offset' | 'timeMs'>,
  ): Promise<boolean> {
    const { metadata } = this.parts;
    const at = { node: metadata.mustLead(topicPartition), channel: 'admin' } as const;
    const partitions = [{ topic: topicPartition.topic, partition: topicPartition.partition, offset, bytesMax: 1 }];
    const [answer] = await metadata.parts.client.fetch(
      at,
      { partitions, maxWaitMs: 0, bytesMax: 1 },
      this.parts.closing,
    );
    if (answer?.error && answer.error.step !== 'offsetMissing') throw answer.error;
    const [record] = answer?.records ?? [];
    return record?.offset === offset && record.timeMs === timeMs;
  }

  /** Reports that the records from `end` on are lost. All records are lost if the topic was recreated. */
  #lose(buffer: FetchBuffer, end: number, start: number): void {
    const { topic, partition, next } = buffer;
    const goOn = this.parts.metadata.absences(topic) === buffer.absences ? end : start;
    const error = new OutOfRangeError(topic, partition, next, start, goOn);
    const fields = { topic, partition, next, start, end };
    const message = `${error.message}. Was a replica elected that lacked records, or the topic recreated?`;
    this.parts.metadata.parts.notices.emit({ type: 'log', level: 'error', message, fields });
    buffer.fail(error);
  }
}

function copyOf(record: Stored): Stored {
  const copy = (bytes: Uint8Array | null): Uint8Array | null => bytes && Uint8Array.from(bytes);
  return { ...record, key: copy(record.key), value: copy(record.value), headers: { ...record.headers } };
}

/**
 * Returns the start and the end of a partition, requested from its leader without a retry. Rejects with a KafkaError.
 */
export async function boundsOf(
  metadata: ClusterMetadata,
  topicPartition: TopicPartition,
): Promise<{ readonly start: number; readonly end: number }> {
  const at = { node: metadata.mustLead(topicPartition), channel: 'admin' } as const;
  const { topic, partition } = topicPartition;
  const offset = async (time: 'start' | 'end'): Promise<number> => {
    const [answer] = allGood(await metadata.parts.client.listOffsets(at, [{ topic, partition, time }]));
    return answer?.offset ?? 0;
  };
  const [start, end] = await Promise.all([offset('start'), offset('end')]);
  return { start, end };
}
