/** Checks one lane of a queue: messages of one key start in order, one at a time, and wait for one that is retried. */
import type { Ledger } from './ledger';
import type { Handling, Track } from './shelf';

export class Lane {
  /** In the order of the log. */
  readonly tracks: Track[] = [];
  running: Handling[] = [];

  constructor(private readonly ledger: Ledger) {}

  starts(handling: Handling): void {
    this.#checkAlone(handling);
    for (const other of this.tracks) {
      if (other.offset < handling.track.offset) this.#checkBehind(handling, other);
      if (other.offset > handling.track.offset) this.#checkBefore(handling, other);
    }
    this.running.push(handling);
  }

  ends(handling: Handling): void {
    this.running = this.running.filter((one) => one !== handling);
  }

  #checkAlone({ track, tenure }: Handling): void {
    for (const other of this.running) {
      if (other.tenure.member === tenure.member && other.tenure !== tenure) {
        const about = `#${track.message.n} starts at ${tenure.who.name} in epoch ${tenure.epoch}`;
        this.ledger.breaks(
          'keys',
          `${about} while its own #${other.track.message.n} of epoch ${other.tenure.epoch} runs`,
        );
      }
      if (other.overstays || other.tenure.excused || tenure.excused) continue;
      const mine = `#${track.message.n} starts at ${tenure.who.name}`;
      this.ledger.breaks('keys', `${mine} while #${other.track.message.n} runs at ${other.tenure.who.name}`);
    }
  }

  /** A message with a lower offset is settled, or tried and set aside. */
  #checkBehind({ track, tenure }: Handling, lower: Track): void {
    const { n } = lower.message;
    const aside = lower.rule.retry === 'aside';
    const open = tenure.started.has(n) && !tenure.settled.has(n);
    const passed = aside ? lower.settled || lower.starts > 0 : lower.settled && !open;
    if (passed) return;
    const how = aside ? 'was never tried' : 'is not settled';
    this.ledger.breaks('lane', `#${track.message.n} starts, #${n} before it in its lane ${how}`);
  }

  /** No message with a higher offset was started by this owner before. */
  #checkBefore({ track, tenure }: Handling, higher: Track): void {
    if (tenure.started.has(track.message.n) || !tenure.started.has(higher.message.n)) return;
    this.ledger.breaks(
      'order',
      `#${track.message.n} starts first after #${higher.message.n}, which has a higher offset`,
    );
  }
}
