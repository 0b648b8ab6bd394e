/** Builds the bus: connects its parts to each other, to the verbs, and to the shutdown. */
import { openEventSubscriptions } from '../broadcast/event-subscriptions';
import { createBroadcaster } from '../broadcast/broadcaster';
import { createBroadcastReceiver } from '../broadcast/receiver';
import type { AnyEntry, Request } from '../contract/types';
import { openScopes } from '../delivery/context';
import { openCounters } from '../delivery/counters';
import { RecentlyEnded } from '../delivery/recently-ended';
import type { DeliverParts } from '../delivery/deliver';
import { openOutgoing } from '../delivery/outgoing';
import { incarnation as drawIncarnation, idMaker } from '../format/id';
import { parseGroup, queueOf } from '../format/names';
import { createAnswerer } from '../request/answerer';
import { createCaller } from '../request/caller';
import { createLeaver } from '../request/goodbye';
import type { OpenCall } from '../request/open-call';
import { openPeers } from '../request/peers';
import type { Topic } from '../ports/log';
import { RetentionWatch } from '../work/retention';
import { RetainedPartitions } from '../work/progress/retained';
import { openBuffered } from '../work/queue/read-ahead';
import { openSender } from '../work/submit';
import { eventTopic } from '../work/topics';
import { createAnnouncer } from './announcer';
import { openHealth } from './health';
import { timeoutNow } from './live';
import type { BusParts } from './parts';
import { openPhase } from './phase';
import { receiveAll } from './receive';
import { selfContract, selfHandlers } from './self-contract';
import { listenAs, serveContract, type ServeParts } from './serve';
import { shutdownOf } from './shutdown';
import { openStats } from './stats';
import type { Bus } from './types';
import { createVerbs } from './verbs';

/**
 * Builds a bus on open ports. It can send immediately. Other instances can reach it when `opened` resolves. The caller
 * must close the bus if `opened` rejects.
 */
export function buildBus(parts: BusParts): BuiltBus {
  const { clock, random, notices, messenger, log, registry, self, timings, live, ns, version } = parts;
  const { middleware, calls, tracing } = parts;
  const { messageBytesMax, bodyDepthMax, keepMs, drainMs } = timings;
  const incarnation = drawIncarnation(random);
  const makeId = idMaker(clock, random);
  const scopes = openScopes();
  const sinceMs = clock.now();
  const phase = openPhase({ clock, scopes, instance: self.instance });
  let position = 0;
  const nextPosition = (): number => ++position;

  const queues: ServeParts['queues'] = new Set();
  const queueStats = () => [...queues].map((queue) => ({ queue: queue.name, ...queue.stats() }));
  const health = openHealth(clock, notices, live, queueStats);

  const [counters, outgoing, ended] = [openCounters(clock), openOutgoing(clock), new RecentlyEnded()];
  const own = { counters, tracing, ended };
  const deliverParts: DeliverParts = { clock, notices, scopes, middleware, calls, bodyDepthMax, ...own };
  const answerer = createAnswerer({ ...deliverParts, messenger, self: self.instance, messageBytesMax });
  const receiver = createBroadcastReceiver(deliverParts);
  const subscriptions = openEventSubscriptions({ ...deliverParts, log, drainMs });

  const peers = openPeers<OpenCall>(registry, clock, notices);
  const sendParts = { clock, random, notices, scopes, messageBytesMax, bodyDepthMax, incarnation, outgoing };
  const packetParts = { ...sendParts, ended, messenger, self: self.instance, nextPosition, makeId };
  const timeoutMs = ({ name, options }: Request): number => timeoutNow(live, name, options);
  const caller = createCaller({ ...packetParts, peers, timeoutMs });
  const broadcaster = createBroadcaster(packetParts);
  const retention = new RetentionWatch({ clock, random, log, notices });
  const publishes = (topic: Topic): void => retention.publishes(topic);
  const { reached, spool } = parts;
  const sender = openSender({ ...sendParts, log, self, ns, keepMs, publishes, reached, spool });

  const leaver = createLeaver({ clock, notices, messenger, caller, self: self.instance });
  receiveAll(messenger, { answerer, caller, receiver, leaver }, notices);

  const { host, pid } = parts;
  const { module, instance: name } = self;
  const instance = { name, module, incarnation, host, pid, sinceMs, version };
  const announcer = createAnnouncer({ registry, phase, messenger, instance });
  const serving: ServeParts = {
    bus: parts,
    take: {
      ...deliverParts,
      log,
      random,
      self,
      version,
      commitMs: timings.commitMs,
      ...(parts.makeFilter && { makeFilter: parts.makeFilter }),
      ...(parts.makeIdWindow && { makeIdWindow: parts.makeIdWindow }),
      ...(parts.makeWatermark && { makeWatermark: parts.makeWatermark }),
      retained: new RetainedPartitions(parts.makeRetained),
      buffered: openBuffered(),
      ...(parts.makeUnkept && { makeUnkept: parts.makeUnkept }),
    },
    answerer,
    receiver,
    listens: (topic, group) => retention.listens(topic, group),
    announce: announcer.announce,
    queues,
    listening: new Set(),
    entries: new Map(),
  };

  const status = () => ({
    instance: self.instance,
    version,
    sinceMs,
    health: health.read(),
    rssBytes: parts.rssBytes(),
    queues: queueStats(),
  });
  const { entries } = serving;
  const handlers = selfHandlers({
    status,
    answerer,
    caller,
    entries,
    counters,
    outgoing,
    ended,
    consumers: () => queues,
    now: () => clock.now(),
    mono: () => clock.mono(),
  });
  const following = phase.start(parts.settings.watch((all) => live.take(all)));
  const opened = phase.start(serveContract(serving, selfContract, handlers));

  const verbs = createVerbs({
    clock,
    notices,
    scopes,
    tracing,
    self,
    phase,
    health,
    caller,
    peers,
    timeoutMs,
    sender,
    stats: openStats({ clock, ns, log, queues, answerer, caller, spool }),
    broadcaster,
    subscriptions,
    topicOf: (entry) => eventTopic(ns, entry, keepMs),
    serveContract: (contract, given, options) => serveContract(serving, contract, given, options),
    listenAs: (entry, options, run) => listenAs(serving, entry, options, run),
  });
  const shutdown = shutdownOf({
    clock,
    notices,
    instance: self.instance,
    timings,
    phase,
    health,
    announcer,
    leaver,
    queues,
    subscriptions,
    answerer,
    receiver,
    caller,
    sender,
    retention,
    peers,
    closePorts: () => parts.closePorts(),
  });
  return {
    bus: { ...verbs, ...shutdown },
    opened: Promise.all([following, opened]).then(() => undefined),
    busy: () =>
      receiver.waiting > 0 || answerer.busy || [...queues].some((queue) => queue.busy) || subscriptions.waiting > 0,
    entries,
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
