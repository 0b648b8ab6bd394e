/** Consumes a queue: owns partitions, starts messages within limits, and settles, retries or parks them. */
import type { Capacity } from '../../base/bounded';
import { every, type Timer } from '../../base/clock';
import { errorMessage } from '../../base/errors';
import { closable, deferred, NotStarted } from '../../base/lifecycle';
import type { Outcome } from '../../delivery/deliver';
import type { OwnedPartition, Owner } from '../../ports/log';
import { CommitHealth } from '../progress/committer';
import { Fifo } from './fifo';
import { faultOf, handle } from './attempt';
import { openLanes, type Lanes } from './lanes';
import { unreadable, type Message } from '../message';
import { attemptOf, attemptsKept } from '../parked/park';
import { Parking } from '../parked/parking';
import { Partition, type PartitionParts } from './partition';
import { RetainedPartitions, type Begin } from '../progress/retained';
import { attemptsDefault, decide, handoverMsDefault } from './retry-policy';
import { openBuffered } from './read-ahead';
import { recall } from './recall';
import { Trimming } from './trim';
import { sumUp } from './unserved';
import type {
  EntryLimits,
  Handling,
  Queue,
  QueueStats,
  RetryOptions,
  Running,
  QueueConsumer,
  ConsumerParts,
} from '../types';

/**
 * Joins the queue's group. Resolves when this instance is a member. Creates missing topics. Messages of one key are
 * handled in order, one at a time. Different keys run concurrently.
 */
export async function consumeQueue(parts: ConsumerParts, queue: Queue): Promise<QueueConsumer> {
  const { log, clock } = parts;
  await log.ensure(queue.topic);
  await log.ensure(queue.parkedTopic);
  if (queue.from === 'end') await log.startGroup(queue.group, queue.topic.name, 'end');
  const taken = new Consumer(parts, queue);
  const member = await log.join(queue.group, queue.topic.name, taken.owner, {
    ...(queue.sessionMs !== undefined && { sessionMs: queue.sessionMs }),
    ...(queue.other === 'hold' && { serves: [...queue.entries.keys()] }),
  });
  const trimming = every(clock, trimEveryMs, () => taken.trim());
  return {
    stats: () => taken.stats(),
    get busy() {
      return taken.busy;
    },
    applyLimits: () => taken.review(),
    abortRunning: () => taken.hurried.resolve(),
    ...closable(async () => {
      trimming.cancel();
      await member.close();
      taken.end();
    }),
  };
}

const concurrencyDefault = 8;
const trimEveryMs = 600_000;
/** Delay before a message whose handler was not called is offered again. Its module is closing, so it seldom is. */
const notStartedRetryMs = 1_000;
/** Maximum time of starting messages without a turn of the event loop, so that sockets and leases are not delayed. */
const burstMs = 10;

class Consumer {
  /** Resolves when running handlers are no longer waited for. */
  readonly hurried = deferred<void>();
  readonly #partitions = new Map<number, Partition>();
  readonly #retained: RetainedPartitions;
  readonly #buffered: Capacity;
  readonly #commitHealth: CommitHealth;
  readonly #limits = new Map<string, EntryLimits>();
  readonly #retries = new Map<string, RetryOptions>();
  readonly #lanes: Lanes<Message>;
  readonly #handoverMs: number;
  /** Started messages that the log has recorded. Their handlers are called next. */
  readonly #announced = new Fifo<Message>();
  readonly #parking: Parking;
  readonly #trimming: Trimming;
  #alone: SoloRun | undefined;
  #wake: Timer | undefined;
  #wakeAtMs = Infinity;
  #pumping = false;
  #yielding = false;
  /** Time when this turn of the event loop started its first message. Undefined while it has started none. */
  #turnMs: number | undefined;
  #handled = 0;
  #failed = 0;
  #parked = 0;

