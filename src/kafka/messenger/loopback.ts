/** Packets of a post to itself: what came before one that is back has come, and it tells the brokers' time. */
import type { Clock, Random } from '../../base/clock';
import { deferred, type Deferred } from '../../base/lifecycle';
import { incarnation as drawId } from '../../format/id';
import type { Stored } from '../../ports/log';

interface EchoParts {
  readonly clock: Clock;
  readonly random: Random;
  /** Puts a packet with this id into our own inbox. */
  send(id: string): Promise<void>;
}
/** A packet to ourselves that came back: its broker wrote it between when it left and when it came. */
interface Echo {
  readonly tookMs: number;
  /** So far the brokers' clock was ahead of our monotonic one, at least and at most. */
  readonly leastMs: number;
  readonly mostMs: number;
  /** So far our wall clock was. */
  readonly wallMs: number;
}

/** Lost, or so slow that another one is to be sent. */
const lostMs = 5_000;
/** Clocks drift apart by some milliseconds meanwhile. */
const measuredForMs = 60_000;
/** A clock that was set, and a machine that slept, look alike: only the brokers tell which it was. */
const stepMs = 250;
const measureGapMs = 1_000;
const echoesEach = 3;

export class Echoes {
  readonly #waiting = new Map<string, Deferred<Stored | undefined>>();
  #closed = false;
  /** So far the brokers' clock is ahead of our monotonic one, which nobody sets, at least and at most. */
  #leastMs = 0;
  #mostMs = 0;
  /** So far our wall clock was when that was measured. */
  #wallMs = 0;
  #staleMs = 0;
  #measuring = false;
  /** After one that told nothing. */
  #restsUntilMs = 0;

  constructor(private readonly parts: EchoParts) {}

  /**
   * How far the brokers' clock is ahead of ours, which may have been set a moment ago. At least: nobody is given more
   * time than there is.
   */
  get skewMs(): number {
    return Math.round(this.#leastMs - this.#wallNowMs());
  }
  /** At most: a machine that slept finds its wall clock ahead, and as much later it may be at the brokers. */
  get skewMaxMs(): number {
    const wallMs = this.#wallNowMs();
    const sleptMs = wallMs - this.#wallMs;
    const mostMs = this.#mostMs + (sleptMs > stepMs ? sleptMs : 0);
    return Math.round(Math.max(mostMs, this.#leastMs) - wallMs);
  }
  #wallNowMs(): number {
    const { clock } = this.parts;
    return clock.now() - clock.mono();
  }

  /** One has come. */
  came(id: string, record: Stored): void {
    this.#waiting.get(id)?.resolve(record);
  }
  /** Something has come: at the brokers it is not earlier than when that was written. */
  heard({ timeMs }: Stored): void {
    this.#leastMs = Math.max(this.#leastMs, timeMs - this.parts.clock.mono());
    this.measureAgain();
  }
  /** Whether one comes back within five seconds; false also when this is closed. */
  async once(): Promise<boolean> {
    return (await this.#echo()) !== undefined;
  }
  async #echo(): Promise<Echo | undefined> {
    const { clock, random } = this.parts;
    if (this.#closed) return undefined;
    const id = drawId(random);
    const came = deferred<Stored | undefined>();
    this.#waiting.set(id, came);
    const wallMs = this.#wallNowMs();
    const startMs = clock.mono();
    const late = clock.after(lostMs, () => came.resolve(undefined));
    this.parts.send(id).catch(() => came.resolve(undefined));
    const record = await came.promise;
    late.cancel();
    this.#waiting.delete(id);
    const endMs = clock.mono();
    const tookMs = endMs - startMs;
    return record && { tookMs, leastMs: record.timeMs - endMs, mostMs: record.timeMs - startMs, wallMs };
  }

  /** How far the brokers' clock is ahead, by the quickest of some echoes. False when none came back. */
  async measure(): Promise<boolean> {
    const { clock } = this.parts;
    this.#measuring = true;
    let best: Echo | undefined;
    for (let n = 0; n < echoesEach; n++) {
      const echo = await this.#echo();
      // Over a sleep, or while the clock is set, it tells nothing.
      const isWhole = echo && Math.abs(this.#wallNowMs() - echo.wallMs) <= stepMs;
      if (isWhole && echo.tookMs < (best?.tookMs ?? Infinity)) best = echo;
    }
    if (best) {
      ({ leastMs: this.#leastMs, mostMs: this.#mostMs, wallMs: this.#wallMs } = best);
      // In a slow moment little is learnt.
      this.#staleMs = clock.mono() + (best.tookMs > stepMs ? measureGapMs : measuredForMs);
    } else this.#restsUntilMs = clock.mono() + measureGapMs;
    this.#measuring = false;
    return best !== undefined;
  }
  /** Measures once more, if it was long ago or our clock was set. */
  measureAgain(): void {
    const { clock } = this.parts;
    const monoMs = clock.mono();
    if (this.#measuring || monoMs < this.#restsUntilMs) return;
    const wasSet = Math.abs(clock.now() - monoMs - this.#wallMs) > stepMs;
    if (wasSet || monoMs > this.#staleMs) void this.measure();
  }

  /** Whoever waits is let go. */
  close(): void {
    this.#closed = true;
    for (const came of this.#waiting.values()) came.resolve(undefined);
  }
}
