/** Decides what becomes of each record of a partition: a message in the lanes, or nothing. */
import type { Clock } from '../../base/clock';
import type { Earlier } from '../../delivery/id-window';
import type { Stored } from '../../ports/log';
import { envelopeOf, placeOf, readMessage, unreadable, type Holder, type Message } from '../message';
import type { Queue } from '../types';
import type { Lanes } from './lane';
import type { PartitionNotices } from './partition-notices';
import type { PartitionState } from './partition-state';
import type { Room } from './read-ahead';
import { chosenIdOf } from './read-back';
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
  /** Called for each message that is added to the lanes. */
  received(message: Message): void;
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
    // Before the filter by stamp, which ignores records that an earlier owner has read. All owners must note the same.
    const chosen = chosenIdOf(queue, record, envelope);
    const earlier = chosen && state.noteId(record, chosen);
    if (state.repeats(record, stamp)) return this.#drop(record, 'repeated');
    if (record.value === null) return this.#drop(record, 'it has no value');
    if (earlier?.same) return this.#dropCopy(record, earlier);
    const refusal = earlier && conflictReason(queue.topic.name, record, earlier);
    const message = readMessage(queue, record, envelope, holder, refusal);
    if (!message) return this.#skip(record.offset);
    if (!state.watermark.see(record.offset, stamp)) return; // an earlier owner has settled it
    state.evidence.recall(message);
    this.#add(message);
  }

  #add(message: Message): void {
    const { queue, room, notices, lanes } = this.parts;
    room.add(message);
    this.parts.received(message);
    if (notices.watched) notices.received(message);
    if (message.entry !== unreadable && !queue.entries.has(message.entry)) this.unserved.add(message);
    lanes.add(message);
  }

  /** Settles a copy. A copy that an earlier owner has settled was reported by it. */
  #dropCopy(record: Stored, { offset }: Earlier): void {
    if (!this.parts.state.settleUnhandled(record.offset)) return;
    const first = placeOf(this.parts.queue.topic.name, { partition: record.partition, offset });
    this.#drop(record, `it is a copy of ${first}, which has its id`);
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

function conflictReason(topic: string, record: Stored, { offset }: Earlier): string {
  const first = placeOf(topic, { partition: record.partition, offset });
  return `its id belongs to ${first}, which has another body than this message at ${placeOf(topic, record)}`;
}