  constructor(
    private readonly parts: ConsumerParts,
    private readonly queue: Queue,
  ) {
    this.#parking = new Parking(parts, queue);
    this.#retained = parts.retained ?? new RetainedPartitions();
    this.#buffered = parts.buffered ?? openBuffered();
    this.#commitHealth = new CommitHealth(parts.notices, queue.name);
    this.#trimming = new Trimming(parts, queue);
    this.#ask();
    this.#limits.set(unreadable, limitsDefault);
    this.#lanes = openLanes<Message>(this.#limits, (message) => message.holder.mayStart(message));
    const longest = [...this.#retries.values()].map(({ handoverMs }) => handoverMs ?? handoverMsDefault);
    this.#handoverMs = Math.max(0, ...longest);
  }

  get owner(): Owner {
    return {
      onAssigned: (owned) => this.#take(owned),
      onRevoked: async (partition) => this.#partitions.get(partition)?.revoke(),
    };
  }

  #take(owned: OwnedPartition, begin?: Begin): void {
    const retained = this.#retained.of(this.queue.group, owned.partition);
    retained.watch(() => {
      this.#lanes.offer(owned.partition);
      this.#pump();
    });
    const parts: PartitionParts = {
      take: this.parts,
      queue: this.queue,
      lanes: this.#lanes,
      retained,
      buffered: this.#buffered,
      handoverMs: this.#handoverMs,
      hurried: this.hurried.promise,
      pump: () => this.#pump(),
      gone: (one) => this.#gone(one),
      again: (same, from) => this.#take(same, from),
      commits: (number, ok, reason) => this.#commitHealth.set(number, ok, reason),
    };
    const partition = new Partition(parts, owned, begin ?? recall(this.parts, this.queue, retained, owned));
    this.#partitions.set(owned.partition, partition);
    partition.start();
  }

  review(): void {
    this.#ask();
    for (const [entry, limits] of this.#limits) this.#lanes.setLimits(entry, limits);
    this.#pump();
  }

  /** True when a handler runs, or a long burst waits for the next turn of the event loop. */
  get busy(): boolean {
    return this.#yielding || this.#runs;
  }
  get #runs(): boolean {
    return [...this.#partitions.values()].some(({ running }) => running.size > 0);
  }
  /** Includes handlers whose partition was lost or revoked. */
  get #runsAny(): boolean {
    return this.#runs || [...this.#retained.in(this.queue.group).values()].some(({ isRunning }) => isRunning);
  }

