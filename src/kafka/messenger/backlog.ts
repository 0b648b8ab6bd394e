/** Counts the packets that brokers have not acknowledged, within a bound, and reports partitions whose packets wait. */
import { Capacity } from '../../base/bounded';
import { within, type Clock } from '../../base/clock';
import { limits } from '../../base/limits';
import { waitingBytesMax } from '../protocol/record-size';

/**
 * Time without an acknowledgement after which packets count as delayed. It is longer than a slow broker takes, and
 * shorter than usual deadlines.
 */
const delayedAfterMs = 100;
/** Bound of the backlog. It is below the bound of the producer, because a packet that the producer rejects is lost. */
const max = { count: limits.sendingMax - 10_000, bytes: waitingBytesMax - 4 * 1024 * 1024 };
/**
 * Share of the bound that one partition can hold while no broker acknowledges its packets. The rest stays free for
 * other partitions.
 */
const stuckShare = 1 / 4;
/** Delay before a retry that an Overloaded error recommends. */
const retryAfterMs = 100;

/** Unacknowledged packets of one messenger. */
export class Backlog {
  readonly #capacity = new Capacity(max);
  /** Unacknowledged packets by partition of the inbox, or by module for broadcasts. */
  readonly #shares = new Map<number | string, BacklogShare>();

  constructor(
    private readonly inbox: string,
    private readonly clock: Clock,
  ) {}

  shareOf(to: number | string): BacklogShare {
    const known = this.#shares.get(to);
    if (known) return known;
    const where = typeof to === 'number' ? `partition ${to} of ${this.inbox}` : `broadcasts to ${to}`;
    const share = new BacklogShare(where, this.#capacity, this.clock);
    this.#shares.set(to, share);
    return share;
  }

  /** Resolves when no packet is left, or after `ms`. */
  async runOut(ms: number): Promise<void> {
    if (this.#capacity.count > 0) await within(this.clock, ms, this.#capacity.below(0));
  }
}

export class BacklogShare {
  readonly #capacity: Capacity;
  /** Time of the last acknowledgement, or of the first packet added to an empty backlog. */
  private movedMs = 0;

  constructor(
    readonly where: string,
    all: Capacity,
    private readonly clock: Clock,
  ) {
    this.#capacity = new Capacity(max, all);
  }

  /** Throws Overloaded if the packet exceeds the bound. */
  add(bytes: number): void {
    const capacity = this.#capacity;
    if (!capacity.fits(bytes)) throw capacity.overloaded(this.where, 'packets', retryAfterMs, bytes);
    if (!capacity.fits(bytes, 1, stuckShare) && this.failure !== undefined)
      throw capacity.overloaded(`${this.where}, where no packet is acknowledged`, 'packets', retryAfterMs, bytes);
    if (capacity.count === 0) this.movedMs = this.clock.mono();
    capacity.add(bytes);
  }
  remove(bytes: number): void {
    this.movedMs = this.clock.mono();
    this.#capacity.remove(bytes);
  }

  /** Reason why the last packet can still be unsent. Undefined while the broker acknowledges packets. */
  get failure(): string | undefined {
    const { count } = this.#capacity;
    const waitedMs = Math.round(this.clock.mono() - this.movedMs);
    if (count === 0 || waitedMs < delayedAfterMs) return undefined;
    const what = count === 1 ? 'the packet' : `the ${count} packets`;
    return `no broker acknowledged ${what} for ${this.where} for ${waitedMs} ms`;
  }
}
