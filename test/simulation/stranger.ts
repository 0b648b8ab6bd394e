/** A foreign producer that writes into topics of the bus: unreadable records, which must be parked. */
import { printEnvelope } from '../../src/format/envelope-printer';
import type { Append, LogRecord, Stored } from '../../src/ports/log';
import type { MemoryProcess } from '../../src/memory';
import type { Checks } from './checks';
import type { Dice } from './dice';

interface Written {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  /** The queues that existed when it was written, and that park unreadable records. */
  readonly queues: readonly string[];
}
/** The header of a parked message. */
interface Note {
  readonly queue: string;
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
}

const bytes = (text: string): Uint8Array => Buffer.from(text);
const line = printEnvelope({ kind: 'work', entry: 'jobs.ordered', id: 'strange', from: 'stranger#1' });
const shapes: readonly [Omit<LogRecord, 'key'>, ...Omit<LogRecord, 'key'>[]] = [
  { value: bytes('no header'), headers: {} },
  { value: bytes('a bad header'), headers: { bus: 'what is this' } },
  { value: bytes('\u00c1 no body'), headers: { bus: line } },
  { value: bytes('much '.repeat(1_000)), headers: {} },
  { value: null, headers: {} },
];

export class Stranger {
  readonly #written: Written[] = [];

  constructor(
    private readonly process: MemoryProcess,
    private readonly checks: Checks,
    private readonly dice: Dice,
  ) {}

  /** Writes one record into a topic with a consumer; does nothing without one. */
  async write(keys: readonly [string, ...string[]]): Promise<void> {
    const groups = [...this.checks.joined].filter(
      ([group]) => group.endsWith('.work') || this.checks.opened.has(group),
    );
    const [first] = groups;
    if (!first) return;
    const [, topic] = this.dice.pick([first, ...groups]);
    const shape = this.dice.pick(shapes);
    const record: Append = {
      ...shape,
      partition: this.dice.whole(0, 2),
      key: this.dice.chance(0.5) ? bytes(this.dice.pick(keys)) : null,
    };
    const queues = groups.filter((one) => one[1] === topic && this.#isFor(one[0], record)).map(([group]) => group);
    const [place] = await this.process.log.append(topic, [record]);
    if (place && record.value !== null) {
      const names = queues.map((group) => this.checks.queue(group).rules.queue);
      this.#written.push({ ...place, topic, queues: names });
    }
  }

  /** A listener skips records whose header names another entry. */
  #isFor(group: string, { headers }: Append): boolean {
    return group.endsWith('.work') || headers['bus'] !== line;
  }

  end(parked: readonly Stored[]): void {
    const notes = parked.map(({ headers }) => JSON.parse(headers['parked'] ?? '{}') as Partial<Note>);
    for (const { topic, partition, offset, queues } of this.#written) {
      for (const queue of queues) {
        const there = notes.some(
          (note) =>
            note.queue === queue && note.topic === topic && note.partition === partition && note.offset === offset,
        );
        if (!there) this.checks.ledger.breaks('raw', `${topic}/${partition}/${offset} is not parked by ${queue}`);
      }
    }
  }
}
