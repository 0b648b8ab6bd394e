/** Tracks topics to which appends fail until an operator changes permissions or settings. */
import type { Clock } from '../../base/clock';
import { busErrorOf, type KafkaError } from '../protocol/errors';

/** A refusal expires after this time. If this process sends nothing more, no success can show that it has ended. */
const rememberedMs = 60_000;

export class WriteRefusals {
  /** Last refusal by topic; undefined if a record has been accepted since. */
  readonly #refused = new Map<string, { readonly atMs: number; readonly reason: string } | undefined>();

  constructor(
    private readonly clock: Clock,
    private readonly user: string | undefined,
  ) {}

  refused(topic: string, error: KafkaError): void {
    const { message, remedy } = busErrorOf(error, `writing to ${topic}`, 0, this.user);
    this.#refused.set(topic, { atMs: this.clock.mono(), reason: `${message}. ${remedy}` });
  }
  /** Ends the refusal of the topic after an accepted batch. Runs for each batch, so it must be cheap. */
  taken(topic: string): void {
    if (this.#refused.size > 0 && this.#refused.has(topic)) this.#refused.set(topic, undefined);
  }

  /** Yields each topic with its reason, or once with undefined when its refusal has ended. */
  *review(): Generator<readonly [topic: string, reason: string | undefined]> {
    for (const [topic, refusal] of this.#refused) {
      const isOver = refusal === undefined || this.clock.mono() - refusal.atMs >= rememberedMs;
      if (isOver) this.#refused.delete(topic);
      yield [topic, isOver ? undefined : refusal.reason];
    }
  }
}
