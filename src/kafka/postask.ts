/** Asks others whether they live, when the registry no longer says so: a session that expired is not a death. */
import type { Clock, Random } from '../base/clock';
import { deferred, type Deferred } from '../base/lifecycle';
import { incarnation as drawId } from '../format/id';

interface AskParts {
  readonly clock: Clock;
  readonly random: Random;
  /** Puts a question with this id into the inbox of whoever is there; throws when that cannot be. */
  send(address: string, id: string): void;
}

/** Many times what question and answer take; whoever is dead is told so much later. */
const answerMs = 500;

export class Asks {
  readonly #waiting = new Map<string, Deferred<boolean>>();
  #closed = false;

  constructor(private readonly parts: AskParts) {}

  /** Whether it answers within half a second; false also when this is closed. */
  async answers(address: string): Promise<boolean> {
    const { clock, random } = this.parts;
    if (this.#closed) return false;
    const id = drawId(random);
    const answered = deferred<boolean>();
    this.#waiting.set(id, answered);
    const late = clock.after(answerMs, () => answered.resolve(false));
    try {
      this.parts.send(address, id);
    } catch {
      answered.resolve(false); // too much waits for that partition already
    }
    const isThere = await answered.promise;
    late.cancel();
    this.#waiting.delete(id);
    return isThere;
  }
  /** An answer has come. */
  heard(id: string): void {
    this.#waiting.get(id)?.resolve(true);
  }

  /** Whoever waits is let go. */
  close(): void {
    this.#closed = true;
    for (const answered of this.#waiting.values()) answered.resolve(false);
  }
}
