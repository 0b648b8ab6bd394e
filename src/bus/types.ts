/** Public types of the bus: verbs, options and results; long because each docstring states the whole contract. */
import type { AnyBusError, BusCode } from '../base/errors';
import type { Closable } from '../base/lifecycle';
import type { Notice } from '../base/notices';
import type {
  AnyContract,
  Body,
  Broadcast,
  Event,
  FailureOf,
  Input,
  Output,
  Request,
  RetryKind,
  Work,
} from '../contract/types';
import type { Baggage, Context, Peer, WorkContext } from '../delivery/context';
import type { Awaitable, Handled, Handlers } from '../delivery/handler';
import type { Middleware } from '../delivery/middleware';
import type { BusStats } from './stats';

export type { BusStats, EntryLoad, ParkedCount, QueueBacklog, RequestLoad } from './stats';

/** Input and options of a call. The input can be omitted if its type includes undefined. */
export type Call<I, O> = undefined extends I ? [input?: I, options?: O] : [input: I, options?: O];

/** Options of {@link Bus.request}. */
export interface RequestCall {
  /**
   * Time after which the request rejects with Timeout, in ms. It never exceeds the deadline of the handler that makes
   * the request.
   *
   * @default the live setting of the entry, else its own `timeoutMs`, else the `timeoutMs` of the bus (5_000)
   */
  readonly timeoutMs?: number;
  /** Cancels the request when it aborts. The request rejects with Cancelled, and the handler's `signal` aborts. */
  readonly signal?: AbortSignal;
  /** Routes requests with the same key to the same instance while the set of instances does not change. */
  readonly key?: string;
  /** Name of the instance that must handle the request, `module#xxxx`. */
  readonly to?: string;
  /**
   * Time to wait for a first instance before the request rejects with NoHandler, in ms. It bridges rolling deploys.
   *
   * @default 0
   */
  readonly waitForInstanceMs?: number;
}
/** Options of {@link Bus.submit} and {@link Bus.publish}. */
export interface SubmitCall {
  /**
   * Durability that the call needs. With the option `spool`, 'broker' waits until the brokers have the message, and the
   * call resolves with 'disk' if they do not have it within `timeoutMs`: the message is sent all the same. Without a
   * spool it changes nothing: the embedded transport always reaches 'disk', Kafka 'broker'.
   *
   * @default 'disk' with a spool
   */
  readonly until?: 'disk' | 'broker';
  /**
   * Time for which `until: 'broker'` waits, in ms.
   *
   * @default 5_000
   */
  readonly timeoutMs?: number;
  /**
   * Id of the message, 1 to 200 characters without control characters. Messages of one entry with the same id are one
   * message, which is handled once: send it again with the same id after an unknown outcome. This holds within 10
   * minutes and 10,000 messages of its partition, counted from the last message with the id. All of them must have the
   * same key and the same body. With another key the copy can be in another partition, where it is not recognized. With
   * another body the call rejects with Conflict, or the later message is parked if another process has sent the first.
   *
   * @default a unique id. In the handler of a job, named listener or idempotent request: an id that is derived from the
   *   message that is handled, so that a handler that is repeated sends nothing twice.
   */
  readonly id?: string;
}
/** Options of {@link Bus.submitAll} and {@link Bus.publishAll}. */
export interface SubmitAllCall<I> extends Omit<SubmitCall, 'id'> {
  /** Returns the id of a message, see {@link SubmitCall.id}. The index is its index in the list. */
  readonly id?: (input: I, index: number) => string;
}
/**
 * Result of {@link Bus.submit} and {@link Bus.publish}. A message that `reached` the 'disk' survives a crash of the
 * process and a restart of the machine. One that reached the 'broker' also survives the loss of this machine.
 */
export interface Submitted {
  readonly id: string;
  readonly reached: 'disk' | 'broker';
  /**
   * Position of the message: in Kafka, or in the log of this machine with the embedded transport. It is missing if the
   * message has not reached the brokers yet, which can happen only in front of Kafka.
   */
  readonly place?: MessagePlace;
}
/** Position of a message in the log: its topic with the namespace, its partition, and its offset there. */
export interface MessagePlace {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
}
/** Result of {@link Bus.broadcast}. */
export interface Sent {
  readonly id: string;
}

