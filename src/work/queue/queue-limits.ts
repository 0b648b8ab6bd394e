/** Holds the current limits and retry options of each entry of a queue, from its settings and declarations. */
import { unreadable, type Message } from '../message';
import type { EntryLimits, Queue, RetryOptions } from '../types';
import { attemptsDefault, handoverMsDefault } from './retry-policy';

const limitsDefault: EntryLimits = { concurrency: 8, perSecond: Infinity };
const retryDefault: RetryOptions = {};

export class QueueLimits {
  /** Limits by entry. {@link unreadable} has limits of its own. */
  readonly byEntry = new Map<string, EntryLimits>();
  readonly #retries = new Map<string, RetryOptions>();

  constructor(private readonly queue: Queue) {
    this.reread();
    this.byEntry.set(unreadable, limitsDefault);
  }

  /** Rereads the settings of the queue. */
  reread(): void {
    for (const [entry, { options, entry: declared }] of this.queue.entries) {
      this.byEntry.set(entry, { ...limitsDefault, ...this.queue.limits?.(entry) });
      this.#retries.set(entry, { ...(options ?? declared.options), ...this.queue.retry?.(entry) });
    }
  }

  /** Maximum time that running handlers can continue when a partition is revoked. */
  get handoverMs(): number {
    return Math.max(0, ...[...this.#retries.values()].map(({ handoverMs }) => handoverMs ?? handoverMsDefault));
  }
  retryOf({ entry }: Message): RetryOptions {
    return this.#retries.get(entry) ?? retryDefault;
  }
  attemptsMax(message: Message): number {
    return this.retryOf(message).attempts ?? attemptsDefault;
  }
  /** Entries of which no handler starts. */
  get paused(): readonly string[] {
    return [...this.byEntry].flatMap(([entry, { concurrency }]) => (concurrency === 0 ? entry : []));
  }
}
