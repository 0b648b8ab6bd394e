/** Reads the tails of a messenger until they are closed, across failed reads. */
import { sleep, type Clock } from '../../base/clock';
import { errorMessage } from '../../base/errors';
import { allEnded, closable, type Closable } from '../../base/lifecycle';
import type { States } from '../../base/notices';
import { OutOfRangeError, type Stored, type Tail } from '../../ports/log';

export interface TailsParts {
  readonly clock: Clock;
  readonly states: Pick<States, 'works' | 'fails'>;
  /** Reports packets that the brokers deleted before they were read. */
  readonly dropped: (what: string, reason: string) => void;
  /** Returns true once the messenger closes. A failed read then ends the tail. */
  readonly isClosing: () => boolean;
}

const readMax = { messages: 10_000, bytes: 4 * 1024 * 1024 };
/** Pause after a failed read of a tail, so that a lasting failure does not cause a busy loop. */
const rereadDelayMs = 200;

export class Tails {
  readonly #open = new Set<Closable>();

  constructor(private readonly parts: TailsParts) {}

  /** Passes all records of a tail to `take` until the returned resource is closed. */
  add(topic: string, tail: Tail, take: (records: readonly Stored[]) => void): Closable {
    const reading = this.#read(topic, tail, take);
    const added = closable(async () => {
      this.#open.delete(added);
      await tail.close();
      await reading;
    });
    this.#open.add(added);
    return added;
  }

  /** Closes all tails. */
  async close(): Promise<void> {
    await allEnded(
      'tails',
      [...this.#open].map((tail) => tail.close()),
    );
  }

  async #read(topic: string, tail: Tail, take: (records: readonly Stored[]) => void): Promise<void> {
    const { clock, states, dropped, isClosing } = this.parts;
    const part = `tail of ${topic}` as const;
    for (;;) {
      try {
        const records = await tail.read(readMax);
        states.works(part, 'it is read again');
        if (records.length === 0) return;
        take(records);
      } catch (error) {
        if (isClosing()) return;
        if (error instanceof OutOfRangeError) dropped('packets', errorMessage(error));
        else {
          states.fails(part, `packets in ${topic} are not received: ${errorMessage(error)}`);
          await sleep(clock, rereadDelayMs);
        }
      }
    }
  }
}