/** Options of {@link Bus.serve}. A live setting such as `photos.resize.concurrency` overrides them while it exists. */
export interface ServeOptions<C extends AnyContract> {
  /**
   * Number of handlers that run at the same time in this instance: one number for each of the entries, or a number by
   * entry.
   *
   * @default 100 for requests (option `requestConcurrency`), 8 for work (`workConcurrency`)
   */
  readonly concurrency?: number | { readonly [K in Handled<C> & string]?: number };
  /**
   * Number of handlers that start per second in this instance, by entry.
   *
   * @default no limit
   */
  readonly perSecond?: { readonly [K in Handled<C> & string]?: number };
}
/** Options of a named listener. A live setting such as `search.index.attempts` overrides them while it exists. */
export interface ListenOptions {
  /**
   * Name of the listener's queue. One instance of this module handles each event. No event is lost that was published
   * after the first `listen` with this name resolved.
   */
  readonly as: string;
  /**
   * First event of a new name: the first one that the log still has ('start'), the next one that is published ('end'),
   * or the first one that the log stored at this time or later. It changes nothing for a name that exists, which
   * continues after the events that it has handled.
   *
   * @default 'end'
   */
  readonly from?: 'start' | 'end' | Date;
  /**
   * Attempts before an event is parked.
   *
   * @default 8
   */
  readonly attempts?: number;
  /**
   * Handling of the other events of a key while a failed one waits for its next attempt.
   *
   * @default 'in-order'
   */
  readonly retry?: RetryKind;
  /**
   * Longest wait before the second attempt, in ms. It doubles with each attempt, up to a minute.
   *
   * @default 1_000
   */
  readonly backoffMs?: number;
  /**
   * Time for which a handler can continue after its partition was revoked, in ms.
   *
   * @default 30_000
   */
  readonly handoverMs?: number;
  /**
   * Number of handlers that run at the same time in this instance.
   *
   * @default 8
   */
  readonly concurrency?: number;
  /**
   * Number of handlers that start per second in this instance.
   *
   * @default no limit
   */
  readonly perSecond?: number;
}

/** A value, or the error in its place. */
export type Result<T, E> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly error: E };
/** Codes with which a request can reject. Config is not among them: it reports a mistake in the call itself. */
export type RequestCode = Exclude<
  BusCode,
  'DiskFull' | 'StoreBroken' | 'SpoolFull' | 'SpoolBroken' | 'Conflict' | 'Config'
>;
/** Errors with which a request can reject: the failures of its contract, and errors of the bus. */
export type RequestFailure<M extends Request> = FailureOf<M> | AnyBusError<RequestCode>;
/** Response of one instance to {@link Bus.requestAll}: its reply, or the error of this request. */
export type Answer<M extends Request> = { readonly from: Peer } & Result<Output<M>, RequestFailure<M>>;

/**
 * Handle of a `serve` or a `listen`, which `close` ends.
 *
 * `close` first withdraws the announcement, so that other instances send nothing new. Then it starts no further
 * handler, waits for running ones, and releases its queues. After `drainMs` it aborts the handlers that still run.
 * Another instance makes the next attempt of their jobs, and of their events of a named listener.
 *
 * Requests that wait here are refused, so that their callers send them to another instance. Waiting broadcasts, and
 * waiting events of a plain listener, are dropped, each with a notice.
 *
 * Resolves when no handler runs, or when those that exceed `drainMs` were aborted. Rejects with Unreachable when the
 * withdrawal could not be announced. Everything else is closed nevertheless, and the next call tries to announce it
 * again.
 */
export interface Served extends Closable {}

/** State of this instance, for liveness and readiness probes. */
export interface Health {
  /** True if the process can continue. If false, the process must be restarted. */
  readonly live: boolean;
  /** True if the instance accepts work at the moment. */
  readonly ready: boolean;
  /**
   * Parts that do not work, with the reason and the time since when. Refused settings and entries that this instance
   * does not serve are also listed; they leave `ready` unchanged. `sinceMs` is an age in ms.
   */
  readonly reasons: readonly { readonly part: string; readonly reason: string; readonly sinceMs: number }[];
}

