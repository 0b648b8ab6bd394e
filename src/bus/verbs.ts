/** Methods of a bus: checks the arguments of each call, and passes it to the part that carries it out. */
import type { Clock } from '../base/clock';
import { BusError, Failure, isBusError } from '../base/errors';
import type { Notices } from '../base/notices';
import type { Broadcaster } from '../broadcast/broadcaster';
import type { EventSubscriptions } from '../broadcast/event-subscriptions';
import { CONTRACT, type AnyContract, type AnyEntry, type Event, type Request } from '../contract/types';
import { Captures, fromCaller, located } from '../delivery/call-site';
import { currentScope, type Peer, type Scope, type Scopes } from '../delivery/context';
import type { Run } from '../delivery/deliver';
import { isSystem, type SentSpan, type Tracing } from '../delivery/tracing';
import type { Topic } from '../ports/log';
import type { Instance } from '../ports/registry';
import type { Caller } from '../request/caller';
import { findAllInstances } from '../request/find-instances';
import type { AskOptions, OpenCall } from '../request/open-call';
import type { Peers } from '../request/peers';
import type { MessagePlace, Sender, Submitted } from '../work/types';
import { checkCall, fault, mustBe, mustBeContract } from './argument-checks';
import type { HealthBook } from './health';
import { PendingSends } from './pending-sends';
import type { Phase } from './phase';
import type { LooseServeOptions } from './serve';
import type { BusStats } from './stats';
import type { Bus, ListenOptions, Served, SubmitAllCall, SubmitCall } from './types';

/** Dependencies of {@link createVerbs}. */
export interface VerbsParts {
  readonly clock: Clock;
  readonly notices: Notices;
  readonly scopes: Scopes;
  /** Creates a span for each call that sends. Default: there are no spans. */
  readonly tracing?: Tracing | undefined;
  readonly self: Peer;
  readonly phase: Pick<Phase, 'mustBeOpen' | 'start'>;
  readonly health: Pick<HealthBook, 'read'>;
  readonly caller: Pick<Caller, 'ask'>;
  readonly peers: Pick<Peers<OpenCall>, 'of' | 'known'>;
  /** Returns the timeout of requests that set none, in ms. */
  readonly timeoutMs: (entry: Request) => number;
  readonly sender: Pick<Sender, 'send' | 'lastPlaces'>;
  readonly stats: () => Promise<BusStats>;
  readonly broadcaster: Broadcaster;
  readonly subscriptions: Pick<EventSubscriptions, 'listen'>;
  /** Returns the topic of an event, for plain listeners. */
  readonly topicOf: (entry: Event) => Topic;
  readonly serveContract: (contract: AnyContract, handlers: object, options?: LooseServeOptions) => Promise<Served>;
  /** Starts a named listener. */
  readonly listenAs: (entry: Event, options: ListenOptions, run: Run) => Promise<Served>;
}

/** Methods of {@link Bus} except `close`, which the shutdown of the bus adds. */
export type Verbs = Omit<Bus, 'close' | typeof Symbol.asyncDispose>;

