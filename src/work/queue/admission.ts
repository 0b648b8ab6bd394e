/** Decides what becomes of each record of a partition: a message in the lanes, or nothing. */
import type { Clock } from '../../base/clock';
import type { Stored } from '../../ports/log';
import { envelopeOf, placeOf, readMessage, type Holder, type Message } from '../message';
import type { Queue } from '../types';
import type { Lanes } from './lanes';
import type { PartitionNotices } from './partition-notices';
import type { PartitionState } from './partition-state';
import type { Room } from './read-ahead';
import { UnservedEntries } from './unserved';

export interface AdmissionParts {
  readonly queue: Queue;
  readonly state: PartitionState;
  readonly lanes: Pick<Lanes<Message>, 'add'>;
  readonly room: Pick<Room, 'add'>;
  readonly clock: Clock;
  readonly notices: PartitionNotices;
  /** Partition of the messages. */
  readonly holder: Holder;
  /** Number of times that this instance has released the partition because of messages that it does not serve. */
  readonly givenAway: number;
  /** Offers the partition to instances that serve one of the entries. */
  offer(entries: readonly string[]): void;
  /** Called when the progress has changed without a message. */
  skipped(): void;
}

export class Admission {
  readonly unserved: UnservedEntries;

  constructor(private readonly parts: AdmissionParts) {
    const { clock, givenAway, notices } = parts;
    const offer = (entries: readonly string[]): void => parts.offer(entries);
    this.unserved = new UnservedEntries({ clock, givenAway, report: (reason) => notices.stuck(reason), offer });
  }

  /** Takes the next record. Records that are repeated, without a value or not for this queue become no message. */
  admit(record: Stored): void {
    const { queue, state, holder } = this.parts;
    const envelope = record.value === null ? undefined : envelopeOf(record);
    const stamp = envelope && 'stamp' in envelope ? envelope.stamp : undefined;
    if (state.repeats(record, stamp)) return this.#drop(record, 'repeated');
    if (record.value === null) return this.#drop(record, 'it has no value');
    const message = readMessage(queue, record, envelope, holder);
    if (!message) return this.#skip(record.offset);
    if (!state.watermark.see(record.offset, stamp)) return; // an earlier owner has settled it
    state.evidence.recall(message);
    this.#add(message);
  }

  #add(message: Message): void {
    const { queue, room, notices, lanes } = this.parts;
    room.add(message);
    if (notices.watched) notices.received(message);
    if (message.refusal === undefined && !queue.entries.has(message.entry)) this.unserved.add(message);
    lanes.add(message);
  }

  #skip(offset: number): void {
    this.parts.state.watermark.pass(offset + 1);
    this.parts.skipped();
  }

  #drop(record: Stored, reason: string): void {
    this.#skip(record.offset);
    const what = placeOf(this.parts.queue.topic.name, record);
    const envelope = envelopeOf(record);
    const about = envelope && 'id' in envelope ? { entry: envelope.entry, id: envelope.id } : {};
    this.parts.notices.dropped(what, reason, about);
  }
}
