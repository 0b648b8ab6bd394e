/** What was handed over for one partition and is not acknowledged: counted, so that it is bounded and its age known. */
import type { Clock } from '../base/clock';
import { BusError } from '../base/errors';
import { limits } from '../base/limits';

/** Longer than a slow broker takes, shorter than the deadlines that people set. */
const troubleMs = 100;

export class Lane {
  private count = 0;
  private bytes = 0;
  /** When the broker last took something, or the first of those that wait was handed over. */
  private movedMs = 0;

  constructor(
    private readonly partition: number,
    private readonly clock: Clock,
  ) {}

  /** Throws Overloaded at the bound. */
  add(bytes: number): void {
    if (this.count >= limits.sendingMax || this.bytes + bytes > limits.bufferBytesMax) throw this.full();
    if (this.count === 0) this.movedMs = this.clock.mono();
    this.count++;
    this.bytes += bytes;
  }
  remove(bytes: number): void {
    this.count--;
    this.bytes -= bytes;
    this.movedMs = this.clock.mono();
  }

  /** Why the last packet may not have left; undefined while the broker takes what it is given. */
  get trouble(): string | undefined {
    const waitedMs = Math.round(this.clock.mono() - this.movedMs);
    if (this.count === 0 || waitedMs < troubleMs) return undefined;
    return `no broker took the ${this.count} packets for partition ${this.partition} of the inbox for ${waitedMs} ms`;
  }

  private full(): BusError {
    const where = `partition ${this.partition} of the inbox`;
    const bounds = `at most ${limits.sendingMax} and ${limits.bufferBytesMax} bytes may`;
    const message = `${this.count} packets of ${this.bytes} bytes wait for ${where}, ${bounds}`;
    return new BusError('Overloaded', message, { retryAfterMs: 100, waiting: this.count, limit: limits.sendingMax });
  }
}