export function createVerbs(parts: VerbsParts): Verbs {
  const { self, notices, scopes, tracing, phase, health, caller, peers, sender, broadcaster, subscriptions } = parts;

  /** Calls `send` inside the span of its messages, which belong to the trace of that span. */
  function traced<T>(
    tracing: Tracing,
    verb: SentSpan['verb'],
    entry: AnyEntry,
    send: () => Promise<T>,
    count?: number,
  ): Promise<T> {
    if (isSystem(entry.name)) return send();
    const scope = currentScope(scopes);
    const span = { verb, entry: entry.name, traceparent: scope?.traceparent, ...(count !== undefined && { count }) };
    return tracing.sent(span, (traceparent) => scopes.run(withBaggage(scope, {}, traceparent), send));
  }

  const captures = new Captures(parts.clock);
  function ask(entry: Request, input: unknown, options?: AskOptions): Promise<unknown> {
    phase.mustBeOpen();
    mustBe(entry, 'request');
    checkCall('request', entry, options);
    if (!tracing) return caller.ask(entry, input, options);
    return traced(tracing, 'request', entry, () => caller.ask(entry, input, options));
  }
  const request = located(captures, ask);
  async function askAll(entry: Request, input: unknown, options?: AskOptions) {
    phase.mustBeOpen();
    mustBe(entry, 'request');
    checkCall('requestAll', entry, options);
    const found = await findAllInstances(parts, entry, options);
    return Promise.all(
      found.instances.map(async (instance) => {
        const result = await asResult(ask(entry, input, { ...found.options, to: instance.name }));
        return { from: peerOfInstance(instance), ...result };
      }),
    );
  }
  async function requestAll(entry: Request, input: unknown, options?: AskOptions): Promise<unknown[]> {
    const place = captures.take();
    try {
      const results = await askAll(entry, input, options);
      return results.map((result) => (result.ok ? result : { ...result, error: fromCaller(result.error, place) }));
    } catch (error) {
      throw fromCaller(error, place);
    }
  }
  type Kept = 'work' | 'event';
  const verbOf = { work: 'submit', event: 'publish' } as const;
  async function sendAll(entry: AnyEntry, kind: Kept, inputs: readonly unknown[], how?: SubmitAllCall<unknown>) {
    phase.mustBeOpen();
    mustBe(entry, kind);
    checkCall(`${verbOf[kind]}All`, entry, how);
    const { id: ids, until, timeoutMs } = how ?? {};
    const send = () => sender.send(entry, inputs, 'list', { ids, until, timeoutMs });
    return tracing ? traced(tracing, verbOf[kind], entry, send, inputs.length) : send();
  }
  async function sendOne(entry: AnyEntry, kind: Kept, input: unknown, how?: SubmitCall): Promise<Submitted> {
    phase.mustBeOpen();
    mustBe(entry, kind);
    checkCall(verbOf[kind], entry, how);
    const { id, until, timeoutMs } = how ?? {};
    const ids = id === undefined ? undefined : () => id;
    const send = () => sender.send(entry, [input], 'one', { ids, until, timeoutMs });
    const [sent] = await (tracing ? traced(tracing, verbOf[kind], entry, send) : send());
    // the sender returns one result for each input
    if (!sent) throw new TypeError('the sender did not return one result for each input');
    return sent;
  }
  async function listen(entry: Event, how: ListenOptions | Run, run?: Run): Promise<Served> {
    phase.mustBeOpen();
    mustBe(entry, 'event');
    if (typeof how === 'function') return subscriptions.listen(parts.topicOf(entry), entry, how);
    if (typeof run !== 'function') throw fault(`listen(${entry.name}) has no handler`);
    return parts.listenAs(entry, how, run);
  }

  const pending = new PendingSends();
  async function flush(): Promise<readonly MessagePlace[]> {
    phase.mustBeOpen();
    await pending.ended();
    return sender.lastPlaces();
  }

  // The interface has the types of the verbs. Inside, a value is unknown until a schema has checked it.
  const verbs = {
    self,
    request,
    tryRequest: (entry: Request, input: unknown, options?: AskOptions) => asResult(request(entry, input, options)),
    requestAll,
    submit: located(
      captures,
      (entry: AnyEntry, input: unknown, how?: SubmitCall) => sendOne(entry, 'work', input, how),
      pending,
    ),
    submitAll: located(
      captures,
      (entry: AnyEntry, all: readonly unknown[], how?: SubmitAllCall<unknown>) => sendAll(entry, 'work', all, how),
      pending,
    ),
    broadcast: located(captures, async (entry: AnyEntry, input: unknown, options?: object) => {
      phase.mustBeOpen();
      mustBe(entry, 'broadcast');
      checkCall('broadcast', entry, options);
      const send = () => broadcaster.broadcast(entry, input);
      return tracing ? traced(tracing, 'broadcast', entry, send) : send();
    }),
    publish: located(
      captures,
      (entry: AnyEntry, input: unknown, how?: SubmitCall) => sendOne(entry, 'event', input, how),
      pending,
    ),
    publishAll: located(
      captures,
      (entry: AnyEntry, all: readonly unknown[], how?: SubmitAllCall<unknown>) => sendAll(entry, 'event', all, how),
      pending,
    ),
    flush: located(captures, flush),
    listen: located(captures, (entry: Event, how: ListenOptions | Run, run?: Run) =>
      phase.start(listen(entry, how, run)),
    ),
    serve: located(captures, async (contract: AnyContract, handlers: object, options?: LooseServeOptions) => {
      phase.mustBeOpen();
      mustBeContract(contract, 'bus.serve');
      return phase.start(parts.serveContract(contract, handlers, options));
    }),
    with(baggage: object, inside: () => unknown, traceparent?: string) {
      const scope = withBaggage(currentScope(scopes), baggage, traceparent);
      const run = (): unknown => scopes.run(scope, inside);
      return tracing && traceparent !== undefined ? tracing.inside(traceparent, run) : run();
    },
    instances: (contract: AnyContract) => peers.known(contract[CONTRACT]).map(peerOfInstance),
    health: () => health.read(),
    stats: () => parts.stats(),
    watch: (listener: Parameters<Bus['watch']>[0]) => notices.watch(listener),
  };
  return verbs as unknown as Verbs;
}

async function asResult(asked: Promise<unknown>): Promise<{ ok: true; value: unknown } | { ok: false; error: Error }> {
  try {
    return { ok: true, value: await asked };
  } catch (error) {
    if (error instanceof Failure || isBusError(error)) return { ok: false, error };
    throw error;
  }
}
function withBaggage(outer: Scope | undefined, more: object, trace?: string): Scope {
  const { id, deadline = Infinity, baggage } = outer ?? {};
  if (trace !== undefined && !traceparentPattern.test(trace)) throw badTrace(trace);
  const traceparent = trace ?? outer?.traceparent;
  return {
    id,
    deadline,
    traceparent,
    baggage: { ...baggage, ...more },
    ids: outer?.ids,
    // Closed together with the surrounding delivery. Otherwise a poller started inside would keep an expired deadline.
    get open() {
      return outer ? outer.open : true;
    },
  };
}
/** Format of a traceparent, version 00: https://www.w3.org/TR/trace-context/#traceparent-header */
const traceparentPattern = /^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/;
function badTrace(trace: string): BusError<'Invalid'> {
  const message = `traceparent '${trace.slice(0, 80)}' does not match ${traceparentPattern.source}`;
  return new BusError('Invalid', message, { side: 'input', issues: [{ message }] });
}
function peerOfInstance({ module, name }: Instance): Peer {
  return { module, instance: name };
}
