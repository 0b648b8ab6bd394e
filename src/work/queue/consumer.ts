/** Consumes a queue: owns partitions, starts messages within limits, and settles, retries or parks them. */
import type { Capacity } from '../../base/bounded';
import { every } from '../../base/clock';
import { errorMessage } from '../../base/errors';
import { closable, deferred, NotStarted } from '../../base/lifecycle';
import type { Outcome } from '../../delivery/deliver';
import type { OwnedPartition, Owner } from '../../ports/log';
import { CommitHealth } from '../progress/committer';
import { faultOf, handle } from './attempt';
import type { Lanes } from './lane';
import { openLanes } from './lanes';
import { OperatorAccess } from './operator-access';
import type { Message } from '../message';
import { attemptOf, attemptsKept } from '../parked/park';
import { Parking } from '../parked/parking';
import { Partition, type PartitionParts } from './partition';
import { RetainedPartitions, type Begin } from '../progress/retained';
import { decide } from './retry-policy';
import { QueueLimits } from './queue-limits';
import { openBuffered } from './read-ahead';
import { recall } from './recall';
import { Scheduler } from './scheduler';
import { Skips } from './skips';
import { Trimming } from './trim';
import { QueueCounts } from './stats';
import type { ConsumerParts, Handling, Queue, QueueBacklog, QueueConsumer, QueueStats } from '../types';

/**
 * Joins the queue's group. Resolves when this instance is a member. Creates missing topics. Messages of one key are
 * handled in order, one at a time. Different keys run concurrently.
 */
