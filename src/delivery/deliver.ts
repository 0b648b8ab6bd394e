/** Calls one handler once: checks the body, runs the middleware, sets the scope, and reports how the call ended. */
import { tookMs, type Clock } from '../base/clock';
import { BusError, Failure, readable, errorMessage } from '../base/errors';
import { NotStarted } from '../base/lifecycle';
import type { Notices } from '../base/notices';
import { check } from '../contract/check';
import type { AnyEntry } from '../contract/types';
import { ParkSignal, type DeliveryContext, type Facts, type Scope, type Scopes } from './context';
import type { Counters, Ending, EntryCounters } from './counters';
import { DerivedIds } from './derived-ids';
import type { RecentlyEnded } from './recently-ended';
import type { Middleware, Settlement } from './middleware';
import { isSystem, type HandlerSpan, type Tracing } from './tracing';

export interface DeliverParts {
  readonly clock: Clock;
  readonly notices: Notices;
  readonly scopes: Scopes;
  readonly middleware: readonly Middleware[];
  /** Handler calls that have not ended yet. Tests wait for them. */
  readonly calls?: Set<Pick<Facts, 'entry' | 'id'>> | undefined;
  /** Remembers the messages that ended in this instance. */
  readonly ended?: RecentlyEnded | undefined;
  /** Maximum nesting depth of a body. Default: limits.bodyDepthMax. */
  readonly bodyDepthMax?: number | undefined;
  /** Counts handler calls by entry. Default: they are not counted. */
  readonly counters?: Counters | undefined;
  /** Creates a span for each call. Default: there are no spans. */
  readonly tracing?: Tracing | undefined;
}
/** A handler as the bus stores it. It gets the body and the context, and returns the reply or nothing. */
export type Run = (body: unknown, context: DeliveryContext) => unknown;

export type Outcome =
  | { readonly ok: true; readonly value: unknown }
  /** Error of the body check (`check`), or of the handler or a middleware (`handler`). See `readable`. */
  | { readonly ok: false; readonly error: unknown; readonly by: 'check' | 'handler' };

/**
 * Runs the handler with a body that is decoded but not yet checked. Never throws or rejects. Returns a promise only
 * when the schema, a middleware or the handler returns one, since a promise costs as much as everything else here. The
 * context's signal and scope end with the call. The caller keeps the context to abort it or to read its progress.
 *
 * A call that is aborted while its body is being checked, or before a middleware continues, does not start the handler.
 * Its outcome is the reason of the abort.
 */
export function deliver(
  parts: DeliverParts,
  entry: AnyEntry,
  facts: Facts,
  raw: unknown,
  run: Run,
  context: DeliveryContext,
): Outcome | Promise<Outcome> {
  return new Call(parts, entry, facts, run, context).start(raw);
}

/**
 * One call of a handler, and the scope of the calls made inside it. Both are one object, since each message needs one.
 */
class Call implements Scope {
  open = true;
  /** Start of the call by the monotonic clock. */
  readonly #startedMs: number;
  readonly #counters: EntryCounters | undefined;
  #by: 'check' | 'handler' = 'check';
  #ids: DerivedIds | undefined;
  readonly #span: HandlerSpan | undefined;

  constructor(
    private readonly parts: DeliverParts,
    private readonly entry: AnyEntry,
    private readonly facts: Facts,
    private readonly run: Run,
    private readonly context: DeliveryContext,
  ) {
    this.#startedMs = parts.clock.mono();
    this.#counters = parts.counters?.of(entry.name);
    if (parts.tracing) this.#span = this.#startSpan(parts.tracing);
  }

  get id(): string {
    return this.facts.id;
  }
  get deadline(): number {
    return this.facts.deadline;
  }
  get baggage(): Readonly<Record<string, unknown>> {
    return this.facts.baggage;
  }
  get traceparent(): string | undefined {
    return this.context.traceparent;
  }
  get ids(): DerivedIds | undefined {
    if (this.facts.source !== undefined) this.#ids ??= new DerivedIds(this.facts);
    return this.#ids;
  }

