/** Packets of a post to itself: what came before one that is back has come, and it tells the brokers' time. */
import type { Clock, Random } from '../base/clock';
import { deferred, type Deferred } from '../base/lifecycle';
import { incarnation as drawId } from '../format/id';
import type { Stored } from '../ports/log';

interface EchoParts {
  readonly clock: Clock;
  readonly random: Random;
  /** Puts a packet with this id into our own inbox. */
  send(id: string): Promise<void>;
}
/** When a packet to ourselves left and came, and what the broker's clock said in between. */
interface Echo {
  readonly tookMs: number;
  readonly aheadMs: number;
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
  /** The brokers' clock before our monotonic one, which nobody sets. */
  #aheadMs = 0;
  #wallAheadMs = 0;
  #measuredMs = 0;
  #measuring = false;

  constructor(private readonly parts: EchoParts) {}

  /** The brokers' clock before ours, which may have been set a moment ago. */
  get skewMs(): number {
    return Math.round(this.#aheadMs - this.#wallMs());
  }
  #wallMs(): number {
    const { clock } = this.parts;
    return clock.now() - clock.mono();
  }

  /** One has come. */
  came(id: string, record: Stored): void {
    this.#waiting.get(id)?.resolve(record);
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
    const startMs = clock.mono();
    const late = clock.after(lostMs, () => came.resolve(undefined));
    this.parts.send(id).catch(() => came.resolve(undefined));
    const record = await came.promise;
    late.cancel();
    this.#waiting.delete(id);
    const tookMs = clock.mono() - startMs;
    return record && { tookMs, aheadMs: record.timeMs - (startMs + tookMs / 2) };
  }

  /** How far the brokers' clock is ahead, by the quickest of some echoes. False when none came back. */
  async measure(): Promise<boolean> {
    this.#measuring = true;
    this.#measuredMs = this.parts.clock.mono();
    this.#wallAheadMs = this.#wallMs();
    let best: Echo | undefined;
    for (let n = 0; n < echoesEach; n++) {
      const echo = await this.#echo();
      if (echo && echo.tookMs < (best?.tookMs ?? Infinity)) best = echo;
    }
    if (best) this.#aheadMs = best.aheadMs;
    this.#measuring = false;
    return best !== undefined;
  }
  /** Measures once more, if it was long ago or our clock was set. */
  measureAgain(): void {
    const { clock } = this.parts;
    const monoMs = clock.mono();
    const sinceMs = monoMs - this.#measuredMs;
    const wasSet = Math.abs(clock.now() - monoMs - this.#wallAheadMs) > stepMs;
    if (!this.#measuring && sinceMs > (wasSet ? measureGapMs : measuredForMs)) void this.measure();
  }

  /** Whoever waits is let go. */
  close(): void {
    this.#closed = true;
    for (const came of this.#waiting.values()) came.resolve(undefined);
  }
}