/**
 * A connection of this process to the bus. After `close`, every verb that sends rejects with Closed. Verbs that send or
 * receive reject with Config for an invalid entry, contract or option.
 */
export interface Bus extends Closable {
  /** Module and name of this instance. */
  readonly self: Peer;

  /**
   * Sends a request to one live instance.
   *
   * Resolves with the reply. Rejects with a failure that the entry declares ({@link FailureOf}), or with an error of
   * the bus ({@link AnyBusError}):
   * - NoHandler, within milliseconds, when no instance serves the entry.
   * - ResponderLost when the instance died. An idempotent entry is sent to another instance in this case.
   * - Timeout when no reply arrived in time. Its `details.reached` is how far the request got.
   * - HandlerFailed when the handler threw an undeclared error.
   * - Overloaded, Unreachable, Cancelled, Invalid or TooLarge, as their `details` and `remedy` explain.
   *
   * One instance never starts a request twice. Requests have no order between them.
   *
   * @default timeoutMs 5_000
   *
   * @example
   * const photo = await bus.request(photos.add, { album: 'alps', bytes: 2_000 }, { timeoutMs: 500 });
   */
  request<M extends Request>(entry: M, ...call: Call<Input<M>, RequestCall>): Promise<Output<M>>;
  /**
   * Sends a request like {@link Bus.request}, and returns its failure as a value: `{ ok: false, error }`. `error.code`
   * narrows the type of the error.
   *
   * Resolves for every failure ({@link FailureOf}) and every error of the bus ({@link AnyBusError}). Rejects for no
   * other reason than a defect.
   *
   * @example
   * const result = await bus.tryRequest(photos.add, { album: 'alps', bytes: 2_000 });
   * if (!result.ok && result.error.code === 'TooBig') console.log(result.error.data.limitBytes);
   */
  tryRequest<M extends Request>(
    entry: M,
    ...call: Call<Input<M>, RequestCall>
  ): Promise<Result<Output<M>, RequestFailure<M>>>;
  /**
   * Sends a request to every live instance of the module.
   *
   * Resolves with one reply or error for each instance, when the last one is known. The error of one instance never
   * rejects the call. Resolves with `[]` when no instance is running.
   *
   * Rejects with Timeout, Cancelled or Unreachable when the registry could not be read.
   *
   * @example
   * const answers = await bus.requestAll(caches.size, undefined, { timeoutMs: 1_000 });
   * for (const answer of answers) if (answer.ok) console.log(answer.from.instance, answer.value);
   */
  requestAll<M extends Request>(
    entry: M,
    ...call: Call<Input<M>, Pick<RequestCall, 'timeoutMs' | 'signal'>>
  ): Promise<readonly Answer<M>[]>;

