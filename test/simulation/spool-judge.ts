/** The jobs that are sent through spools, and the check that each was handled once, in order, or parked. */
import { errorMessage } from '../../src/base/errors';
import { defineModule, unchecked, work } from '../../src/contract/contract';
import { decodeBody } from '../../src/format/codec';
import type { LogRecord, Place } from '../../src/ports/log';
import type { Sender, SendOptions, Submitted } from '../../src/work/types';
import type { Ledger, Message } from './ledger';
import { isRefusal } from './spool-faults';

export interface Job {
  readonly n: number;
  readonly key: string;
  /** Makes the record too large for the servers. */
  readonly pad: string;
}
export const { store } = defineModule('album', { store: work(unchecked<Job>(), { key: (job: Job) => job.key }) });

/** Largest record that the servers accept. A large job has more. */
export const recordBytesMax = 3_000;
const padBytes = 4_000;
const script = { tookMs: 0, fails: 0, parks: false, tells: 0, passes: 0 };

/** A job to send. */
export interface Draft {
  readonly key: string;
  readonly isLarge: boolean;
}
interface Sent {
  readonly message: Message;
  readonly machine: string;
  readonly isLarge: boolean;
  handled: number;
}

export class SpoolJudge {
  readonly #sent = new Map<number, Sent>();
  /** The last message of each sender and key whose first handling has begun. */
  readonly #firsts = new Map<string, number>();
  /** Places at the servers that `until: 'broker'` returned. */
  readonly #places = new Map<number, Place>();

  constructor(private readonly ledger: Ledger) {}

  get count(): number {
    return this.#sent.size;
  }

  async send(
    machine: string,
    process: string,
    sender: Sender,
    drafts: readonly Draft[],
    options: SendOptions,
  ): Promise<void> {
    const all = drafts.map(({ key, isLarge }): Sent => {
      const message = this.ledger.send(store.name, key, process, script);
      const sent = { message, machine, isLarge, handled: 0 };
      this.#sent.set(message.n, sent);
      return sent;
    });
    const bodies = all.map(({ message: { n, key }, isLarge }): Job => {
      return { n, key: key ?? '', pad: isLarge ? 'x'.repeat(padBytes) : '' };
    });
    try {
      this.#accepted(all, await sender.send(store, bodies, all.length > 1 ? 'list' : 'one', options));
    } catch (error) {
      const fate = isRefusal(error) ? 'refused' : 'unknown';
      for (const { message } of all) this.ledger.told(message, fate, errorMessage(error));
    }
  }
  #accepted(all: readonly Sent[], answers: readonly Submitted[]): void {
    all.forEach(({ message }, n) => {
      this.ledger.told(message, 'accepted');
      const place = answers[n]?.place;
      if (place) this.#places.set(message.n, place);
    });
  }

  handled({ n }: Job, worker: string): void {
    const sent = this.#sent.get(n);
    if (!sent) return this.ledger.breaks('phantom', `${worker} handles job ${n}, which was not sent`);
    if (sent.handled++ > 0) return;
    const { sender, key } = sent.message;
    const name = `${sender} ${key}`;
    const before = this.#firsts.get(name) ?? 0;
    if (n < before) this.ledger.breaks('order', `#${n} of ${name} is first handled after #${before}`);
    this.#firsts.set(name, Math.max(before, n));
  }

  /** Number of accepted jobs that must be handled and are not. */
  get owed(): number {
    let owed = 0;
    for (const { message, isLarge, handled } of this.#sent.values())
      if (message.fate === 'accepted' && !isLarge && handled === 0) owed++;
    return owed;
  }

  /** Checks all jobs. `parked` has the numbers of the jobs that the spool of each machine has parked. */
  check(parked: ReadonlyMap<string, readonly number[]>): void {
    for (const one of this.#sent.values()) {
      const times = parked.get(one.machine)?.filter((n) => n === one.message.n).length ?? 0;
      this.#checkOne(one, times > 0);
      this.ledger.count('settled', one.handled + times);
      this.ledger.count('spool parked', times);
      if (times > 1) this.ledger.breaks('parked', `job #${one.message.n} of a spool is parked ${times} times`);
    }
  }
  #checkOne({ message: { n, fate }, isLarge, handled }: Sent, isParked: boolean): void {
    const breaks = this.ledger.breaks.bind(this.ledger);
    if (handled > 1) breaks('twice', `job #${n} of a spool was handled ${handled} times, and no worker died`);
    if (fate === 'accepted' && handled === 0 && !isParked) breaks('lost', `job #${n} was accepted by a spool`);
    if (fate === 'refused' && (handled > 0 || isParked)) breaks('refused', `job #${n} was refused by a spool`);
    if (isLarge && handled > 0) breaks('phantom', `job #${n} is too large for the servers`);
    if (!isLarge && isParked) breaks('parked', `job #${n} of a spool, which the servers accept`);
  }

  /** Checks that the servers have each job at the place that its call returned. */
  async checkPlaces(read: (place: Place) => Promise<LogRecord | undefined>): Promise<void> {
    for (const [n, place] of this.#places) {
      const record = await read(place);
      const is = record && jobOf(record) === n;
      if (!is) this.ledger.breaks('lost', `job #${n} is not at ${place.partition}/${place.offset} of the servers`);
    }
    this.ledger.count('spool places', this.#places.size);
  }
}

/** Returns the number of the job that a record holds. */
export function jobOf({ value }: LogRecord): number {
  const decoded = decodeBody(value ?? new Uint8Array(0));
  return decoded.ok ? (decoded.value as Job).n : -1; // only jobs are sent
}
