/** What was handed over and is not acknowledged: counted, so that it is bounded in all, and its age known by lane. */
import { within, type Clock } from '../base/clock';
import { BusError } from '../base/errors';
import { deferred, type Deferred } from '../base/lifecycle';
import { limits } from '../base/limits';
import { waitingBytesMax } from './calls';

/** Longer than a slow broker takes, shorter than the deadlines that people set. */
const troubleMs = 100;
/** Less than the sender takes, with room for a goodbye to everybody: what it refuses is lost. */
const packetsMax = limits.sendingMax - 10_000;
const bytesMax = waitingBytesMax - 4 * 1024 * 1024;
/** What a partition may hold that nobody takes anything for, so that there is room for the others. */
const stuckShare = 1 / 4;

/** All that one post has handed over. */
export class Backlog {
  count = 0;
  bytes = 0;
  /** By the partition of the inbox, or the module of broadcasts. */
  readonly #lanes = new Map<number | string, Lane>();
  #emptied: Deferred<void> | undefined;

  constructor(
    private readonly inbox: string,
    private readonly clock: Clock,
  ) {}

  lane(to: number | string): Lane {
    const known = this.#lanes.get(to);
    if (known) return known;
    const where = typeof to === 'number' ? `partition ${to} of ${this.inbox}` : `broadcasts to ${to}`;
    const lane = new Lane(where, this, this.clock);
    this.#lanes.set(to, lane);
    return lane;
  }

  change(packets: number, bytes: number): void {
    this.count += packets;
    this.bytes += bytes;
    if (this.count === 0) this.#emptied?.resolve();
  }
  /** Resolves when nothing is left, or after `ms`. */
  async runOut(ms: number): Promise<void> {
    if (this.count === 0) return;
    this.#emptied = deferred<void>();
    await within(this.clock, ms, this.#emptied.promise);
  }
}

export class Lane {
  count = 0;
  bytes = 0;
  /** When the broker last took something, or the first of those that wait was handed over. */
  private movedMs = 0;

  constructor(
    readonly where: string,
    private readonly all: Backlog,
    private readonly clock: Clock,
  ) {}

  /** Throws Overloaded at the bound. */
  add(bytes: number): void {
    const { all } = this;
    if (all.count >= packetsMax || all.bytes + bytes > bytesMax) throw overloaded(all, 'all partitions');
    const isOverShare = this.count >= packetsMax * stuckShare || this.bytes + bytes > bytesMax * stuckShare;
    if (isOverShare && this.trouble !== undefined) throw overloaded(this, `${this.where}, where none is taken`);
    if (this.count === 0) this.movedMs = this.clock.mono();
    this.count++;
    this.bytes += bytes;
    all.change(1, bytes);
  }
  remove(bytes: number): void {
    this.count--;
    this.bytes -= bytes;
    this.movedMs = this.clock.mono();
    this.all.change(-1, -bytes);
  }

  /** Why the last packet may not have left; undefined while the broker takes what it is given. */
  get trouble(): string | undefined {
    const waitedMs = Math.round(this.clock.mono() - this.movedMs);
    if (this.count === 0 || waitedMs < troubleMs) return undefined;
    const what = this.count === 1 ? 'the packet' : `the ${this.count} packets`;
    return `no broker took ${what} for ${this.where} for ${waitedMs} ms`;
  }
}

function overloaded({ count, bytes }: { readonly count: number; readonly bytes: number }, where: string): BusError {
  const bounds = `at most ${packetsMax} and ${bytesMax} bytes may, and a quarter of it for one partition that is stuck`;
  const message = `${count} packets of ${bytes} bytes wait for ${where}; ${bounds}`;
  return new BusError('Overloaded', message, { retryAfterMs: 100, waiting: count, limit: packetsMax });
}
