/** What was handed over and is not acknowledged: counted, so that it is bounded in all, and its age known by lane. */
import { Capacity } from '../../base/bounded';
import { within, type Clock } from '../../base/clock';
import { limits } from '../../base/limits';
import { waitingBytesMax } from '../protocol/record-size';

/** Longer than a slow broker takes, shorter than the deadlines that people set. */
const troubleMs = 100;
/** Less than the sender takes, with room for a goodbye to everybody: what it refuses is lost. */
const max = { count: limits.sendingMax - 10_000, bytes: waitingBytesMax - 4 * 1024 * 1024 };
/** What a partition may hold that nobody takes anything for, so that there is room for the others. */
const stuckShare = 1 / 4;
const retryAfterMs = 100;

/** All that one post has handed over. */
export class Backlog {
  readonly #capacity = new Capacity(max);
  /** By the partition of the inbox, or the module of broadcasts. */
  readonly #lanes = new Map<number | string, Lane>();

  constructor(
    private readonly inbox: string,
    private readonly clock: Clock,
  ) {}

  lane(to: number | string): Lane {
    const known = this.#lanes.get(to);
    if (known) return known;
    const where = typeof to === 'number' ? `partition ${to} of ${this.inbox}` : `broadcasts to ${to}`;
    const lane = new Lane(where, this.#capacity, this.clock);
    this.#lanes.set(to, lane);
    return lane;
  }

  /** Resolves when nothing is left, or after `ms`. */
  async runOut(ms: number): Promise<void> {
    if (this.#capacity.count > 0) await within(this.clock, ms, this.#capacity.below(0));
  }
}

export class Lane {
  readonly #capacity: Capacity;
  /** When the broker last took something, or the first of those that wait was handed over. */
  private movedMs = 0;

  constructor(
    readonly where: string,
    all: Capacity,
    private readonly clock: Clock,
  ) {
    this.#capacity = new Capacity(max, all);
  }

  /** Throws Overloaded at the bound. */
  add(bytes: number): void {
    const capacity = this.#capacity;
    if (!capacity.fits(bytes)) throw capacity.overloaded(this.where, 'packets', retryAfterMs, bytes);
    if (!capacity.fits(bytes, 1, stuckShare) && this.trouble !== undefined)
      throw capacity.overloaded(`${this.where}, where none is taken`, 'packets', retryAfterMs, bytes);
    if (capacity.count === 0) this.movedMs = this.clock.mono();
    capacity.add(bytes);
  }
  remove(bytes: number): void {
    this.movedMs = this.clock.mono();
    this.#capacity.remove(bytes);
  }

  /** Why the last packet may not have left; undefined while the broker takes what it is given. */
  get trouble(): string | undefined {
    const { count } = this.#capacity;
    const waitedMs = Math.round(this.clock.mono() - this.movedMs);
    if (count === 0 || waitedMs < troubleMs) return undefined;
    const what = count === 1 ? 'the packet' : `the ${count} packets`;
    return `no broker took ${what} for ${this.where} for ${waitedMs} ms`;
  }
}