  /**
   * Submits a job, which one instance handles.
   *
   * Resolves when the job is durable, not when it is done. The job is retried after a failure or a crash, until it is
   * done or parked. It can therefore run more than once.
   *
   * Rejects with Unreachable when the log does not respond. `details.outcome` is 'unknown' if the job can have been
   * accepted, otherwise 'not-sent'. Rejects with Invalid or TooLarge for the input, and with Overloaded when 100,000
   * messages or 64 MiB wait for the log. Rejects with Conflict when this bus has given the `id` to another body.
   *
   * Order: jobs of one sender and key are handled in the order in which they were submitted.
   *
   * @example
   * const { id } = await bus.submit(photos.resize, { photoId: 'p1' });
   * await bus.submit(photos.resize, { photoId: 'p2' }, { id: 'resize p2' }); // can be repeated, and is handled once
   */
  submit<M extends Work>(entry: M, ...call: Call<Input<M>, SubmitCall>): Promise<Submitted>;
  /**
   * Submits a list of jobs, in its order. This is much cheaper than one call for each job.
   *
   * Resolves when all jobs are durable. Resolves with `[]` for an empty list.
   *
   * Rejects with TooLarge for more than 100,000 jobs or 64 MiB. Other errors are those of {@link Bus.submit}. The
   * details of an error have the `index` and the `id` of the first job that failed. Other jobs of the list can have
   * been accepted.
   *
   * @example
   * await bus.submitAll(photos.resize, [{ photoId: 'p1' }, { photoId: 'p2' }]);
   */
  submitAll<M extends Work>(
    entry: M,
    inputs: readonly Input<M>[],
    options?: SubmitAllCall<Input<M>>,
  ): Promise<readonly Submitted[]>;
  /**
   * Sends a command to every live instance of the module. No instance that starts later receives it.
   *
   * Resolves when the command will arrive at each of them even if this process dies: it is then in their sockets, or in
   * the log of Kafka. A receiver that reads nothing for a second is no longer waited for. Up to 64 MiB are kept for it;
   * commands above that are dropped with a notice.
   *
   * Rejects with Overloaded when more than 64 MiB were broadcast without awaiting the calls.
   *
   * Order: commands of one sender to one module stay in order. No instance handles one twice.
   *
   * @example
   * await bus.broadcast(photos.dropCache, { photoId: 'p1' });
   */
  broadcast<M extends Broadcast>(entry: M, ...call: Call<Input<M>, never>): Promise<Sent>;
  /**
   * Publishes an event.
   *
   * Resolves when the event is durable. The two forms of {@link Bus.listen} determine which instances handle it.
   * Rejects with the errors of {@link Bus.submit}.
   *
   * Order: events of one sender and key stay in order.
   *
   * @example
   * await bus.publish(photos.added, photo);
   */
  publish<M extends Event>(entry: M, ...call: Call<Input<M>, SubmitCall>): Promise<Submitted>;
  /**
   * Publishes a list of events, in its order. Limits and errors are those of {@link Bus.submitAll}.
   *
   * @example
   * await bus.publishAll(photos.added, [photo, { ...photo, id: 'p2' }]);
   */
  publishAll<M extends Event>(
    entry: M,
    inputs: readonly Input<M>[],
    options?: SubmitAllCall<Input<M>>,
  ): Promise<readonly Submitted[]>;

  /**
   * Waits for the jobs and events that this bus accepted before the call: those of each `submit`, `submitAll`,
   * `publish` and `publishAll`. Calls that follow do not delay it.
   *
   * Resolves when each of those calls has ended. The result has the last place of this bus in each partition that it
   * has written since it was opened, by topic and partition. A call that failed does not reject `flush`, because it has
   * rejected its own promise before.
   *
   * With the option `spool` it also waits until the brokers have the messages, without a limit. The places are those at
   * the brokers, without partitions whose last message the brokers refused.
   *
   * Rejects with Closed after `close`, and for no other reason. `close` waits for the same calls. With a spool, a
   * `flush` that waits for the brokers also rejects with Closed when the bus is closed: the rest stays in the spool.
   *
   * @example
   * bus.submit(photos.resize, { photoId: 'p1' }).catch(console.error);
   * const lastPlaces = await bus.flush(); // [{ topic: 'main.photos.work', partition: 3, offset: 41 }]
   */
  flush(): Promise<readonly MessagePlace[]>;

  /**
   * Listens to events in this instance, as a plain listener. Every instance that listens handles every event.
   *
   * Resolves when the listener receives each event that is published from then on. Events published while this instance
   * is not running are not delivered. An error of the handler is counted and reported as a notice; the event is not
   * retried.
   *
   * Rejects with Unreachable when the log does not respond.
   *
   * @example
   * const listener = await bus.listen(photos.added, (added) => cache.put(added));
   */
  listen<M extends Event>(entry: M, run: (body: Body<M>, context: Context) => Awaitable<void>): Promise<Served>;
  /**
   * Listens to events as a named listener. One instance of this module that listens under the name `as` handles each
   * event.
   *
   * Resolves when this instance is a member of the listener's group. Events are durable from the first call with this
   * name on: they wait while no instance is running. A failed event is retried like a job, and parked after `attempts`.
   *
   * Rejects with Config when this instance already listens to the entry under this name.
   *
   * Order: events of one sender and key are handled in the order in which they were published.
   *
   * @example
   * await bus.listen(photos.added, { as: 'index', attempts: 5 }, async (added) => index.add(added));
   */
  listen<M extends Event>(
    entry: M,
    options: ListenOptions,
    run: (body: Body<M>, context: WorkContext) => Awaitable<void>,
  ): Promise<Served>;

