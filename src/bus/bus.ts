/** Builds the bus: connects its parts to the verbs, and closes them in order. */
import { callSite, fromCaller, located } from '../delivery/call-site';
import { sleep, within } from '../base/clock';
import { BusError, Failure, isBusError, errorMessage } from '../base/errors';
import { closable, teardown } from '../base/lifecycle';
import type { StatePart } from '../base/parts';
import { createBroadcastReceiver } from '../broadcast/receiver';
import { openEventSubscriptions } from '../broadcast/event-subscriptions';
import { createBroadcaster } from '../broadcast/broadcaster';
import { CONTRACT, type AnyContract, type AnyEntry, type Event, type Request } from '../contract/types';
import { currentScope, openScopes, type Peer, type Scope } from '../delivery/context';
import type { DeliverParts, Run } from '../delivery/deliver';
import { incarnation as drawIncarnation, idMaker } from '../format/id';
import { parseGroup, queueOf } from '../format/names';
import type { Instance } from '../ports/registry';
import { findAllInstances } from '../request/find-instances';
import { createAnswerer } from '../request/answerer';
import { createCaller } from '../request/caller';
import { createLeaver } from '../request/goodbye';
import type { AskOptions, OpenCall } from '../request/open-call';
import { openPeers } from '../request/peers';
import { RetentionWatch } from '../work/retention';
import { RetainedPartitions } from '../work/progress/retained';
import { openBuffered } from '../work/queue/read-ahead';
import { openSender } from '../work/submit';
import { eventTopic } from '../work/topics';
import type { QueueConsumer } from '../work/types';
import { checkCall, fault, mustBe, mustBeContract } from './argument-checks';
import { openHealth } from './health';
import { timeoutNow } from './live';
import type { BusParts } from './parts';
import { receiveAll } from './receive';
import { selfContract, selfHandlers } from './self-contract';
import { listenAs, serveContract, type LooseServeOptions, type ServeParts } from './serve';
import type { Bus, ListenOptions, Served, SubmitCall } from './types';

/**
 * Time for which closing waits for other instances and for a queue's last commit, in ms. Live ones respond much
 * earlier.
 */
const goodbyeMs = 500;
/**
 * Time for which closing waits for callers, in ms. A caller can be slow, and requests that it sends before it is
 * notified would be lost.
 */
const callersMs = 5_000;

/**
 * Builds a bus on open ports. It can send immediately. Other instances can reach it when `opened` resolves. The caller
 * must close the bus if `opened` rejects.
 */
