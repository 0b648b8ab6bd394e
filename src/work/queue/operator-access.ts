/** Finds and skips messages in the memory of a consumer, for operators. */
import type { Clock } from '../../base/clock';
import type { Message } from '../message';
import type { HeldMessage, Skipped } from '../held-message';
import { findHeld } from './held';
import type { Lanes } from './lane';
import type { QueueLimits } from './queue-limits';
import { SkippedError, type Skips } from './skips';

export interface OperatorParts {
  readonly clock: Clock;
  /** Returns the messages that have started and are not settled. */
  readonly running: () => readonly Message[];
  readonly lanes: Pick<Lanes<Message>, 'all' | 'lift'>;
  readonly limits: QueueLimits;
  readonly skips: Skips;
  /** Starts a message that was taken from the lanes. A skipped one is parked. */
  readonly start: (message: Message) => void;
}

export class OperatorAccess {
  constructor(private readonly parts: OperatorParts) {}

  /** See {@link QueueConsumer.held}. */
  held(idStart: string): readonly HeldMessage[] {
    const { clock, running, lanes, limits } = this.parts;
    const attempts = {
      attemptsMax: (message: Message) => limits.attemptsMax(message),
      concurrencyOf: (entry: string) => limits.byEntry.get(entry)?.concurrency,
    };
    return findHeld({ running: running(), waiting: lanes.all(), monoMs: clock.mono(), ...attempts }, idStart);
  }

  /** See {@link QueueConsumer.skip}. */
  skip(ids: readonly string[], reason: string): readonly Skipped[] {
    const { clock, running, lanes, skips, start } = this.parts;
    const wanted = new Set(ids);
    for (const id of wanted) skips.mark(id, reason);
    const states = new Map<string, Skipped['state']>();
    for (const message of running()) {
      if (!wanted.has(message.id)) continue;
      message.context?.abort(new SkippedError(reason));
      states.set(message.id, 'aborted');
    }
    const found = [...lanes.all()].map(({ item }) => item).filter(({ id }) => wanted.has(id));
    for (const message of found) {
      if (!lanes.lift(message, clock.mono())) continue;
      states.set(message.id, 'parking');
      start(message);
    }
    return ids.map((id) => ({ id, state: states.get(id) ?? 'marked' }));
  }
}
