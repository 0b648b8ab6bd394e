/** Port of a sender to the place where its messages become durable: a log, or the spool in front of the servers. */
import type { Append, Log, Place, Topic } from './log';

/** Durability of a record: 'disk' survives a restart of this machine, 'broker' also survives its loss. */
export type Reached = 'disk' | 'broker';

/** Receives the records of a sender, in the order of the calls. */
export interface Outbox {
  /** Durability of a record when {@link Outbox.append} resolves. */
  readonly reached: Reached;
  /** See {@link Log.ensure}. */
  ensure(topic: Topic): Promise<unknown>;
  /** See {@link Log.append}. The places are those on this machine if the outbox has {@link Outbox.forwarded}. */
  append(topic: string, records: readonly Append[]): Promise<readonly Place[]>;
  /**
   * Resolves when the servers have the records that were appended at these places, with their places there. A place is
   * undefined if it is no longer known. Resolves to undefined after `withinMs` (Infinity waits without a limit), and
   * when the outbox is closed.
   *
   * Rejects with Config if the servers refused one of the records for good.
   */
  forwarded?(
    topic: string,
    places: readonly Place[],
    withinMs: number,
  ): Promise<readonly (Place | undefined)[] | undefined>;
  /** Returns the bytes that wait for the servers, of all processes of the machine, and their limit. */
  waiting?(): Promise<{ readonly bytes: number; readonly limitBytes: number }>;
}

/** Returns a log as an outbox. */
export function outboxOf(log: Pick<Log, 'ensure' | 'append'>, reached: Reached): Outbox {
  return {
    reached,
    ensure: (topic) => log.ensure(topic),
    append: (topic, records) => log.append(topic, records),
  };
}
