/** Probes instances that are no longer in the registry, because an expired session does not prove a crash. */
import { sleep, within, type Clock, type Random } from '../../base/clock';
import { deferred, type Deferred } from '../../base/lifecycle';
import { incarnation as drawId } from '../../format/id';

interface LivenessProbeParts {
  readonly clock: Clock;
  readonly random: Random;
  /** Sends a probe with this id to the inbox of the instance. Resolves when it is written or was given up. */
  send(address: string, id: string): Promise<void>;
}

/**
 * Maximum wait until a probe is written. A slower broker proves nothing about the instance, so only the registry counts
 * then.
 */
const sendMs = 1_000;
/** Time for a response, many times what probe and response usually take. A crash is reported this much later. */
const answerMs = 300;

export class LivenessProbe {
  readonly #waiting = new Map<string, Deferred<boolean>>();
  readonly #closed = new AbortController();

  constructor(private readonly parts: LivenessProbeParts) {}

  /**
   * Resolves with true if the instance responds in time. A response can wait behind other packets in this instance's
   * inbox. So its absence counts only when `readAll` has resolved, which reads the inbox up to that time. Resolves with
   * false after close.
   */
  async answers(address: string, readAll: () => Promise<unknown>): Promise<boolean> {
    const { clock, random } = this.parts;
    if (this.#closed.signal.aborted) return false;
    const id = drawId(random);
    const answered = deferred<boolean>();
    this.#waiting.set(id, answered);
    const late = new AbortController();
    const silence = within(clock, sendMs, this.parts.send(address, id))
      .then(() => sleep(clock, answerMs, late.signal))
      .then(() => (late.signal.aborted ? undefined : readAll()));
    const isThere = await Promise.race([answered.promise, silence.then(() => false)]);
    late.abort();
    this.#waiting.delete(id);
    return isThere;
  }
  /** Records the response to a probe. */
  answered(id: string): void {
    this.#waiting.get(id)?.resolve(true);
  }

  /** Ends all open probes, which resolve with false. */
  close(): void {
    this.#closed.abort();
    for (const answered of this.#waiting.values()) answered.resolve(false);
  }
}