export async function consumeQueue(parts: ConsumerParts, queue: Queue): Promise<QueueConsumer> {
  const { log, clock } = parts;
  await log.ensure(queue.topic);
  await log.ensure(queue.parkedTopic);
  if (queue.from !== undefined) await log.startGroup(queue.group, queue.topic.name, queue.from);
  const taken = new Consumer(parts, queue);
  const member = await log.join(queue.group, queue.topic.name, taken.owner, {
    ...(queue.sessionMs !== undefined && { sessionMs: queue.sessionMs }),
    ...(queue.other === 'hold' && { serves: [...queue.entries.keys()] }),
  });
  const trimming = every(clock, trimEveryMs, () => taken.trim());
  return {
    stats: () => taken.stats(),
    held: (idStart) => taken.operator.held(idStart),
    skip: (ids, reason) => taken.operator.skip(ids, reason),
    backlog: () => taken.backlog(),
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

const trimEveryMs = 600_000;
/** Delay before a message whose handler was not called is offered again. Its module is closing, so it seldom is. */
const notStartedRetryMs = 1_000;
class Consumer {
  /** Resolves when running handlers are no longer waited for. */
  readonly hurried = deferred<void>();
  readonly #partitions = new Map<number, Partition>();
  readonly #retained: RetainedPartitions;
  readonly #buffered: Capacity;
  readonly #commitHealth: CommitHealth;
  readonly #limits: QueueLimits;
  readonly #lanes: Lanes<Message>;
  readonly #scheduler: Scheduler<Message>;
  readonly #parking: Parking;
  readonly #skips = new Skips();
  /** Finds and skips messages for operators. */
  readonly operator: OperatorAccess;
  readonly #trimming: Trimming;
  readonly #counts: QueueCounts;

  constructor(
    private readonly parts: ConsumerParts,
    private readonly queue: Queue,
  ) {
    this.#parking = new Parking(parts, queue);
    this.#retained = parts.retained ?? new RetainedPartitions();
    this.#buffered = parts.buffered ?? openBuffered();
    this.#commitHealth = new CommitHealth(parts.notices, queue.name);
    this.#trimming = new Trimming(parts, queue);
    this.#limits = new QueueLimits(queue);
    const { byEntry: limits } = this.#limits;
    this.#lanes = openLanes<Message>(limits, (message) => message.holder.mayStart(message));
    const [lanes, partitions] = [this.#lanes, this.#partitions];
    const attemptsMax = (message: Message): number => this.#limits.attemptsMax(message);
    this.#counts = new QueueCounts({ take: parts, queue, lanes, limits, partitions, attemptsMax });
    this.#scheduler = new Scheduler<Message>({
      clock: parts.clock,
      lanes: this.#lanes,
      handoverMs: this.#limits.handoverMs,
      attemptsMax: (message) => this.#limits.attemptsMax(message),
      mayRun: (message) => message.holder.mayRun(message),
      runsAny: () => this.#runsAny,
      start: (message) => this.#start(message),
      startRecorded: (message) => this.#startRecorded(message),
      readMore: () => {
        for (const partition of this.#partitions.values()) partition.readMore();
      },
    });
    this.operator = new OperatorAccess({
      clock: parts.clock,
      running: () => [...this.#partitions.values()].flatMap((partition) => [...partition.running]),
      lanes: this.#lanes,
      limits: this.#limits,
      skips: this.#skips,
      start: (message) => this.#start(message),
    });
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
      this.#scheduler.pump();
    });
    const parts: PartitionParts = {
      take: this.parts,
      queue: this.queue,
      lanes: this.#lanes,
      retained,
      buffered: this.#buffered,
      handoverMs: this.#limits.handoverMs,
      hurried: this.hurried.promise,
      pump: () => this.#scheduler.pump(),
      gone: (one) => this.#gone(one),
      again: (same, from) => this.#take(same, from),
      commits: (number, ok, reason) => this.#commitHealth.set(number, ok, reason),
      received: (message) => this.#counts.received(message),
    };
    const partition = new Partition(parts, owned, begin ?? recall(this.parts, this.queue, retained, owned));
    this.#partitions.set(owned.partition, partition);
    partition.start();
  }

  review(): void {
    this.#limits.reread();
    for (const [entry, limits] of this.#limits.byEntry) this.#lanes.setLimits(entry, limits);
    this.#scheduler.pump();
  }

  /** True when a handler runs, or a long burst waits for the next turn of the event loop. */
  get busy(): boolean {
    return this.#scheduler.isYielding || this.#runs;
  }
  get #runs(): boolean {
    return [...this.#partitions.values()].some(({ running }) => running.size > 0);
  }
  /** Includes handlers whose partition was lost or revoked. */
  get #runsAny(): boolean {
    return this.#runs || [...this.#retained.in(this.queue.group).values()].some(({ isRunning }) => isRunning);
  }

  stats(): QueueStats {
    return this.#counts.stats();
  }

  backlog(): Promise<QueueBacklog> {
    return this.#counts.backlog();
  }

  trim(): void {
    void this.#trimming.run([...this.#partitions.values()].map(({ settled }) => settled));
  }

  end(): void {
    this.#counts.end();
    this.#scheduler.end();
  }

  #gone(partition: Partition): void {
    if (this.#partitions.get(partition.number) === partition) this.#partitions.delete(partition.number);
    this.#scheduler.partitionLeft();
  }

  #start(message: Message): void {
    message.sinceMs = this.parts.clock.now();
    message.holder.started(message);
    if (message.holder.retained.isDone(message)) return this.#settle(message);
    const skipped = this.#skips.reasonOf(message);
    if (skipped !== undefined) return void this.#park(message, skipped);
    const handling = this.queue.entries.get(message.entry);
    if (!handling || message.refusal !== undefined) {
      void this.#park(message, message.refusal ?? `this instance does not know the entry ${message.entry}`);
      return;
    }
    const attempts = this.#limits.attemptsMax(message);
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
    void announcing.then(() => this.#scheduler.recorded(message));
  }

  #startRecorded(message: Message): void {
    const handling = this.queue.entries.get(message.entry);
    const skipped = this.#skips.reasonOf(message);
    if (skipped !== undefined) return void this.#park(message, skipped);
    if (handling) this.#run(message, handling);
    else this.#scheduler.done(message);
  }

  #run(message: Message, handling: Handling): void {
    const outcome = handle(this.parts, this.queue.group, message, handling);
    if (outcome instanceof Promise) void outcome.then((late) => this.#ended(message, late));
    else this.#ended(message, outcome);
  }

  #ended(message: Message, outcome: Outcome): void {
    if (message.holder.closed.aborted) return this.#outlived(message, outcome.ok);
    message.context = undefined;
    this.#scheduler.ended(message);
    if (outcome.ok) {
      this.#counts.handled++;
      this.#remember(message, 'handled');
      this.#settle(message);
    } else if (outcome.error instanceof NotStarted) this.#again(message, false, notStartedRetryMs, 'in-order');
    else this.#failedOnce(message, faultOf(outcome));
  }

  #failedOnce(message: Message, error: unknown): void {
    this.#counts.failed++;
    message.attempts++;
    message.interrupted = false;
    const attempt = attemptOf(message.attempts, error, this.parts.clock.now(), this.parts.self.instance);
    message.failures = [...message.failures, attempt].slice(-attemptsKept);
    const skipped = this.#skips.reasonOf(message);
    if (skipped !== undefined) return void this.#park(message, skipped, error);
    const options = this.#limits.retryOf(message);
    const decision = decide(options, message.attempts, error, this.parts.random);
    if ('park' in decision) return void this.#park(message, decision.park, decision.thrown);
    const { againMs } = decision;
    this.#reportRetried(message, againMs, error);
    this.#again(message, true, againMs, options.retry ?? 'in-order');
  }

  /** Retries a message after a delay. `counts` is false when its handler was not called. */
  #again(message: Message, counts: boolean, delayMs: number, how: 'in-order' | 'aside'): void {
    message.holder.again(message, counts);
    this.#scheduler.retry(message, delayMs, how);
  }

  /** Parks the message, and settles it only after the append is confirmed. Until then it counts as running. */
  async #park(message: Message, reason: string, thrown?: unknown): Promise<void> {
    if (!(await this.#parking.park(message, reason))) return this.#outlived(message, false);
    this.#counts.parked++;
    this.#remember(message, 'parked');
    const { entry, id, attempts } = message;
    const how = thrown === undefined ? {} : { thrown };
    this.parts.notices.emit({ type: 'parked', queue: this.queue.name, entry, id, reason, attempts, ...how });
    if (message.holder.closed.aborted) this.#outlived(message, true);
    else this.#settle(message);
  }

  /** Ends a message whose partition was lost or revoked. Commits made until then recorded it as running. */
  #outlived(message: Message, done: boolean): void {
    this.#scheduler.done(message);
    message.holder.retained.ended(message, done);
  }

  #remember({ id, entry, sinceMs }: Message, outcome: string): void {
    const atMs = this.parts.clock.now();
    this.parts.ended?.add({ kind: 'job', id, entry, outcome, peer: null, atMs, tookMs: Math.max(0, atMs - sinceMs) });
  }

  #settle(message: Message): void {
    this.#skips.settled(message);
    message.holder.settle(message);
    this.#scheduler.done(message);
  }

  #reportRetried({ entry, id, attempts: attempt }: Message, delayMs: number, thrown: unknown): void {
    this.parts.notices.emit({ type: 'retried', entry, id, attempt, delayMs, error: errorMessage(thrown), thrown });
  }
}
