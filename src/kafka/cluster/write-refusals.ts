/** Topics to which this user is not allowed to write, or whose brokers refuse every record until a person acts. */
import type { Clock } from '../../base/clock';
import { busErrorOf, type WireError } from '../protocol/errors';

/** A refusal is forgotten after this long: nothing may be sent any more that could show that it is over. */
const rememberedMs = 60_000;

export class WriteRefusals {
  /** By topic, and when; undefined when a record was taken since. */
  readonly #refused = new Map<string, { readonly atMs: number; readonly reason: string } | undefined>();

  constructor(
    private readonly clock: Clock,
    private readonly user: string | undefined,
  ) {}

  refused(topic: string, error: WireError): void {
    const { message, remedy } = busErrorOf(error, `writing to ${topic}`, 0, this.user);
    this.#refused.set(topic, { atMs: this.clock.mono(), reason: `${message}. ${remedy}` });
  }
  /** Called for each batch. */
  taken(topic: string): void {
    if (this.#refused.size > 0 && this.#refused.has(topic)) this.#refused.set(topic, undefined);
  }

  /** Each topic with the reason, or with undefined once after the last refusal. */
  *review(): Generator<readonly [topic: string, reason: string | undefined]> {
    for (const [topic, refusal] of this.#refused) {
      const isOver = refusal === undefined || this.clock.mono() - refusal.atMs >= rememberedMs;
      if (isOver) this.#refused.delete(topic);
      yield [topic, isOver ? undefined : refusal.reason];
    }
  }
}
