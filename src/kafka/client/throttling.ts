/** Reports for how long brokers have delayed this client because a quota of its user or client id is used up. */
import type { Clock } from '../../base/clock';

const windowMs = 60_000;
/** Minimum sum of pauses in the window that is reported. A short burst stays below it and needs no action. */
const reportMs = 5_000;
/**
 * A sum below this ends the report. It is less than `reportMs`, so that the report does not start and end repeatedly.
 */
const overMs = 1_000;
/** Maximum number of pauses that are kept, to bound the memory. A client gets fewer in the window. */
const pausesMax = 1_000;

interface Pause {
  readonly atMs: number;
  readonly request: string;
  readonly ms: number;
}

export class Throttling {
  #pauses: Pause[] = [];
  #reported: string | undefined;

  constructor(
    private readonly clock: Clock,
    private readonly clientId: string,
    private readonly user: string | undefined,
  ) {}

  /** Records that the broker delays this client by `ms` after this request. */
  add(request: string, ms: number): void {
    this.#pauses.push({ atMs: this.clock.mono(), request, ms });
    if (this.#pauses.length > pausesMax) this.#pauses.shift();
  }

  /** Returns the text to report, which is the same until the report ends; undefined while there is none. */
  review(): string | undefined {
    const nowMs = this.clock.mono();
    if (this.#pauses.length > 0) this.#pauses = this.#pauses.filter(({ atMs }) => nowMs - atMs < windowMs);
    const totalMs = this.#pauses.reduce((sum, { ms }) => sum + ms, 0);
    if (totalMs < overMs) this.#reported = undefined;
    else if (totalMs >= reportMs) this.#reported ??= this.#say(totalMs);
    return this.#reported;
  }

  #say(totalMs: number): string {
    const byRequest = new Map<string, number>();
    for (const { request, ms } of this.#pauses) byRequest.set(request, (byRequest.get(request) ?? 0) + ms);
    const parts = [...byRequest].map(([request, ms]) => `${request} ${seconds(ms)}`).join(', ');
    const whose =
      this.user === undefined ? `client id ${this.clientId}` : `user ${this.user} or client id ${this.clientId}`;
    const limits = [...new Set([...byRequest.keys()].map(quotaOf))].join(', ');
    const look = 'kafka-configs.sh --describe --entity-type users --entity-type clients';
    return (
      `the brokers have delayed this client by ${seconds(totalMs)} in the last minute (${parts}), because a quota of ` +
      `${whose} is used up. Look for ${limits}: ${look}. Raise it with --alter --add-config`
    );
  }
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
function quotaOf(request: string): string {
  if (request === 'Produce') return 'producer_byte_rate';
  return request === 'Fetch' ? 'consumer_byte_rate' : 'request_percentage';
}