  /** Returns undefined for the requests of operators, which every instance serves. */
  #startSpan(tracing: Tracing): HandlerSpan | undefined {
    const { entry, context } = this;
    if (isSystem(entry.name)) return undefined;
    const { id, attempt, traceparent, place, durable, source } = this.facts;
    const from = durable ? { group: source, partition: place?.partition } : {};
    const span = tracing.handled({ entry: entry.name, kind: entry.kind, id, attempt, traceparent, ...from });
    context.span = span;
    return span;
  }

  start(raw: unknown): Outcome | Promise<Outcome> {
    const { parts, entry, facts } = this;
    const { attempt, acceptedMs } = facts;
    if (attempt === 1 && acceptedMs !== undefined) this.#counters?.started(parts.clock.now(), acceptedMs);
    try {
      const body = check(entry.schemas.input, raw, 'input', entry.name);
      const value =
        body instanceof Promise
          ? body.then(ifInTime(parts.clock, facts, (checked) => this.#handleLate(checked)))
          : this.#handle(body);
      if (!isThenable(value)) return this.#end({ ok: true, value });
      parts.calls?.add(facts);
      return Promise.resolve(value).then(
        (late) => this.#end({ ok: true, value: late }),
        (error: unknown) => this.#failed(error),
      );
    } catch (error) {
      return this.#failed(error);
    }
  }

  #handleLate(body: unknown): unknown {
    this.context.throwIfAborted(); // by 'check', since no middleware has started
    return this.#handle(body);
  }
  #handle(body: unknown): unknown {
    this.#by = 'handler';
    return this.#span ? this.#span.within(() => this.#run(body)) : this.#run(body);
  }
  #run(body: unknown): unknown {
    return this.parts.scopes.run(this, through, this.parts.middleware, this.entry, body, this.run, this.context);
  }

  #failed(error: unknown): Outcome {
    return this.#end({ ok: false, error: readable(error), by: this.#by });
  }
  #end(outcome: Outcome): Outcome {
    this.open = false;
    this.context.end();
    const { parts, entry, facts, context } = this;
    parts.calls?.delete(facts);
    this.#span?.end(outcome.ok ? undefined : { thrown: outcome.error });
    const isStarted = outcome.ok || !(outcome.error instanceof NotStarted);
    if (isStarted) this.#counters?.ended(parts.clock.now(), parts.clock.mono() - this.#startedMs, endingOf(outcome));
    // A failed call is reported to watchers of failures too.
    if (isStarted && (!outcome.ok || parts.notices.watched))
      report(parts, entry, facts, context, this.#startedMs, outcome);
    return outcome;
  }
}

/**
 * Returns a function that throws Timeout after the deadline, by the wall clock or the monotonic clock. A slow
 * asynchronous check then cannot start a handler for a caller that no longer waits.
 */
function ifInTime(clock: Clock, { entry, deadline }: Facts, call: (body: unknown) => unknown): typeof call {
  const timeoutMs = deadline - clock.now();
  const untilMs = clock.mono() + timeoutMs;
  return (body) => {
    if (clock.now() < deadline && clock.mono() < untilMs) return call(body);
    const message = `${entry}: its deadline passed while its input was checked`;
    throw new BusError('Timeout', message, { reached: 'waiting', timeoutMs });
  };
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function';
}

function through(
  middleware: readonly Middleware[],
  entry: AnyEntry,
  body: unknown,
  run: Run,
  context: DeliveryContext,
): unknown {
  if (middleware.length === 0) return run(body, context);
  return aroundAll(middleware, entry, body, run, context);
}

async function aroundAll(
  middleware: readonly Middleware[],
  entry: AnyEntry,
  body: unknown,
  run: Run,
  context: DeliveryContext,
): Promise<unknown> {
  let value: unknown;
  // The marker exists for the compiler only: a middleware that forgets `return next()` does not compile.
  const settled = {} as Settlement;
  const step = async (index: number): Promise<Settlement> => {
    const around = middleware[index];
    if (around) return around({ entry, body, context }, () => step(index + 1));
    context.throwIfAborted();
    value = await run(body, context);
    return settled;
  };
  await step(0);
  return value;
}

function report(
  parts: DeliverParts,
  entry: AnyEntry,
  facts: Facts,
  context: DeliveryContext,
  startedMs: number,
  outcome: Outcome,
): void {
  const took = tookMs(parts.clock, startedMs);
  const { acceptedMs = Infinity } = facts;
  const waitedMs = context.attempt === 1 ? parts.clock.now() - took - acceptedMs : -Infinity;
  parts.notices.emit({
    type: 'handled',
    kind: entry.kind,
    entry: entry.name,
    id: facts.id,
    attempt: context.attempt,
    tookMs: took,
    ...(waitedMs > -Infinity && { waitedMs: Math.max(0, waitedMs) }),
    outcome: endingOf(outcome),
    ...(facts.durable && { durable: true }),
    ...(!outcome.ok && { error: errorMessage(outcome.error), thrown: outcome.error }),
  });
}

function endingOf(outcome: Outcome): Ending {
  return outcome.ok ? 'done' : howItFailed(outcome.error);
}

/**
 * Returns the outcome for notices and counters. Declared failures and parking are intended by the handler, so they do
 * not count as failed.
 */
function howItFailed(error: unknown): 'failure' | 'parked' | 'failed' {
  if (error instanceof Failure) return 'failure';
  return error instanceof ParkSignal ? 'parked' : 'failed';
}