  stats(): QueueStats {
    const running: Running[] = [];
    for (const partition of this.#partitions.values()) {
      for (const message of partition.running)
        if (message.context) running.push(describe(message, message.context.note));
    }
    return {
      waiting: this.#lanes.waiting,
      inBackoff: this.#lanes.inBackoff,
      running,
      partitions: [...this.#partitions.keys()].toSorted((a, b) => a - b),
      handled: this.#handled,
      failed: this.#failed,
      parked: this.#parked,
      paused: [...this.#limits].flatMap(([entry, { concurrency }]) => (concurrency === 0 ? entry : [])),
      entries: [...this.queue.entries.keys()],
      unserved: sumUp([...this.#partitions.values()].flatMap(({ unserved }) => [...unserved])),
    };
  }

  trim(): void {
    const settled = [...this.#partitions.values()].map(({ number, committedOffset }) => {
      return { partition: number, offset: committedOffset };
    });
    void this.#trimming.run(settled);
  }

  end(): void {
    this.#wake?.cancel();
  }

  #ask(): void {
    for (const [entry, { options, entry: declared }] of this.queue.entries) {
      this.#limits.set(entry, { ...limitsDefault, ...this.queue.limits?.(entry) });
      this.#retries.set(entry, { ...(options ?? declared.options), ...this.queue.retry?.(entry) });
    }
  }

  #gone(partition: Partition): void {
    if (this.#partitions.get(partition.number) === partition) this.#partitions.delete(partition.number);
    if (this.#alone) this.#pump(); // it can have owned the message that runs alone
  }

  /** Starts every message that can start now, and sets a timer for the next one that can start later. */
  #pump(): void {
    if (this.#pumping || this.#yielding) return; // the call or timer in progress checks again
    this.#pumping = true;
    const nowMs = this.parts.clock.mono();
    while (!this.#yielding) {
      const announced = this.#announced.shift();
      if (announced && !announced.holder.mayRun(announced)) {
        this.#leave(announced);
        continue;
      }
      const message = announced ?? this.#next(nowMs);
      if (!message) break;
      this.#turnMs ??= this.#turn(nowMs);
      if (announced) this.#runLate(message);
      else this.#start(message);
      this.#yielding = this.parts.clock.mono() - this.#turnMs >= burstMs;
    }
    this.#pumping = false;
    if (this.#yielding) return;
    this.#wakeIn(this.#alone ? this.#alone.untilMs - nowMs : this.#lanes.wakeMs(nowMs), nowMs);
    if (this.#lanes.idle) for (const partition of this.#partitions.values()) partition.readMore();
  }

  /** Returns the next message to start. A message that must run alone first waits for the running handlers. */
  #next(nowMs: number): Message | undefined {
    while (!this.#alone) {
      const message = this.#lanes.next(nowMs);
      if (!message || !this.#isSuspect(message)) return message;
      this.#alone = { message, started: false, untilMs: nowMs + this.#handoverMs };
    }
    const { message, started, untilMs } = this.#alone;
    if (!started && !message.holder.mayRun(message))
      this.#leave(message); // its partition was lost or is being revoked
    else if (!started && (nowMs >= untilMs || !this.#runsAny)) {
      this.#alone = { message, started: true, untilMs: nowMs + this.#handoverMs };
      return message;
    } else if (!started || nowMs < untilMs) return undefined;
    this.#alone = undefined;
    return this.#next(nowMs);
  }

  /**
   * Returns true when the message was running in processes that died. It then runs alone, so that a further crash can
   * be attributed to it.
   */
  #isSuspect(message: Message): boolean {
    if (!message.interrupted) return false;
    const attempts = this.#retryOf(message).attempts ?? attemptsDefault;
    return message.attempts < attempts && message.attempts >= Math.min(blamedTogether, attempts - 1);
  }

  /** Ends a burst in the next turn of the event loop. Synchronous handlers would otherwise block everything else. */
  #turn(nowMs: number): number {
    this.parts.clock.after(0, () => {
      this.#turnMs = undefined;
      if (!this.#yielding) return;
      this.#yielding = false;
      this.#pump();
    });
    return nowMs;
  }

  #wakeIn(delayMs: number | undefined, nowMs: number): void {
    if (delayMs === undefined) return;
    const atMs = nowMs + delayMs;
    if (this.#wakeAtMs <= atMs) return; // the earlier timer checks again
    this.#wake?.cancel();
    this.#wakeAtMs = atMs;
    this.#wake = this.parts.clock.after(delayMs, () => {
      this.#wakeAtMs = Infinity;
      this.#pump();
    });
  }

  #start(message: Message): void {
    message.sinceMs = this.parts.clock.now();
    message.holder.started(message);
    if (message.holder.retained.isDone(message)) return this.#settle(message);
    const handling = this.queue.entries.get(message.entry);
    if (!handling || message.refusal !== undefined) {
      void this.#park(message, message.refusal ?? `this instance does not know the entry ${message.entry}`);
      return;
    }
    const attempts = this.#retryOf(message).attempts ?? attemptsDefault;
    // A message whose last attempt failed here had a retry left. Only a lowered limit is exceeded then, so it runs.
    if (message.attempts >= attempts && message.failures.at(-1)?.attempt !== message.attempts) {
      void this.#park(
        message,
        `attempt ${message.attempts} of ${attempts} did not end: its process died, or lost the partition`,
      );
      return;
    }
    const announcing = message.holder.announce(message);
    if (!announcing) return this.#run(message, handling);
    void announcing.then(() => {
      this.#announced.push(message);
      this.#pump();
    });
  }

  #runLate(message: Message): void {
    const handling = this.queue.entries.get(message.entry);
    if (handling) this.#run(message, handling);
    else this.#leave(message);
  }

