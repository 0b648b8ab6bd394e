/** Counts the messages of a queue at this instance, and describes its state for operators. */
import type { Message } from '../message';
import { unreadable } from '../message';
import type { ConsumerParts, EntryLimits, Pause, Queue, QueueBacklog, QueueStats, Retrying, Unserved } from '../types';
import type { Watermark } from '../progress/watermark';
import { runningIn } from './attempt';
import type { Lanes } from './lane';
import { Load, type LoadState } from './load';
import { sumUp } from './unserved';

/** A partition that this instance owns. */
interface Owned {
  readonly number: number;
  readonly next: number;
  readonly state: { readonly watermark: Pick<Watermark, 'at' | 'unsettled'> };
  readonly running: ReadonlySet<Message>;
  readonly unserved: Iterable<Unserved>;
}
export interface QueueCountsParts {
  readonly take: ConsumerParts;
  readonly queue: Queue;
  readonly lanes: Pick<Lanes<Message>, 'waiting' | 'inBackoff' | 'later' | 'running'>;
  readonly limits: ReadonlyMap<string, EntryLimits>;
  readonly partitions: ReadonlyMap<number, Owned>;
  attemptsMax(message: Message): number;
}

/** Maximum number of messages in backoff that are listed. */
const retryingMax = 100;

export class QueueCounts {
  handled = 0;
  failed = 0;
  parked = 0;
  #received = 0;
  /** Offset of each partition when its first message was received, to know the share of a listener. */
  readonly #firsts = new Map<number, number>();
  readonly #load: Load;

  constructor(private readonly parts: QueueCountsParts) {
    const { take, queue, partitions } = parts;
    this.#load = new Load({
      clock: take.clock,
      log: take.log,
      topic: queue.topic.name,
      partitions: () => partitions.values(),
      state: () => this.#state(),
    });
  }

  received({ entry, partition, offset }: Message): void {
    const { counters, clock } = this.parts.take;
    this.#received++;
    if (!this.#firsts.has(partition)) this.#firsts.set(partition, offset);
    counters?.of(entry)?.received(clock.now());
  }
  /** Stops measuring. */
  end(): void {
    this.#load.end();
  }

  stats(): QueueStats {
    const { lanes, partitions, queue } = this.parts;
    const limits = this.#limits();
    return {
      waiting: lanes.waiting,
      inBackoff: lanes.inBackoff,
      running: [...partitions.values()].flatMap(({ running }) =>
        runningIn(running, (message) => this.parts.attemptsMax(message)),
      ),
      partitions: [...partitions.keys()].toSorted((a, b) => a - b),
      handled: this.handled,
      failed: this.failed,
      parked: this.parked,
      paused: limits.flatMap(({ entry, concurrency }) => (concurrency === 0 ? entry : [])),
      pauses: this.#pauses(),
      entries: [...queue.entries.keys()],
      unserved: this.#unserved(),
      load: this.#load.read(),
      limits,
      retrying: retryingIn(lanes.later()),
    };
  }

  async backlog(): Promise<QueueBacklog> {
    const { lanes, take } = this.parts;
    const backoff = new Map<string, number>();
    for (const { entry } of lanes.later()) backoff.set(entry, (backoff.get(entry) ?? 0) + 1);
    const [unread, oldest] = await Promise.all([
      lanes.waiting > 0 ? this.#unread().catch(() => 0) : 0,
      this.#oldest().catch(() => undefined),
    ]);
    return {
      waiting: lanes.waiting + unread,
      oldestMs: oldest === undefined ? null : Math.max(0, take.clock.now() - oldest),
      entries: this.#limits().map(({ entry, running, concurrency: limit }) => {
        return { entry, running, limit, inBackoff: backoff.get(entry) ?? 0 };
      }),
    };
  }
  /** Returns the messages in the log that are not read yet. The share of a listener in its topic is estimated. */
  async #unread(): Promise<number> {
    const { take, queue, partitions } = this.parts;
    let records = 0;
    for (const { partition, end } of await take.log.bounds(queue.topic.name))
      records += Math.max(0, end - (partitions.get(partition)?.next ?? end));
    return Math.round(records * this.#state().share);
  }
  /** Returns the time at which the log accepted the oldest message that is not settled. */
  async #oldest(): Promise<number | undefined> {
    const { take, queue, partitions } = this.parts;
    const open = [...partitions.values()].flatMap(({ number: partition, state: { watermark } }) =>
      watermark.unsettled > 0 ? { partition, offset: watermark.at } : [],
    );
    const max = { messages: 1, bytes: 1 };
    const found = await Promise.all(open.map((place) => take.log.peek(queue.topic.name, place, max)));
    return found.flatMap(([first]) => first?.timeMs ?? []).toSorted((one, other) => one - other)[0];
  }

  #limits() {
    const known = [...this.parts.limits].filter(([entry]) => entry !== unreadable);
    return known.map(([entry, { concurrency, perSecond }]) => ({
      entry,
      running: this.parts.lanes.running(entry),
      concurrency,
      perSecond: perSecond === Infinity ? null : perSecond,
    }));
  }
  #pauses(): readonly Pause[] {
    const pauses = [...this.parts.limits.values()].flatMap(({ pause }) => pause ?? []);
    return [...new Map(pauses.map((pause) => [pause.name, pause])).values()];
  }
  #unserved(): readonly Unserved[] {
    return sumUp([...this.parts.partitions.values()].flatMap(({ unserved }) => [...unserved]));
  }
  #state(): LoadState {
    const { take, queue, lanes, limits } = this.parts;
    const longest = [...queue.entries.keys()].map((entry) => take.counters?.of(entry)?.handlerMs?.p99Ms ?? 0);
    return {
      waiting: lanes.waiting,
      inBackoff: lanes.inBackoff,
      settled: this.handled + this.parked,
      share: queue.other === 'hold' ? 1 : this.#share(),
      isHeld: [...limits.values()].some(({ concurrency }) => concurrency === 0) || this.#unserved().length > 0,
      handlerMs: Math.max(0, ...longest),
    };
  }
  /** Returns the share of the records of a topic that are of a listener, as of those that were read. */
  #share(): number {
    let read = 0;
    for (const { number, next } of this.parts.partitions.values()) read += next - (this.#firsts.get(number) ?? next);
    return read > 0 ? Math.min(1, this.#received / read) : 1;
  }
}

function retryingIn(messages: Iterable<Message>): readonly Retrying[] {
  const all = [...messages].map((message): Retrying => {
    const { id, entry, lane: key, attempts, failures, partition, offset, sinceMs } = message;
    const error = failures.at(-1)?.error ?? '';
    return { id, entry, key, attempts, sinceMs: failures[0]?.atMs ?? sinceMs, error, partition, offset };
  });
  return all.toSorted((one, other) => one.sinceMs - other.sinceMs).slice(0, retryingMax);
}
