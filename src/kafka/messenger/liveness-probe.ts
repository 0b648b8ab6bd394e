/** Asks others whether they live, when the registry no longer says so: a session that expired is not a death. */
import { sleep, within, type Clock, type Random } from '../../base/clock';
import { deferred, type Deferred } from '../../base/lifecycle';
import { incarnation as drawId } from '../../format/id';

interface AskParts {
  readonly clock: Clock;
  readonly random: Random;
  /** Puts a question with this id into the inbox of whoever is there; resolves when it lies there, or was given up. */
  send(address: string, id: string): Promise<void>;
}

/** A broker that takes longer says nothing about whoever is asked; then only the registry counts. */
const sendMs = 1_000;
/** Many times what question and answer take; whoever is dead is told so much later. */
const answerMs = 300;

export class Asks {
  readonly #waiting = new Map<string, Deferred<boolean>>();
  readonly #closed = new AbortController();

  constructor(private readonly parts: AskParts) {}

  /**
   * Whether it answers in the time that an answer takes. An answer that was written in that time can still be behind
   * other packets in our own inbox, so silence counts only when `readAll` has resolved, which reads up to there. False
   * also when this is closed.
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
  /** An answer has come. */
  heard(id: string): void {
    this.#waiting.get(id)?.resolve(true);
  }

  /** Whoever waits is let go. */
  close(): void {
    this.#closed.abort();
    for (const answered of this.#waiting.values()) answered.resolve(false);
  }
}
