/** A log that resends batches without an answer. A sender never passes a batch of unknown outcome. */
import { sleep, type Clock } from '../../src/base/clock';
import { inPart, isBusError } from '../../src/base/errors';
import type { Append, Log, Place } from '../../src/ports/log';
import type { Dice } from './dice';
import type { Ledger } from './ledger';

export interface ResendParts {
  readonly log: Log;
  readonly clock: Clock;
  readonly dice: Dice;
  readonly ledger: Ledger;
  /** The probability that the answer to a stored batch is lost, so that it is resent; 0 after the faults. */
  chance(): number;
}

const triesMax = 100;
const pauseMsMax = 1_500;

export function resendingLog(parts: ResendParts): Log {
  const before = new Map<string, Promise<unknown>>();
  return {
    ...parts.log,
    append(topic, records) {
      const mine = (before.get(topic) ?? Promise.resolve()).then(() => appendOnce(parts, topic, records));
      const passed = mine.catch(() => undefined); // the sender receives the error
      before.set(topic, passed);
      return mine;
    },
  };
}

async function appendOnce(parts: ResendParts, topic: string, records: readonly Append[]): Promise<readonly Place[]> {
  const { log, clock, dice, ledger } = parts;
  let isUncertain = false;
  for (let tries = 1; ; tries++) {
    try {
      const places = await log.append(topic, records);
      if (!dice.chance(parts.chance())) return places;
      ledger.note(`an answer of ${topic} is lost`);
      ledger.count('fault resend');
      isUncertain = true;
    } catch (error) {
      if (tries >= triesMax || !isBusError(error, 'Unreachable')) throw isUncertain ? inPart(error) : error;
      isUncertain ||= error.details.outcome === 'unknown';
    }
    await sleep(clock, dice.whole(0, pauseMsMax));
  }
}
