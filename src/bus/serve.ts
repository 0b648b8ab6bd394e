/** Serves a contract: registers each entry with the part that handles its kind, and announces the contract. */
import { within } from '../base/clock';
import { BusError, didYouMean, nearest } from '../base/errors';
import { allEnded, closable, teardown, type Closable } from '../base/lifecycle';
import type { BroadcastReceiver } from '../broadcast/receiver';
import { entriesOf } from '../contract/contract';
import { fingerprint } from '../contract/fingerprint';
import { faultOf, faultsOf } from '../contract/options';
import { CONTRACT, type AnyContract, type AnyEntry, type Event } from '../contract/types';
import type { Run } from '../delivery/deliver';
import { createLimiter } from '../delivery/limiter';
import { namesIn, queueOf } from '../format/names';
import type { Topic } from '../ports/log';
import type { Answerer } from '../request/answerer';
import { consumeQueue } from '../work/queue/consumer';
import { eventTopic, parkedTopic, queueKeepMs, workTopic } from '../work/topics';
import type { EntryLimits, Handling, Queue, QueueConsumer, ConsumerParts } from '../work/types';
import { fault, unknownNameMessage } from './argument-checks';
import { follow, limitsNow, retryNow } from './live';
import type { BusParts } from './parts';
import type { ListenOptions, Served } from './types';

/** Dependencies of {@link serveContract} and {@link listenAs}. */
export interface ServeParts {
  readonly bus: BusParts;
  readonly take: ConsumerParts;
  readonly answerer: Answerer;
  readonly receiver: BroadcastReceiver;
  /** Records that this instance is a named listener of the topic, in this group. The returned function ends this. */
  listens(topic: Topic, group: string): () => void;
  /**
   * Announces a contract, or withdraws it if `fingerprint` is undefined. Resolves when other instances can see that.
   */
  announce(contract: string, fingerprint: string | undefined): Promise<void>;
  readonly queues: Set<QueueConsumer & { readonly name: string }>;
  /** Groups of the named listeners of this instance. */
  readonly listening: Set<string>;
  readonly entries: Map<string, AnyEntry>;
}
/** Options of `serve` without their types, which only the public verb needs. */
export interface LooseServeOptions {
  readonly concurrency?: number | { readonly [entry: string]: number | undefined };
  readonly perSecond?: { readonly [entry: string]: number | undefined };
}

const serveRemedy =
  'Pass bus.serve one handler for each request, work and broadcast of the contract, and limits only for these.';
const listenRemedy = 'Correct the options of bus.listen that the message names.';

/** Serves the entries of a contract; see {@link Bus.serve}. */
export async function serveContract(
  parts: ServeParts,
  contract: AnyContract,
  handlers: object,
  options: LooseServeOptions = {},
): Promise<Served> {
  const module = contract[CONTRACT];
  const runs = bind(parts, contract, handlers, options);
  const { live, clock } = parts.bus;
  const given = (name: string) => entryLimits(options, name.slice(module.length + 1));
  const taken: Closable[] = [];
  const stops: (() => void)[] = [];
  for (const { entry, run } of runs.values()) {
    parts.entries.set(entry.name, entry);
    if (entry.kind === 'broadcast') parts.receiver.add(entry, run);
    if (entry.kind !== 'request') continue;
    const now = () =>
      limitsNow(live, entry.name, { ...given(entry.name), nowMs: clock.now() }, live.bus.requestConcurrency);
    parts.answerer.add({ entry, run, limiter: createLimiter(now()) });
    stops.push(follow(live, clock, [entry.name], () => parts.answerer.setLimits(entry.name, now())));
  }
  const events = [...entriesOf(contract).values()].filter(({ kind }) => kind === 'event');
  // this instance has no handler for them, but `check` knows them
  for (const entry of events) parts.entries.set(entry.name, entry);
  const names = [...runs.values()].map(({ entry }) => entry.name);
  const { drainMs } = parts.bus.timings;
  /**
   * Closes in this order: callers stop choosing this instance, running handlers end, and waiting messages are not
   * started.
   */
  const letGo = teardown(`the entries of ${module}`, [
    ['announcement', () => parts.announce(module, undefined)],
    [
      'handlers',
      () =>
        allEnded(module, [
          parts.answerer.close(names, drainMs),
          parts.receiver.close(names, drainMs),
          ...taken.map((one) => one.close()),
        ]),
    ],
    ['settings', () => stops.forEach((stop) => stop())],
  ]);
  /** Allows the entries to be served again. */
  const forget = (): void => {
    for (const name of [...names, ...events.map((event) => event.name)]) parts.entries.delete(name);
  };
  const hears = [...runs.values()].some(({ entry }) => entry.kind === 'broadcast');
  try {
    if (hears) taken.push(await parts.bus.messenger.join(module));
    // Announce before joining the groups: a group can wait for a crashed member to time out. Requests must not wait for
    // that.
    await parts.announce(module, fingerprint(contract));
    for (const queue of workQueues(parts.bus, module, runs, given))
      taken.push(await take(parts, queue, [...queue.entries.keys()]));
  } catch (error) {
    await letGo().catch(() => undefined); // the caller must receive the first error
    forget();
    throw error;
  }
  return closable(() => letGo().then(forget));
}

