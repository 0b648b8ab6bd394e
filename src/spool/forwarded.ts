/** Waits until records of the spool are at the servers, whichever process of the machine sends them. */
import { every, type Clock, type Timer } from '../base/clock';
import { BusError } from '../base/errors';
import { deferred, type Deferred } from '../base/lifecycle';
import type { CommittedProgress, Log, Place } from '../ports/log';
import { drainGroup } from './drain';
import { decodeShipped, placeOf } from './shipped';

/** Interval of the reads of the commits of other processes, while a call waits. */
const pollMs = 25;

type Places = readonly (Place | undefined)[];
interface Waiting {
  readonly places: readonly Place[];
  readonly done: Deferred<Places | undefined>;
}

export class Forwarded {
  readonly #waiting = new Map<string, Set<Waiting>>();
  readonly #looking = new Set<string>();
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
    this.#poll ??= every(this.clock, pollMs, () => this.#lookAll());
    const limit = withinMs === Infinity ? undefined : this.clock.after(withinMs, () => waiting.done.resolve(undefined));
    this.look(topic);
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

  /** Reads the commits of a topic, if a call waits for one. */
  look(topic: string): void {
    if (!this.#waiting.has(topic) || this.#looking.has(topic)) return;
    this.#looking.add(topic);
    this.local
      .committedOffsets(drainGroup, topic)
      .then((commits) => this.#settle(topic, commits))
      .catch(() => undefined) // the next poll reads again; the calls have a limit
      .finally(() => this.#looking.delete(topic));
  }
  #lookAll(): void {
    for (const topic of this.#waiting.keys()) this.look(topic);
  }

  #settle(topic: string, commits: readonly CommittedProgress[]): void {
    const byPartition = new Map(commits.map((commit) => [commit.partition, commit]));
    for (const { places, done } of this.#waiting.get(topic) ?? []) {
      const isDone = places.every(({ partition, offset }) => (byPartition.get(partition)?.offset ?? 0) > offset);
      if (!isDone) continue;
      const refused = places.flatMap((place) => this.#refusalOf(place, byPartition));
      if (refused[0] !== undefined) done.reject(refusedError(topic, refused[0]));
      else done.resolve(places.map((place) => serverPlace(place, byPartition)));
    }
  }
  #refusalOf({ partition, offset }: Place, commits: ReadonlyMap<number, CommittedProgress>): readonly string[] {
    const commit = commits.get(partition);
    const found = commit && decodeShipped(commit.state).refused.find((one) => one.offset === offset);
    return found ? [found.reason] : [];
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    for (const all of this.#waiting.values()) for (const { done } of all) done.resolve(undefined);
  }
}

function serverPlace({ partition, offset }: Place, commits: ReadonlyMap<number, CommittedProgress>): Place | undefined {
  const commit = commits.get(partition);
  const to = commit && placeOf(decodeShipped(commit.state), offset);
  return to === undefined ? undefined : { partition, offset: to };
}

function refusedError(topic: string, reason: string): BusError<'Config'> {
  const fault = `the servers refuse a message for ${topic}, which is parked in the spool: ${reason}`;
  const remedy = 'Change the settings of the topic that make the brokers refuse it, then replay it from the spool.';
  return new BusError('Config', fault, { faults: [fault] }, undefined, remedy);
}
