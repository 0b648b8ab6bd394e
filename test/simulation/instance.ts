/** One incarnation of a simulated instance: its process, its bus, and the faults injected into it. */
import type { Clock, Timer } from '../../src/base/clock';
import type { BuiltBus } from '../../src/bus/bus';
import type { Bus, Served } from '../../src/bus/types';
import type { MemoryProcess } from '../../src/memory';
import type { Hearing } from './hearing';
import type { Ledger } from './ledger';
import type { Asking } from './requests';

export type Module = 'facts' | 'jobs' | 'index';

export class Instance implements Asking, Hearing {
  leaving = false;
  /** It received a wrong report that a running instance had left. */
  misled = false;
  /** It will crash with a call that can still be pending. */
  dying = false;
  /** Its bus has closed completely. */
  leftWell = false;
  /** Its store rejects every write. */
  cannotCommit = false;
  /** It serves and listens to all its entries. */
  ready = false;
  /** Its handles from `serve` and `listen`. */
  readonly served: Served[] = [];
  /** The number of pending timers of its bus. */
  timers = 0;
  #frozenMs: number | undefined;
  #thawedMs = -Infinity;
  #expiredMs = -Infinity;
  #built: BuiltBus | undefined;

  constructor(
    readonly module: Module,
    readonly process: MemoryProcess,
    private readonly ledger: Ledger,
    private readonly sessionMs: number,
    /** The longest delay of a packet to it. */
    private readonly travelMs: number,
  ) {}

  get name(): string {
    return this.process.name;
  }
  get dead(): boolean {
    return this.process.state === 'crashed';
  }
  get bus(): Bus {
    if (!this.#built) throw new Error(`${this.name} has no bus yet`);
    return this.#built.bus;
  }
  opens(built: BuiltBus): void {
    this.#built = built;
  }

  /** The clock that its bus gets: in whole milliseconds like Date.now, and with its timers counted. */
  get clock(): Clock {
    const { clock } = this.process;
    const now = (): number => Math.floor(clock.now());
    return { now, mono: () => clock.mono(), after: (delayMs, run) => this.#after(delayMs, run) };
  }
  #after(delayMs: number, run: () => void): Timer {
    let left = 1;
    const end = (): void => void (this.timers -= left--);
    this.timers++;
    const timer = this.process.clock.after(delayMs, () => {
      end();
      run();
    });
    return {
      cancel: () => {
        if (left > 0) end();
        timer.cancel();
      },
    };
  }

  /** Other instances remove it when its expiry reaches them. Its earlier packets still arrive for a while. */
  expires(): void {
    this.#expiredMs = this.ledger.nowMs + 2 * this.travelMs;
  }
  freeze(): void {
    if (this.process.state !== 'running') return;
    this.#frozenMs = this.ledger.nowMs;
    this.process.freeze();
  }
  thaw(): void {
    if (this.process.state !== 'frozen') return;
    // Packets that were sent to it meanwhile arrive only now.
    if (this.#frozenTooLong() || this.#expiredMs >= (this.#frozenMs ?? Infinity)) this.expires();
    this.#frozenMs = undefined;
    this.#thawedMs = this.ledger.nowMs;
    this.process.thaw();
  }

  expiredSince(sinceMs: number): boolean {
    return this.#expiredMs >= sinceMs || this.#frozenTooLong();
  }
  stoodStillSince(sinceMs: number): boolean {
    return this.#frozenMs !== undefined || this.#thawedMs >= sinceMs;
  }
  #frozenTooLong(): boolean {
    return this.#frozenMs !== undefined && this.ledger.nowMs - this.#frozenMs >= this.sessionMs - 1;
  }
}
