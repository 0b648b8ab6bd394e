/**
 * Spool: a log on this machine in front of the log of the servers. A message is accepted when it is on the disk, and is
 * sent to the servers in the background, in the order of each sender and key.
 *
 * The local log has one topic for each topic of the servers, with the same name and partitions. Its records are the
 * final ones. So a partition that cannot be written holds up no other one, and progress is one offset per partition.
 */
import { within, type Clock } from '../base/clock';
import { BusError, isBusError } from '../base/errors';
import { closable, teardown, type Closable } from '../base/lifecycle';
import type { Notices } from '../base/notices';
import type { Append, Log, Place, Topic } from '../ports/log';
import type { Outbox } from '../ports/outbox';
import { Drain } from './drain';
import { Forwarded } from './forwarded';
import { Room } from './room';
import { parkedRecord, parkedTopic } from './parked';

export interface SpoolParts {
  readonly ns: string;
  readonly clock: Clock;
  readonly notices: Notices;
  /** Log of the servers. */
  readonly log: Pick<Log, 'ensure' | 'append'>;
  /** Log on this machine, which other processes share. It stays open when the spool is closed. */
  readonly local: Log;
  /** Most bytes that wait. */
  readonly bytesMax: number;
  /** Part of `bytesMax` that one topic can take. */
  readonly topicShare: number;
}

/** Time for which closing waits until the servers have what this process accepted, in ms. */
const closeWaitMs = 2_000;

export interface Spool extends Outbox, Closable {
  forwarded: NonNullable<Outbox['forwarded']>;
}

/** Opens the spool, and starts to send what waits in it. */
export async function openSpool(parts: SpoolParts): Promise<Spool> {
  const { ns, clock, notices, log, local, bytesMax, topicShare } = parts;
  const state = spoolState(notices);
  const parked = parkedTopic(ns);
  await local.ensure(parked);
  const forwarded = new Forwarded(clock, local);
  const drain = new Drain({
    clock,
    log,
    local,
    park: async (topic, record, error) => {
      await local.append(parked.name, [parkedRecord(topic, record, error, clock.now())]);
      const what = `${topic}/${record.partition}/${record.offset}`;
      const message = 'the servers refuse a message for good, so it was parked in the spool';
      notices.emit({ type: 'log', level: 'error', message, fields: { what, reason: error.message } });
    },
    sent: (topic, partition, offset, shipped) => forwarded.sent(topic, { partition, offset, shipped }),
    failing: (reason) => state.set('failing', reason),
  });
  const full = (reason: string | undefined): void => state.set('full', reason);
  const room = new Room({ clock, local, bytesMax, topicShare, topics: () => drain.topics, full });
  await drain.search();
  await room.look();
  const last = new LastPlaces();
  /** Waits for the messages of this process, unless the servers do not accept them: the next start sends them then. */
  async function sendRest(): Promise<void> {
    if (drain.isFailing) return;
    const waits = last.byTopic().map(([topic, places]) => forwarded.wait(topic, places, closeWaitMs));
    await within(clock, closeWaitMs, Promise.allSettled(waits)); // a refused message is parked
  }

  return {
    reached: 'disk',
    async ensure(topic: Topic) {
      await local.ensure(topic).catch(rethrow);
      drain.add(topic);
      await room.look();
    },
    /** Calls the local log at once, because appends must keep the order of the calls. */
    async append(topic: string, records: readonly Append[]): Promise<readonly Place[]> {
      room.take(topic, records);
      const places = await local.append(topic, records).catch(rethrow);
      last.note(topic, places);
      return places;
    },
    forwarded: (topic, places, withinMs) => forwarded.wait(topic, places, withinMs),
    async waiting() {
      await room.look();
      return { bytes: room.bytes, limitBytes: bytesMax };
    },
    ...closable(
      teardown('the spool', [
        ['rest', sendRest],
        ['waiting calls', () => forwarded.close()],
        ['drain', () => drain.close()],
        ['limits', () => room.close()],
      ]),
    ),
  };
}

/** Last place of this process in each partition of the spool. */
class LastPlaces {
  readonly #last = new Map<string, Map<number, number>>();

  note(topic: string, places: readonly Place[]): void {
    const its = this.#last.get(topic) ?? new Map<number, number>();
    this.#last.set(topic, its);
    for (const { partition, offset } of places) its.set(partition, Math.max(offset, its.get(partition) ?? 0));
  }
  byTopic(): readonly (readonly [topic: string, places: readonly Place[]])[] {
    return Array.from(this.#last, ([topic, its]) => [
      topic,
      Array.from(its, ([partition, offset]) => ({ partition, offset })),
    ]);
  }
}

/** Throws the error of the local log. A broken store is a broken spool for the sender. */
function rethrow(error: unknown): never {
  if (!isBusError(error, 'StoreBroken')) throw error;
  throw new BusError('SpoolBroken', `the spool cannot be used: ${error.message}`, error.details, error);
}

/** Reports the part `spool`, which is sick for several reasons. */
function spoolState(notices: Notices) {
  const reasons = new Map<'full' | 'failing', string>();
  return {
    set(kind: 'full' | 'failing', reason: string | undefined): void {
      if (reason === undefined) reasons.delete(kind);
      else reasons.set(kind, reason);
      const ok = reasons.size === 0;
      // An instance whose spool is full accepts no work. One whose messages wait accepts all of it.
      const ready = !ok && !reasons.has('full');
      const text = ok ? 'messages are accepted and sent to the servers' : [...reasons.values()].join('; ');
      notices.emit({ type: 'state', part: 'spool', ok, reason: text, ...(ready && { ready }) });
    },
  };
}
