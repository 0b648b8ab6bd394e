/** Returns parked records of a spool to the messages that wait, or removes them for good. */
import type { Clock, Random } from '../base/clock';
import type { Envelope } from '../format/envelope-fields';
import { parseEnvelope } from '../format/envelope-parser';
import { printEnvelope } from '../format/envelope-printer';
import { incarnation } from '../format/id';
import type { Append, Log } from '../ports/log';
import type { Found } from './contents';
import type { ParkedRecord } from './parked';

export interface SpoolReplayParts {
  readonly local: Pick<Log, 'append'>;
  readonly clock: Clock;
  readonly random: Random;
}

/** Replays parked records, one after the other. */
export interface Replayer {
  /**
   * Appends the record to the topic of the spool from which it was parked, and then removes it from the parked ones. A
   * crash between the two does not lose it: it is then sent, and still parked.
   */
  replay(found: Found): Promise<void>;
  /** Removes the record for good. Resolves when that is durable. */
  drop(found: Found): Promise<void>;
}

/**
 * A replayed record gets a stamp of a new sender. With its old one, receivers would drop it, since they have received
 * later messages of its sender.
 */
export function spoolReplayer({ local, clock, random }: SpoolReplayParts): Replayer {
  const life = incarnation(random);
  let position = 0;
  async function drop({ parkedIn: { topic, ...place } }: Found): Promise<void> {
    await local.append(topic, [{ ...place, value: null, headers: {} }]);
  }
  return {
    drop,
    async replay(found) {
      position++;
      const { topic } = found.record;
      await local.append(topic, [resent(clock, found.record, { incarnation: life, position })]);
      await drop(found);
    },
  };
}

function resent(clock: Clock, { partition, record }: ParkedRecord, stamp: NonNullable<Envelope['stamp']>): Append {
  const { key, value, headers } = record;
  const line = headers['bus'];
  const old = line === undefined ? undefined : parseEnvelope(line);
  if (!old || 'bad' in old) return { partition, key, value, headers };
  const bus = printEnvelope({ ...old, stamp, sentMs: clock.now(), replay: (old.replay ?? 0) + 1 });
  return { partition, key, value, headers: { ...headers, bus } };
}
