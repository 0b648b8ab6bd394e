/** The bus as a module author sees it: the verbs, what they take, and what they promise. */
import type { AnyBusError, BusCode } from '../base/errors';
import type { Closable } from '../base/lifecycle';
import type { Notice } from '../base/notices';
import type {
  AnyContract,
  AnyEntry,
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

/** Input and options of a call; an entry whose input may be undefined is called without. */
export type Call<I, O> = undefined extends I ? [input?: I, options?: O] : [input: I, options?: O];

export interface RequestCall {
  /**
   * Gives up after this long, in ms. Default: the setting of the entry, else its own timeoutMs, else the bus's, 5,000;
   * never beyond what the caller's own caller waits.
   */
  readonly timeoutMs?: number;
  /** Aborting takes the request back: the handler's `signal` aborts too. */
  readonly signal?: AbortSignal;
  /** Requests with one key go to one instance as long as the same instances are up. */
  readonly key?: string;
  /** The instance to ask, `module#xxxx`. */
  readonly to?: string;
  /** Waits this long for a first instance before NoHandler, in ms; for rolling deploys. Default 0. */
  readonly absentMs?: number;
}
export interface SubmitCall {
  /** 'broker' waits until the servers have it where there are servers. Default: as soon as it is safe. */
  readonly until?: 'disk' | 'broker';
}
/** `reached`: 'disk' survives the process and the machine's restart, 'broker' the loss of this machine. */
export interface Submitted {
  readonly id: string;
  readonly reached: 'disk' | 'broker';
}
export interface Sent {
  readonly id: string;
}

/** What settings say about an entry, such as `photos.resize.concurrency`, goes over these while it is set. */
export interface ServeOptions<C extends AnyContract> {
  /**
   * How many handlers run at once in this instance: one number for each entry, or by entry. Default: 100 for requests,
   * 8 for work.
   */
  readonly concurrency?: number | { readonly [K in Handled<C> & string]?: number };
  /** How many handlers start in a second in this instance, by entry. Default: no limit. */
  readonly perSecond?: { readonly [K in Handled<C> & string]?: number };
}
/** What settings say about the listener, such as `search.index.attempts`, goes over these while it is set. */
export interface ListenOptions {
  /** Names the queue: one instance of this module handles each event, and none is missed from the first `listen` on. */
  readonly as: string;
  /** As of a work entry. @default 8 */
  readonly attempts?: number;
  readonly retry?: RetryKind;
  /** As of a work entry. @default 1_000 */
  readonly backoffMs?: number;
  readonly longestMs?: number;
  readonly concurrency?: number;
  readonly perSecond?: number;
}

export type Result<T, E> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly error: E };
/** The codes a request can end with. */
export type RequestCode = Exclude<
  BusCode,
  'DiskFull' | 'StoreBroken' | 'SpoolFull' | 'SpoolBroken' | 'Conflict' | 'Config'
>;
export type RequestFailure<M extends Request> = FailureOf<M> | AnyBusError<RequestCode>;
/** What one instance answered. */
export type Answer<M extends Request> = { readonly from: Peer } & Result<Output<M>, RequestFailure<M>>;

/**
 * What `serve` or `listen` started. Closing it tells the other instances first. Then it starts nothing more, waits for
 * what runs and lets go of its queues. After `drainMs` what still runs is aborted; of jobs and events of a named
 * listener another instance makes the next attempt. Requests that wait here are answered so that their callers ask
 * another instance; broadcasts and events of a plain listener that wait are dropped, each with a notice. Rejects with
 * Unreachable when the change could not be announced; everything else is closed all the same, and the next call tries
 * again.
 */
export interface Served extends Closable {}

export interface Health {
  /** Whether the process should go on; false asks for a restart. */
  readonly live: boolean;
  /** Whether it takes work now. */
  readonly ready: boolean;
  /** What does not work; settings refused and entries not known here, which leave it as ready as it was. */
  readonly reasons: readonly { readonly part: string; readonly reason: string; readonly sinceMs: number }[];
}

export interface Bus extends Closable {
  readonly self: Peer;