export function buildBus(parts: BusParts): BuiltBus {
  const { clock, random, notices, messenger, log, registry, self, timings, live } = parts;
  const incarnation = drawIncarnation(random);
  const makeId = idMaker(clock, random);
  const scopes = openScopes();
  const sinceMs = clock.now();
  let position = 0;
  const nextPosition = (): number => ++position;
  const health = openHealth(clock, notices, live, () => queueStats());

  const { messageBytesMax, bodyDepthMax } = timings;
  const { middleware, calls } = parts;
  const deliverParts: DeliverParts = { clock, notices, scopes, middleware, calls, bodyDepthMax };
  const peers = openPeers<OpenCall>(registry, clock, notices);
  const outgoing = {
    clock,
    random,
    notices,
    scopes,
    messenger: messenger,
    self: self.instance,
    incarnation,
    nextPosition,
    makeId,
    messageBytesMax,
    bodyDepthMax,
  };
  const timeoutMs = ({ name, options }: Request): number => timeoutNow(live, name, options);
  const caller = createCaller({ ...outgoing, peers, timeoutMs });
  const answerer = createAnswerer({ ...deliverParts, messenger, self: self.instance, messageBytesMax });
  const receiver = createBroadcastReceiver(deliverParts);
  const broadcaster = createBroadcaster(outgoing);
  const leaver = createLeaver({ clock, notices, messenger, caller, self: self.instance });
  const retention = new RetentionWatch({ clock, random, log, notices, keepMs: timings.keepMs });
  const sender = openSender({
    messageBytesMax,
    bodyDepthMax,
    keepMs: timings.keepMs,
    publishes: (topic) => retention.publishes(topic),
    clock,
    random,
    notices,
    scopes,
    log,
    self,
    ns: parts.ns,
    incarnation,
    reached: parts.reached,
  });
  receiveAll(messenger, { answerer, caller, receiver, leaver }, notices);

  const serves: Record<string, string> = {};
  async function announce(leaving = false): Promise<void> {
    const { host, pid, version } = parts;
    const { module, instance: name } = self;
    const { address } = messenger;
    const instance = {
      name,
      module,
      address,
      incarnation,
      host,
      pid,
      sinceMs,
      version,
      serves: { ...serves },
      leaving,
    };
    try {
      await registry.announce(instance);
    } catch (error) {
      throw isBusError(error) ? error : notAnnounced(name, error);
    }
  }
  const serving: ServeParts = {
    bus: parts,
    take: {
      ...deliverParts,
      log,
      random,
      self,
      version: parts.version,
      commitMs: timings.commitMs,
      ...(parts.makeFilter && { makeFilter: parts.makeFilter }),
      ...(parts.makeWatermark && { makeWatermark: parts.makeWatermark }),
      retained: new RetainedPartitions(parts.makeRetained),
      buffered: openBuffered(),
      ...(parts.makeUnkept && { makeUnkept: parts.makeUnkept }),
    },
    answerer,
    receiver,
    listens: (topic, group) => retention.listens(topic, group),
    async announce(contract, print) {
      if (print === undefined) delete serves[contract];
      else serves[contract] = print;
      if (phase !== 'closed') await announce(phase === 'leaving');
    },
    queues: new Set(),
    listening: new Set(),
    entries: new Map(),
  };
  const queueStats = () => [...serving.queues].map((queue) => ({ queue: queue.name, ...queue.stats() }));
  const subscriptions = openEventSubscriptions({ ...deliverParts, log, drainMs: timings.drainMs });
  let phase: 'open' | 'leaving' | 'closed' = 'open';
  let phaseMs = sinceMs;

  /** Throws Closed after `close` was called. Handlers that still run can send while the bus is leaving. */
  function mustBeOpen(): void {
    if (phase === 'open' || (phase === 'leaving' && currentScope(scopes)?.id !== undefined)) return;
    throw new BusError('Closed', `the bus of ${self.instance} was closed`, {
      outcome: 'not-sent',
      sinceMs: clock.now() - phaseMs,
    });
  }
  /** Is not `async`: a second promise for each request would cost more than the checks here. */
  function ask(entry: Request, input: unknown, options?: AskOptions, site = callSite(ask)): Promise<unknown> {
    try {
      mustBeOpen();
      mustBe(entry, 'request');
      checkCall('request', entry, options);
    } catch (error) {
      return Promise.reject(fromCaller(error, site) as BusError); // the checks throw nothing else
    }
    return caller.ask(entry, input, options, site);
  }
  async function askAll(entry: Request, input: unknown, options?: AskOptions): Promise<unknown[]> {
    const site = callSite(askAll);
    mustBeOpen();
    mustBe(entry, 'request');
    checkCall('requestAll', entry, options);
    const everybody = await findAllInstances({ clock, scopes, peers, timeoutMs }, entry, options);
    return Promise.all(
      everybody.instances.map(async (instance) => {
        const result = await asResult(ask(entry, input, { ...everybody.options, to: instance.name }, site));
        return { from: peerOfInstance(instance), ...result };
      }),
    );
  }
  type Kept = 'work' | 'event';
  async function send(entry: AnyEntry, kind: Kept, inputs: readonly unknown[], form: 'one' | 'list', how?: SubmitCall) {
    mustBeOpen();
    mustBe(entry, kind);
    checkCall(kind === 'work' ? 'submit' : 'publish', entry, how);
    return sender.send(entry, inputs, form);
  }
  async function sendOne(entry: AnyEntry, kind: Kept, input: unknown, how?: SubmitCall): Promise<Sent> {
    const [sent] = await send(entry, kind, [input], 'one', how);
    // the sender returns one result for each input
    if (!sent) throw new TypeError('the sender did not return one result for each input');
    return sent;
  }
  async function listen(entry: Event, how: ListenOptions | Run, run?: Run): Promise<Served> {
    mustBeOpen();
    mustBe(entry, 'event');
    if (typeof how === 'function') return subscriptions.listen(eventTopic(parts.ns, entry, timings.keepMs), entry, how);
    if (typeof run !== 'function') throw fault(`listen(${entry.name}) has no handler`);
    return listenAs(serving, entry, how, run);
  }
  /**
   * Steps of opening that are in progress. Closing waits for them, so that nothing is opened after the bus was closed.
   */
  const starting = new Set<Promise<unknown>>();
  function start<T>(step: Promise<T>): Promise<T> {
    const ended = (): void => void starting.delete(step);
    starting.add(step);
    step.then(ended, ended);
    return step;
  }
  /** Waits for a step of closing, and reports its error as a notice, so that closing continues. */
  async function orTell(part: StatePart, step: Promise<unknown>): Promise<void> {
    try {
      await step;
    } catch (error) {
      notices.emit({ type: 'state', part, ok: false, reason: `closing: ${errorMessage(error)}` });
    }
  }

  async function leaveQueue(queue: QueueConsumer & { readonly name: string }): Promise<void> {
    const closed = orTell(`queue ${queue.name}`, queue.close());
    await within(clock, timings.drainMs, closed);
    queue.abortRunning();
    await within(clock, goodbyeMs, closed); // its last commit; closing the log waits for the rest
  }
  async function leave(): Promise<void> {
    [phase, phaseMs] = ['leaving', clock.now()];
    health.leave();
    await orTell('registry', announce(true)); // other instances count one that vanishes unannounced as crashed
    const lingered = sleep(clock, timings.lingerMs);
    await leaver.goodbye(callersMs, goodbyeMs);
    if (starting.size > 0) await within(clock, timings.drainMs, Promise.allSettled(starting));
    await Promise.all([
      ...[...serving.queues].map(leaveQueue),
      orTell('events', subscriptions.close()),
      answerer.drain(timings.drainMs),
      receiver.drain(timings.drainMs),
    ]);
    await lingered;
    caller.close();
    await orTell('sender', sender.close());
    retention.close();
    [phase, phaseMs] = ['closed', clock.now()];
    await orTell('registry', peers.close());
    health.close();
  }

  const status = () => ({
    instance: self.instance,
    version: parts.version,
    sinceMs,
    health: health.read(),
    rssBytes: parts.rssBytes(),
    queues: queueStats(),
  });
  const handlers = selfHandlers({
    status,
    answerer,
    caller,
    entries: serving.entries,
    now: () => clock.now(),
  });
  const following = start(parts.settings.watch((all) => live.take(all)));
  const opened = start(serveContract(serving, selfContract, handlers));

  // The interface has the types of the verbs. Inside, a value is unknown until a schema has checked it.
  const verbs = {
    self,
    request: (entry: Request, input: unknown, options?: AskOptions) => ask(entry, input, options),
    tryRequest: (entry: Request, input: unknown, options?: AskOptions) => asResult(ask(entry, input, options)),
    requestAll: located(askAll),
    submit: located((entry: AnyEntry, input: unknown, how?: SubmitCall) => sendOne(entry, 'work', input, how)),
    submitAll: located((entry: AnyEntry, all: readonly unknown[], how?: SubmitCall) =>
      send(entry, 'work', all, 'list', how),
    ),
    broadcast: located(async (entry: AnyEntry, input: unknown, options?: object) => {
      mustBeOpen();
      mustBe(entry, 'broadcast');
      checkCall('broadcast', entry, options);
      return broadcaster.broadcast(entry, input);
    }),
    publish: located((entry: AnyEntry, input: unknown, how?: SubmitCall) => sendOne(entry, 'event', input, how)),
    publishAll: located((entry: AnyEntry, all: readonly unknown[], how?: SubmitCall) =>
      send(entry, 'event', all, 'list', how),
    ),
    listen: located((entry: Event, how: ListenOptions | Run, run?: Run) => start(listen(entry, how, run))),
    serve: located(async (contract: AnyContract, given: object, options?: LooseServeOptions) => {
      mustBeOpen();
      mustBeContract(contract, 'bus.serve');
      return start(serveContract(serving, contract, given, options));
    }),
    with: (baggage: object, inside: () => unknown, traceparent?: string) =>
      scopes.run(withBaggage(currentScope(scopes), baggage, traceparent), inside),
    instances: (contract: AnyContract) => peers.known(contract[CONTRACT]).map(peerOfInstance),
    health: () => health.read(),
    watch: (listener: Parameters<Bus['watch']>[0]) => notices.watch(listener),
    ...closable(
      teardown(`the bus of ${self.instance}`, [
        ['leaving', leave],
        ['ports', () => parts.closePorts()],
        ['notices', () => notices.flush()],
      ]),
    ),
  };
  return {
    bus: verbs as unknown as Bus,
    opened: Promise.all([following, opened]).then(() => undefined),
    busy: () =>
      receiver.waiting > 0 ||
      answerer.busy ||
      [...serving.queues].some((queue) => queue.busy) ||
      subscriptions.waiting > 0,
    entries: serving.entries,
    listeners: () => [...serving.listening].flatMap((group) => listenerOf(group) ?? []),
  };
}
/** Returns the name `module.as` of a named listener from its group. */
function listenerOf(group: string): string | undefined {
  const name = parseGroup(group);
  return name?.kind === 'listen' ? queueOf(name.listener, name.as) : undefined;
}
/** A bus, and the state that its creator needs. */
export interface BuiltBus {
  readonly bus: Bus;
  readonly opened: Promise<void>;
  /**
   * Returns whether a handler is running or about to start. Messages that wait for a time or a setting do not count.
   */
  busy(): boolean;
  /** Entries that this instance serves, by full name. */
  readonly entries: ReadonlyMap<string, AnyEntry>;
  /** Returns the names of its named listeners as settings use them, such as `search.index`. */
  listeners(): readonly string[];
}
function notAnnounced(instance: string, error: unknown): BusError<'Unreachable'> {
  const cause = errorMessage(error);
  const message = `${instance} could not be announced, so other instances do not see what it serves now: ${cause}`;
  const remedy = 'Repair what the cause names, then make the same call again.';
  return new BusError('Unreachable', message, { outcome: 'not-sent', waitedMs: 0, cause }, error, remedy);
}
type Sent = Awaited<ReturnType<ReturnType<typeof openSender>['send']>>[number];

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
