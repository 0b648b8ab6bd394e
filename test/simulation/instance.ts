/** One life of a simulated instance: its process, its bus, and what was done to it. */
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
  /** It was told that somebody had gone who lives. */
  misled = false;
  /** It is told to die, with a call that may still be on its way. */
  dying = false;
  /** Its bus was closed, and that came to its end. */
  leftWell = false;
  /** Its store refuses every write. */
  cannotCommit = false;
  /** Serves and listens to all that it should. */
  ready = false;
  /** What it serves and listens to. */
  readonly served: Served[] = [];
  /** Timers of its bus that are set. */
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
    /** How long news travel to it at most. */
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

  /** Its time as a bus gets it: in whole milliseconds as Date.now gives them, and with its timers counted. */
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

  /** Others give it up as soon as that reaches them, and for a while what they said before still comes in. */
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
    // What others said meanwhile comes in only now.
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