/** Starts a named listener; see {@link Bus.listen}. */
export async function listenAs(parts: ServeParts, entry: Event, options: ListenOptions, run: Run): Promise<Served> {
  const { bus } = parts;
  const { module } = bus.self;
  const faults = faultsOf(`listen(${entry.name})`, 'listener', { ...options, as: options.as ?? null });
  if (faults.length > 0) throw new BusError('Config', faults.join('; '), { faults }, undefined, listenRemedy);
  const name = queueOf(module, options.as);
  const { from = 'end' } = options;
  const queue: Queue = {
    name,
    topic: eventTopic(bus.ns, entry, bus.timings.keepMs),
    group: namesIn(bus.ns).listenGroup(module, options.as, entry.name),
    parkedTopic: parkedTopic(bus.ns, module),
    entries: new Map([[entry.name, { entry, run, options }]]),
    other: 'skip',
    from: from instanceof Date ? from.getTime() : from,
    limits: () => limitsNow(bus.live, name, { ...options, nowMs: bus.clock.now() }, bus.live.bus.workConcurrency),
    retry: () => retryNow(bus.live, name),
    sessionMs: bus.timings.sessionMs,
  };
  const { listening } = parts;
  const twice = `this instance already listens to ${entry.name} as '${options.as}'`;
  if (listening.has(queue.group))
    throw fault(twice, `Close the first listener before, or give this one another name in 'as'.`);
  listening.add(queue.group);
  try {
    const taken = await take(parts, queue, [name]);
    const unwatch = parts.listens(queue.topic, queue.group);
    return closable(async () => {
      await taken.close();
      unwatch();
      listening.delete(queue.group);
    });
  } catch (error) {
    listening.delete(queue.group);
    throw error;
  }
}

/** Consumes a queue. `names` are the names under which settings refer to it. */
async function take(parts: ServeParts, queue: Queue, names: readonly string[]): Promise<Closable> {
  const taken = Object.assign(await consumeQueue(parts.take, queue), { name: queue.name });
  parts.queues.add(taken);
  // `follow` applies settings immediately: they can have changed while the member joined
  const { clock, timings } = parts.bus;
  // A setting of the queue pauses all of its entries.
  const stop = follow(parts.bus.live, clock, [queue.name, ...names], () => taken.applyLimits());
  return closable(async () => {
    stop();
    const closed = taken.close();
    await within(clock, timings.drainMs, closed);
    taken.abortRunning(); // abort handlers that still run; a hung one would otherwise delay closing until handoverMs
    await closed;
    parts.queues.delete(taken);
  });
}

/**
 * Returns the handlers by entry, as methods of the given object. Throws one Config error that names every missing
 * handler, for callers without a compiler.
 */
function bind(
  parts: ServeParts,
  contract: AnyContract,
  handlers: object,
  options: LooseServeOptions,
): Map<string, Handling> {
  // Handlers are read by name from any JavaScript object; each is checked to be a function.
  const given = handlers as Record<string, unknown>;
  const faults: string[] = [];
  const runs = new Map<string, Handling>();
  const module = contract[CONTRACT];
  if (typeof handlers !== 'object' || handlers === null) throw fault(`serve(${module}) has no handlers`, serveRemedy);
  for (const [name, entry] of entriesOf(contract)) {
    if (entry.kind === 'event') continue;
    const handler = given[name];
    if (typeof handler !== 'function') faults.push(`serve(${module}) has no handler '${name}'`);
    else if (parts.entries.has(entry.name)) faults.push(`this instance already serves ${entry.name}`);
    else runs.set(entry.name, { entry, run: (body, context): unknown => handler.call(handlers, body, context) });
  }
  faults.push(...unidentified(contract, handlers), ...badLimits(contract, options));
  if (faults.length > 0) throw new BusError('Config', faults.join('; '), { faults }, undefined, serveRemedy);
  return runs;
}

