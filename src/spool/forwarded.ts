/** Waits until records of the spool are at the servers, whichever process of the machine sends them. */
import { every, type Clock, type Timer } from '../base/clock';
import { BusError } from '../base/errors';
import { deferred, type Deferred } from '../base/lifecycle';
import type { Log, Place } from '../ports/log';
import { drainGroup } from './drain';
import { decodeShipped, nothingShipped, placeOf, type Shipped } from './shipped';

/** Interval of the reads of the commits of other processes, while a call waits. */
const pollMs = 25;

type Places = readonly (Place | undefined)[];
interface Waiting {
  readonly places: readonly Place[];
  readonly done: Deferred<Places | undefined>;
}
/** Progress of a partition: the servers have all records below `offset`. */
export interface Progress {
  readonly partition: number;
  readonly offset: number;
  readonly shipped: Shipped;
}

export class Forwarded {
  readonly #waiting = new Map<string, Set<Waiting>>();
  /** Highest known progress by topic and partition. */
  readonly #progress = new Map<string, Map<number, Progress>>();
  readonly #reading = new Set<string>();
  #poll: Timer | undefined;
  #isClosed = false;

  constructor(
    private readonly clock: Clock,
    private readonly local: Pick<Log, 'committedOffsets'>,
  ) {}

  /** See {@link Outbox.forwarded}. */
  async wait(topic: string, places: readonly Place[], withinMs: number): Promise<Places | undefined> {
    if (this.#isClosed) return undefined;
    const waiting: Waiting = { places, done: deferred() };
    const all = this.#waiting.get(topic) ?? new Set();
    this.#waiting.set(topic, all.add(waiting));
    this.#poll ??= every(this.clock, pollMs, () => this.#readAll());
    const limit = withinMs === Infinity ? undefined : this.clock.after(withinMs, () => waiting.done.resolve(undefined));
    this.#settle(topic);
    try {
      return await waiting.done.promise;
    } finally {
      limit?.cancel();
      all.delete(waiting);
      if (all.size === 0 && this.#waiting.get(topic) === all) this.#waiting.delete(topic);
      if (this.#waiting.size === 0) {
        this.#poll?.cancel();
        this.#poll = undefined;
      }
    }
  }

  /** Notes the progress of a partition that this process sends. */
  sent(topic: string, progress: Progress): void {
    this.#note(topic, progress);
    this.#settle(topic);
  }

  #note(topic: string, progress: Progress): void {
    const known = this.#progress.get(topic) ?? new Map<number, Progress>();
    this.#progress.set(topic, known);
    if (progress.offset > (known.get(progress.partition)?.offset ?? -1)) known.set(progress.partition, progress);
  }

  /** Reads the commits of the topics for which a call waits: other processes can send their messages. */
  #readAll(): void {
    for (const topic of this.#waiting.keys()) if (!this.#reading.has(topic)) void this.#read(topic);
  }
  async #read(topic: string): Promise<void> {
    this.#reading.add(topic);
    try {
      const commits = await this.local.committedOffsets(drainGroup, topic);
      for (const { partition, offset, state } of commits)
        this.#note(topic, { partition, offset, shipped: decodeShipped(state) });
      this.#settle(topic);
    } catch {
      // the next poll reads again; the calls have a limit
    }
    this.#reading.delete(topic);
  }

  #settle(topic: string): void {
    const known = this.#progress.get(topic);
    const waiting = this.#waiting.get(topic);
    if (!known || !waiting) return;
    for (const { places, done } of waiting) {
      if (!places.every(({ partition, offset }) => (known.get(partition)?.offset ?? 0) > offset)) continue;
      const refused = places.map(({ partition, offset }) => refusalOf(known.get(partition)?.shipped, offset));
      const reason = refused.find((one) => one !== undefined);
      if (reason !== undefined) done.reject(refusedError(topic, reason));
      else done.resolve(places.map((place) => serverPlace(place, known.get(place.partition)?.shipped)));
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    for (const all of this.#waiting.values()) for (const { done } of all) done.resolve(undefined);
  }
}

function serverPlace({ partition, offset }: Place, shipped: Shipped = nothingShipped): Place | undefined {
  const to = placeOf(shipped, offset);
  return to === undefined ? undefined : { partition, offset: to };
}
function refusalOf({ refused }: Shipped = nothingShipped, offset: number): string | undefined {
  return refused.find((one) => one.offset === offset)?.reason;
}

function refusedError(topic: string, reason: string): BusError<'Config'> {
  const fault = `the servers refuse a message for ${topic}, which is parked in the spool: ${reason}`;
  const remedy = 'Change the settings of the topic that make the brokers refuse it, then replay it from the spool.';
  return new BusError('Config', fault, { faults: [fault] }, undefined, remedy);
}