  #run(message: Message, handling: Handling): void {
    const outcome = handle(this.parts, message, handling);
    if (outcome instanceof Promise) void outcome.then((late) => this.#ended(message, late));
    else this.#ended(message, outcome);
  }

  #ended(message: Message, outcome: Outcome): void {
    if (message.holder.closed.aborted) return this.#outlived(message, outcome.ok);
    message.context = undefined;
    if (this.#alone?.message === message) this.#alone = undefined;
    if (outcome.ok) {
      this.#handled++;
      this.#settle(message);
    } else if (outcome.error instanceof NotStarted) this.#again(message, false, notStartedRetryMs, 'in-order');
    else this.#failedOnce(message, faultOf(outcome));
  }

  #retryOf({ entry }: Message): RetryOptions {
    return this.#retries.get(entry) ?? retryDefault;
  }

  #failedOnce(message: Message, error: unknown): void {
    this.#failed++;
    message.attempts++;
    message.interrupted = false;
    const attempt = attemptOf(message.attempts, error, this.parts.clock.now(), this.parts.self.instance);
    message.failures = [...message.failures, attempt].slice(-attemptsKept);
    const options = this.#retryOf(message);
    const decision = decide(options, message.attempts, error, this.parts.random);
    if ('park' in decision) return void this.#park(message, decision.park, decision.thrown);
    const { againMs } = decision;
    if (this.parts.notices.watched) this.#reportRetried(message, againMs, error);
    this.#again(message, true, againMs, options.retry ?? 'in-order');
  }

  /** Retries a message after a delay. `counts` is false when its handler was not called. */
  #again(message: Message, counts: boolean, delayMs: number, how: 'in-order' | 'aside'): void {
    message.holder.again(message, counts);
    this.#lanes.again(message, this.parts.clock.mono() + delayMs, how);
    this.#pump();
  }

  /** Parks the message, and settles it only after the append is confirmed. Until then it counts as running. */
  async #park(message: Message, reason: string, thrown?: unknown): Promise<void> {
    if (!(await this.#parking.park(message, reason))) return this.#outlived(message, false);
    this.#parked++;
    const { entry, id, attempts } = message;
    const how = thrown === undefined ? {} : { thrown };
    this.parts.notices.emit({ type: 'parked', queue: this.queue.name, entry, id, reason, attempts, ...how });
    if (message.holder.closed.aborted) this.#outlived(message, true);
    else this.#settle(message);
  }

  /** Ends a message whose partition was lost or revoked. Commits made until then recorded it as running. */
  #outlived(message: Message, done: boolean): void {
    this.#leave(message);
    message.holder.retained.ended(message, done);
  }

  #settle(message: Message): void {
    message.holder.settle(message);
    this.#leave(message);
  }

  #leave(message: Message): void {
    this.#lanes.done(message);
    if (this.#alone?.message === message) this.#alone = undefined;
    this.#pump();
  }

  #reportRetried({ entry, id, attempts: attempt }: Message, delayMs: number, thrown: unknown): void {
    this.parts.notices.emit({ type: 'retried', entry, id, attempt, delayMs, error: errorMessage(thrown), thrown });
  }
}

const limitsDefault: EntryLimits = { concurrency: concurrencyDefault, perSecond: Infinity };
const retryDefault: RetryOptions = {};

/** Number of crashes that count for every message that was running. After them a message runs alone. */
const blamedTogether = 2;
/** A message that runs alone. Until `untilMs` it waits for running handlers, and then other messages wait for it. */
interface SoloRun {
  readonly message: Message;
  readonly started: boolean;
  readonly untilMs: number;
}

function describe({ id, entry, lane, attempts, sinceMs, partition, offset }: Message, note: string): Running {
  return { id, entry, key: lane, attempt: attempts + 1, sinceMs, note, partition, offset };
}