  /**
   * Serves the requests, work and broadcasts of a contract.
   *
   * Resolves when other instances can reach them. Handlers are called as methods of `handlers`, so `this` works.
   *
   * Rejects with Config for a missing or unknown handler, and for an entry that this instance already serves. Rejects
   * with Unreachable when the announcement failed; nothing is served then.
   *
   * @default concurrency 100 for requests, 8 for work
   *
   * @example
   * const served = await bus.serve(photos, {
   *   add: (photo, { id }) => store.save({ ...photo, id }),
   *   resize: ({ photoId }, { signal }) => store.resize(photoId, signal),
   *   dropCache: ({ photoId }) => store.forget(photoId),
   * });
   */
  serve<C extends AnyContract>(contract: C, handlers: Handlers<C>, options?: ServeOptions<C>): Promise<Served>;

  /**
   * Runs `inside` and adds `baggage` to every message that is sent in it, and to the messages that these cause. With
   * `traceparent`, the messages also belong to this W3C trace.
   *
   * Returns the result of `inside`. Throws Invalid for a `traceparent` that is not of version 00.
   *
   * @example
   * await bus.with({ tenant: 'acme' }, () => bus.submit(photos.resize, { photoId: 'p1' }));
   */
  with<T>(baggage: Partial<Baggage>, inside: () => T, traceparent?: string): T;
  /**
   * Returns the instances that serve the contract, as known to this instance. It sends nothing, so the list is empty
   * until the first request to that module.
   *
   * @example
   * const names = bus.instances(photos).map(({ instance }) => instance);
   */
  instances(contract: AnyContract): readonly Peer[];
  /**
   * Returns the state of this instance.
   *
   * @example
   * if (!bus.health().ready) console.error(bus.health().reasons);
   */
  health(): Health;
  /**
   * Returns what waits and runs at this instance, by queue and entry. It reads the log, for at most two seconds: a
   * queue whose log does not respond is missing. The counts of all instances add up to those of the module.
   *
   * It never rejects.
   *
   * @example
   * const { queues } = await bus.stats();
   * for (const { queue, waiting } of queues) console.log(queue, waiting);
   */
  stats(): Promise<BusStats>;
  /**
   * Calls `listener` with every notice of this instance. Returns a function that ends that. Similar state changes
   * within one second are combined into one notice. An error that `listener` throws is reported to the other watchers
   * once. The bus does not receive it.
   *
   * @example
   * const stop = bus.watch((notice) => {
   *   if (notice.type === 'parked') console.error(notice.reason);
   * });
   */
  watch(listener: (notice: Notice) => void): () => void;
  /**
   * Closes the bus.
   *
   * The bus:
   * - notifies its callers, and waits up to five seconds for slow ones. It accepts nothing new after that.
   * - waits for running handlers, for at most `drainMs`, and aborts those that still run. Broadcasts, and events of
   *   plain listeners, that have not started by then are dropped, each with a notice.
   * - refuses requests that it did not start, so that their callers send them to another instance.
   * - releases its partitions, and closes its connections.
   *
   * Resolves when all of that is done. A second call returns the same promise. If the first call rejected, the second
   * one repeats the failed steps.
   *
   * @default drainMs 10_000
   *
   * @example
   * process.once('SIGTERM', () => void bus.close());
   */
  close(): Promise<void>;
}

/** Options of a bus that are not part of its configuration. */
export interface BusOptions {
  /** Module of this process: its contract, or its name. */
  readonly module: AnyContract | string;
  /** Middleware around every handler call. The first element is the outermost. */
  readonly incoming?: readonly Middleware[];
  /** Receives notices like {@link Bus.watch}, from the start of opening on. */
  readonly onNotice?: (notice: Notice) => void;
  /**
   * Writes warnings and errors to standard error: see the options `logLevel` and `logFormat`.
   * @default true
   */
  readonly log?: boolean;
  /**
   * Answers probes and metrics over HTTP, if the option `healthPort` is set.
   * @default true
   */
  readonly health?: boolean;
  /**
   * Ends the wait for servers (`waitForServersMs`) when it aborts. `openBus` then rejects with Cancelled, and nothing
   * stays open.
   */
  readonly signal?: AbortSignal;
}
