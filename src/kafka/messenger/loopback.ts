/** Sends packets to the instance itself, to detect that earlier ones have arrived and to measure the brokers' clock. */
import type { Clock, Random } from '../../base/clock';
import { deferred, type Deferred } from '../../base/lifecycle';
import { incarnation as drawId } from '../../format/id';
import type { Stored } from '../../ports/log';

interface LoopbackParts {
  readonly clock: Clock;
  readonly random: Random;
  /** Sends a packet with this id to this instance's own inbox. */
  send(id: string): Promise<void>;
}
/** Times of a packet that returned. Its broker wrote it between the send and the receipt. */
interface Echo {
  readonly tookMs: number;
  /** Minimum and maximum of the brokers' clock minus the monotonic clock of this process. */
  readonly leastMs: number;
  readonly mostMs: number;
  /** Wall clock of this machine minus the monotonic clock. */
  readonly wallMs: number;
}

/** Time after which a packet counts as lost, so that another one can be sent. */
const lostMs = 5_000;
/** Time for which a measurement is used. Clocks drift apart by some milliseconds meanwhile. */
const measuredForMs = 60_000;
/**
 * Difference above which the wall clock counts as changed. A clock that was set and a machine that was suspended look
 * alike, so the brokers' clock is measured again.
 */
const stepMs = 250;
/** Pause after a measurement that failed or was slow. */
const measureGapMs = 1_000;
/** Number of packets in a measurement. The fastest one counts. */
const packetsEach = 3;

export class Loopback {
  readonly #waiting = new Map<string, Deferred<Stored | undefined>>();
  #closed = false;
  /** Minimum and maximum of the brokers' clock minus the monotonic clock, which is never set. */
  #leastMs = 0;
  #mostMs = 0;
  /** Wall clock minus monotonic clock at the time of that measurement. */
  #wallMs = 0;
  #staleMs = 0;
  #measuring = false;
  /** Monotonic time before which no measurement starts, because the last one failed. */
  #restsUntilMs = 0;

  constructor(private readonly parts: LoopbackParts) {}

  /**
   * Minimum of the brokers' clock minus the wall clock of this machine, which can have been set since the measurement.
   * With the minimum, a deadline leaves no more time than the caller allowed.
   */
  get skewMs(): number {
    return Math.round(this.#leastMs - this.#wallNowMs());
  }
  /**
   * Maximum of the same difference. After a suspension, the wall clock is ahead, and the brokers' clock can be ahead by
   * the same time.
   */
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

  /** Records that a packet returned. */
  returned(id: string, record: Stored): void {
    this.#waiting.get(id)?.resolve(record);
  }
  /** Raises the minimum of the brokers' clock, which is not before the timestamp of a record that arrived. */
  observe({ timeMs }: Stored): void {
    this.#leastMs = Math.max(this.#leastMs, timeMs - this.parts.clock.mono());
    this.measureAgain();
  }
  /**
   * Sends a packet. Resolves with true if it returns within five seconds. Resolves with false otherwise, and on close.
   */
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

  /** Measures the brokers' clock with the fastest of several packets. Resolves with false if none was usable. */
  async measure(): Promise<boolean> {
    const { clock } = this.parts;
    this.#measuring = true;
    let best: Echo | undefined;
    for (let n = 0; n < packetsEach; n++) {
      const echo = await this.#echo();
      // A packet in flight during a suspension, or while the clock was set, proves nothing.
      const isWhole = echo && Math.abs(this.#wallNowMs() - echo.wallMs) <= stepMs;
      if (isWhole && echo.tookMs < (best?.tookMs ?? Infinity)) best = echo;
    }
    if (best) {
      ({ leastMs: this.#leastMs, mostMs: this.#mostMs, wallMs: this.#wallMs } = best);
      // A slow measurement is imprecise, so it is repeated sooner.
      this.#staleMs = clock.mono() + (best.tookMs > stepMs ? measureGapMs : measuredForMs);
    } else this.#restsUntilMs = clock.mono() + measureGapMs;
    this.#measuring = false;
    return best !== undefined;
  }
  /** Measures again if the last measurement is old, or the wall clock was set. */
  measureAgain(): void {
    const { clock } = this.parts;
    const monoMs = clock.mono();
    if (this.#measuring || monoMs < this.#restsUntilMs) return;
    const wasSet = Math.abs(clock.now() - monoMs - this.#wallMs) > stepMs;
    if (wasSet || monoMs > this.#staleMs) void this.measure();
  }

  /** Ends the wait for all packets, which count as lost. */
  close(): void {
    this.#closed = true;
    for (const came of this.#waiting.values()) came.resolve(undefined);
  }
}