/**
 * Returns the handlers that no entry calls. An instance of a class can have other methods; a plain object that was
 * written for `serve` cannot.
 */
function unidentified(contract: AnyContract, handlers: object): string[] {
  const prototype: unknown = Object.getPrototypeOf(handlers);
  if (prototype !== Object.prototype && prototype !== null) return [];
  const entries = entriesOf(contract);
  const names = [...entries].filter(([, { kind }]) => kind !== 'event').map(([name]) => name);
  const strange = Object.entries(handlers).filter(([name, one]) => typeof one === 'function' && !names.includes(name));
  return strange.map(([name]) => {
    if (entries.has(name)) return `serve(${contract[CONTRACT]}) has a handler of the event '${name}'. Use bus.listen`;
    const near = didYouMean(nearest(name, names));
    return `serve(${contract[CONTRACT]}) has a handler '${name}', which the contract does not have${near}`;
  });
}

function badLimits(contract: AnyContract, options: LooseServeOptions): string[] {
  const module = contract[CONTRACT];
  const { concurrency, perSecond, ...others } = options;
  const entries = entriesOf(contract);
  const each = (name: 'concurrency' | 'perSecond', limits: object) =>
    Object.entries(limits).flatMap(([entry, limit]) => {
      const { kind = 'event' } = entries.get(entry) ?? {};
      if (kind === 'event') return [`serve(${module}) limits '${entry}', which it does not handle`];
      return limit === undefined ? [] : faultOf(`serve(${module}), ${entry}`, name, limit);
    });
  return [
    ...Object.keys(others).map((name) => `serve(${module}): ${unknownNameMessage(name, ['concurrency', 'perSecond'])}`),
    ...(typeof concurrency === 'object'
      ? each('concurrency', concurrency)
      : concurrency === undefined
        ? []
        : faultOf(`serve(${module})`, 'concurrency', concurrency)),
    ...each('perSecond', perSecond ?? {}),
  ];
}

function entryLimits(options: LooseServeOptions, name: string): Partial<EntryLimits> {
  const { concurrency, perSecond } = options;
  const atOnce = typeof concurrency === 'object' ? concurrency[name] : concurrency;
  const rate = perSecond?.[name];
  return { ...(atOnce !== undefined && { concurrency: atOnce }), ...(rate !== undefined && { perSecond: rate }) };
}

/** Returns one queue for all work entries of the module, and one for each entry with a `queue` of its own. */
function workQueues(
  bus: BusParts,
  module: string,
  runs: ReadonlyMap<string, Handling>,
  given: (name: string) => Partial<EntryLimits>,
): Queue[] {
  const byQueue = new Map<string | undefined, Map<string, Handling>>();
  for (const handling of runs.values()) {
    if (handling.entry.kind !== 'work') continue;
    const { queue } = handling.entry.options;
    const entries = byQueue.get(queue) ?? new Map<string, Handling>();
    byQueue.set(queue, entries.set(handling.entry.name, handling));
  }
  const nowIn = (queue = 'work') => ({ queue: queueOf(module, queue), nowMs: bus.clock.now() });
  return [...byQueue].map(([queue, entries]) => ({
    name: queueOf(module, queue ?? 'work'),
    topic: workTopic(bus.ns, module, queue),
    group: namesIn(bus.ns).workGroup(module, queue),
    parkedTopic: parkedTopic(bus.ns, module),
    entries,
    other: 'hold',
    limits: (name) => limitsNow(bus.live, name, { ...given(name), ...nowIn(queue) }, bus.live.bus.workConcurrency),
    retry: (name) => retryNow(bus.live, name),
    sessionMs: bus.timings.sessionMs,
    keepMs: queueKeepMs(
      Array.from(entries.values(), ({ entry }) => entry),
      bus.timings.keepMs,
    ),
  }));
}