  /**
   * Asks one live instance. Resolves with its reply. Throws a {@link Failure} that the entry declares, or a BusError:
   * NoHandler in milliseconds when nobody is up, ResponderLost when the instance died (unless the entry is idempotent:
   * then another one is asked), Timeout whose `details.reached` says how far it came.
   * One instance never starts a request twice. No order between requests.
   */
  request<M extends Request>(entry: M, ...call: Call<Input<M>, RequestCall>): Promise<Output<M>>;
  /** As `request`, but failures are values: `{ ok: false, error }`, narrowing on `error.code`. */
  tryRequest<M extends Request>(
    entry: M,
    ...call: Call<Input<M>, RequestCall>
  ): Promise<Result<Output<M>, RequestFailure<M>>>;
  /** Asks every live instance: one answer or error for each; never rejects for one of them. */
  requestAll<M extends Request>(
    entry: M,
    ...call: Call<Input<M>, Pick<RequestCall, 'timeoutMs' | 'signal'>>
  ): Promise<readonly Answer<M>[]>;

  /**
   * Hands over a job. Resolves when it is safe, not when it is done; one instance handles it, again after a failure or
   * a crash, until it is done or parked. Order per sender and key. Rejects with Unreachable when the log does not
   * answer; its `details.outcome` says whether the job can have been accepted.
   */
  submit<M extends Work>(entry: M, ...call: Call<Input<M>, SubmitCall>): Promise<Submitted>;
  /**
   * As `submit` for a list of at most 100,000 and 64 MiB, in its order and much cheaper than one by one; safe as a
   * whole when it resolves. Rejects with TooLarge for a longer list. An error names the body that failed in
   * `details.index` and `details.id`.
   */
  submitAll<M extends Work>(entry: M, inputs: readonly Input<M>[], options?: SubmitCall): Promise<readonly Submitted[]>;
  /**
   * Tells every instance that is up. Resolves when it arrives at each of them although this process dies: then it is in
   * their sockets, or in the log of Kafka. A receiver that reads nothing for a second is not waited for; what does not
   * fit into the 64 MiB that are kept for it is dropped with a notice. Rejects with Overloaded when more than that was
   * broadcast without awaiting it. Order per sender and module; never twice by one instance.
   */
  broadcast<M extends Broadcast>(entry: M, ...call: Call<Input<M>, never>): Promise<Sent>;
  /**
   * Tells a fact. Resolves when it is safe; see the two forms of `listen` for who hears it. Order per sender and key.
   */
  publish<M extends Event>(entry: M, ...call: Call<Input<M>, SubmitCall>): Promise<Submitted>;
  /** As `publish` for a list, in its order. */
  publishAll<M extends Event>(
    entry: M,
    inputs: readonly Input<M>[],
    options?: SubmitCall,
  ): Promise<readonly Submitted[]>;

  /**
   * Hears events in every instance that listens, from now on, while it lives. An error of the handler is counted and
   * told, not repeated.
   */
  listen<M extends Event>(entry: M, run: (body: Body<M>, context: Context) => Awaitable<void>): Promise<Served>;
  /** Hears each event in one instance of those that listen under this name, durably, with retries as for work. */
  listen<M extends Event>(
    entry: M,
    options: ListenOptions,
    run: (body: Body<M>, context: WorkContext) => Awaitable<void>,
  ): Promise<Served>;

  /**
   * Handles the entries of a contract; resolves when others can reach it. Handlers are called as methods of `handlers`.
   */
  serve<C extends AnyContract>(contract: C, handlers: Handlers<C>, options?: ServeOptions<C>): Promise<Served>;

  /**
   * Runs `inside` with more baggage on everything that is sent in it, and, where given, as part of a W3C trace: its
   * `traceparent` goes with every message and its consequences. Throws Invalid for one that is not of version 00.
   */
  with<T>(baggage: Partial<Baggage>, inside: () => T, traceparent?: string): T;
  /** Who serves the contract, as far as this instance knows; asks nobody. Empty until the first call to that module. */
  instances(contract: AnyContract): readonly Peer[];
  health(): Health;
  /** Calls `hear` with everything that happens inside, until the function given back is called. */
  watch(hear: (notice: Notice) => void): () => void;
  /**
   * Leaves: tells its callers, waiting five seconds for those that are slow, then takes nothing new, finishes what runs
   * within `drainMs`, answers what it did not start so that callers ask elsewhere, lets go of its partitions, closes.
   * A second call returns the same promise, unless the first one failed: then it tries again.
   */
  close(): Promise<void>;
}

export interface BusOptions {
  /** The module this process is an instance of: its contract, or a name. */
  readonly module: AnyContract | string;
  /** Around every handler call, the first one outermost. */
  readonly incoming?: readonly Middleware[];
  /** As {@link Bus.watch}, but from the first moment of opening on. */
  readonly hear?: (notice: Notice) => void;
}
export type EntryKind = AnyEntry['kind'];
