/** Inspects a system from outside. It joins no group, commits no offset and creates no topic. */
import { moduleOf } from '../contract/contract';
import { parseTopic, queueOf } from '../format/names';
import {
  pendingRequests,
  runningHandlers,
  type ActivityFilter,
  type ActivityList,
  type PendingView,
  type RunningView,
} from './activity';
import { requestInstances } from './instances';
import type { DecodedMessage } from './message';
import { findQueues, modulesOf, nearNames, topicsOf, unknownQueue, type QueueName } from './names';
import { countParked, findParked, readParked } from './parked';
import { peekNewest, peekQueue } from './peek';
import { count, onlyParked, readBacklogs, viewOfQueue, type Around } from './queues';
import { countBy, type By, type CountByOptions } from './by';
import { biographyOf, type Biography } from './biography';
import { askCheck } from './check';
import { findMessages } from './show';
import { findAlarms, findSlow } from './status';
import { follow } from './tail';
import { treeOf, type TreeNode } from './tree';
import { factsOf } from './why';
import {
  UnknownName,
  type FoundView,
  type InspectorParts,
  type InstanceView,
  type MessageFilter,
  type MessageView,
  type ParkedView,
  type QueueByView,
  type QueueView,
  type SystemStatus,
  type WaitingView,
} from './types';

/** The queue that a name refers to. */
export interface NamedQueue {
  readonly queue: string;
  /** Selects the messages of one entry when the name was that of an entry; empty otherwise. */
  readonly filter: MessageFilter;
}
/** A queue with its topics, and the filter of the name that was resolved. */
export interface ResolvedQueue {
  readonly queue: QueueName;
  /** Selects the messages that the name refers to within the queue. */
  readonly filter: MessageFilter;
}
/** Options of {@link Inspector.tail}. */
export interface TailOptions extends MessageFilter {
  /** Ends the iteration when it aborts. */
  readonly signal: AbortSignal;
  /** Called with a description when messages were deleted before they could be read. */
  readonly missed?: (what: string) => void;
}

/**
 * Reads queues, messages and instances of a running system. Methods accept the names of contracts:
 * - `photos`: a module;
 * - `photos.work`, `search.index`: a queue;
 * - `photos.resize`: an entry, which selects only its messages in its queue;
 * - `photos#c41f`: an instance.
 *
 * An unknown name rejects with UnknownName, which has the nearest known names. Calls that read many records reject with
 * StoppedEarly at their limit. Every call rejects with Unreachable when the log or the registry does not respond.
 */
export interface Inspector {
  /** Returns all instances, or those of a module, each with the status that it reports. Sorted by name. */
  instances(module?: string): Promise<readonly InstanceView[]>;
  /** Returns all queues, or the named ones. The name of a module selects all of its queues. Sorted by name. */
  queues(names?: readonly string[]): Promise<readonly QueueView[]>;
  /**
   * Returns the handlers that run now, of a module, queue, entry or instance. Includes jobs, events of named listeners
   * and requests, not broadcasts.
   */
  running(name?: string, filter?: ActivityFilter): Promise<ActivityList<RunningView>>;
  /** Returns the requests without a reply that a module, instance or entry sent or received. */
  pending(name?: string, filter?: ActivityFilter): Promise<ActivityList<PendingView>>;
  /** Counts the unsettled messages of a queue by their entry, key, partition, sender or instance. */
  queueBy(queue: string, by: By, options?: CountByOptions): Promise<QueueByView>;
  /**
   * Yields the unsettled messages of a queue, in the order in which they will be handled. With `newest`, it yields the
   * last ones, newest first.
   */
  peek(queue: string, filter?: MessageFilter & { readonly newest?: boolean }): AsyncIterable<WaitingView>;
  /**
   * Yields work and events as they are sent, until `signal` aborts. `names` selects queues and modules; empty selects
   * all.
   */
  tail(names: readonly string[], options: TailOptions): AsyncIterable<MessageView>;
  /** Yields parked messages, oldest first. */
  parked(queue?: string, filter?: MessageFilter): AsyncIterable<ParkedView>;
  /**
   * Returns the queue that a name refers to, and the entry to select in it. It also finds a queue without consumers
   * while messages of it are parked.
   */
  parkedQueue(name: string): Promise<NamedQueue>;
  /**
   * Returns the biography of the message whose id begins with `idStart`: one sentence, a timeline, and all facts. Also
   * for requests, and for messages that left every log. Rejects with UnknownName if several ids begin with it.
   */
  why(idStart: string): Promise<Biography>;
  /** Returns the messages that caused a message, and those that it caused, as a tree. */
  tree(id: string): Promise<TreeNode>;
  /** Returns the queue that a name refers to with its topics, and the filter that selects the entry of the name. */
  resolve(name: string): Promise<ResolvedQueue>;
  /** Returns all records of the messages whose id begins with `idStart`, and their state in each queue. */
  show(idStart: string): Promise<readonly FoundView[]>;
  /**
   * Returns the alarms, most severe first. It reads few records of each queue, so its counts can be approximate; see
   * `exact`.
   */
  status(): Promise<SystemStatus>;
}

/** Creates an inspector on open ports. {@link inspect} opens the ports as well. */
export function openInspector(parts: InspectorParts): Inspector {
  const { log, ns, clock } = parts;

  async function resolve(name: string): Promise<ResolvedQueue> {
    const queues = await findQueues(log, ns);
    const queue = queues.get(name);
    if (queue) return { queue, filter: {} };
    const ofEntry = name.includes('.') ? await queueOfEntry(name, queues) : undefined;
    if (ofEntry) return { queue: ofEntry, filter: { entry: name } };
    throw unknownQueue(name, [...queues.keys()]);
  }

  /**
   * Requests the queue of an entry from a live instance. Without one, it looks for a message of that entry in the
   * module's queues.
   */
  async function queueOfEntry(entry: string, queues: ReadonlyMap<string, QueueName>): Promise<QueueName | undefined> {
    const answer = await askCheck(parts, entry, undefined);
    if (answer.known && answer.kind !== 'work') {
      throw new UnknownName('queue', entry, [], `: it is an entry of the kind ${answer.kind}, which waits in no queue`);
    }
    if (answer.known) return queues.get(queueOf(moduleOf({ name: entry }), answer.queue ?? 'work'));
    for (const queue of queues.values()) {
      if (queue.kind !== 'work' || queue.module !== moduleOf({ name: entry })) continue;
      for await (const { entry: found } of peekQueue(parts, queue.queue, await readBacklogs(parts, queue), [], {})) {
        if (found === entry) return queue;
      }
    }
    return undefined;
  }

  async function around(module?: string): Promise<Around> {
    const [instances, parked] = await Promise.all([requestInstances(parts, module), countParked(parts)]);
    return { instances, parked, nowMs: clock.now() };
  }

  async function namedQueues(names: readonly string[]): Promise<readonly QueueName[]> {
    const all = await findQueues(log, ns);
    if (names.length === 0) return [...all.values()];
    const found = await Promise.all(
      names.map(async (name) => {
        const ofModule = [...all.values()].filter(({ module }) => module === name);
        return ofModule.length > 0 ? ofModule : [(await resolve(name)).queue];
      }),
    );
    return [...new Set(found.flat())];
  }

  async function queues(names: readonly string[] = []): Promise<readonly QueueView[]> {
    const [named, about] = await Promise.all([namedQueues(names), around()]);
    const counted = await Promise.all(named.map((name) => count(parts, name)));
    const first = new Map(counted.map((one) => [one.name.queue, viewOfQueue(one, about)]));
    for (const [view, { what }] of await findSlow(parts, counted, first, about)) {
      first.set(view.queue, { ...view, state: what });
    }
    const views = [...first.values()];
    return names.length > 0 ? views : [...views, ...onlyParked(views, about)];
  }

  return {
    async instances(module) {
      const found = await requestInstances(parts, module);
      if (found.length > 0 || module === undefined) return found;
      const modules = new Set((await requestInstances(parts)).map((one) => one.module));
      if (modules.size === 0) return found;
      throw new UnknownName('instance of', module, nearNames(module, [...modules]));
    },
    queues,
    running: (name, filter = {}) => runningHandlers(parts, name, filter),
    pending: (name, filter = {}) => pendingRequests(parts, name, filter),
    async queueBy(name, by, options = {}) {
      const { queue, filter } = await resolve(name);
      // Read the backlogs before the instances, as for `peek`.
      const backlogs = await readBacklogs(parts, queue);
      const instances = await requestInstances(parts);
      return {
        queue: queue.queue,
        ...(await countBy(parts, queue.queue, by, backlogs, instances, { ...options, ...filter })),
      };
    },
    async *peek(name, { newest = false, ...filter } = {}) {
      const { queue, filter: ofName } = await resolve(name);
      // Read the backlogs before the instances. A message that is settled in between is shown as waiting, never the
      // other way round.
      const backlogs = await readBacklogs(parts, queue);
      const read = newest ? peekNewest : peekQueue;
      yield* read(parts, queue.queue, backlogs, await requestInstances(parts), { ...filter, ...ofName });
    },
    async *tail(names, { signal, missed = () => {}, ...filter }) {
      yield* follow(parts, { ...(await whatToFollow(names)), filter, signal, missed });
    },
    async *parked(name, filter = {}) {
      const queue = name === undefined ? undefined : await parkedQueue(name);
      yield* readParked(parts, queue?.queue, { ...filter, ...queue?.filter });
    },
    parkedQueue,
    why: async (idStart) => biographyOf(await factsOf(parts, idStart)),
    tree: (id) => treeOf(parts, id),
    resolve,
    async show(idStart) {
      const [all, instances] = await Promise.all([findQueues(log, ns), requestInstances(parts)]);
      return findMessages(parts, all, instances, idStart);
    },
    async status() {
      const startedMs = clock.now();
      const [named, about] = await Promise.all([namedQueues([]), around()]);
      const counted = await Promise.all(named.map((name) => count(parts, name, true)));
      const { queues: looked, alarms, entries } = await findAlarms(parts, counted, about);
      return {
        ns,
        atMs: about.nowMs,
        tookMs: clock.now() - startedMs,
        modules: new Set(about.instances.map(({ module }) => module)).size,
        instances: about.instances.length,
        alarms,
        queues: looked,
        entries,
      };
    },
  };

  async function whatToFollow(names: readonly string[]): Promise<Wanted> {
    const ofModule = (module?: string): Promise<readonly string[]> => topicsOf(log, ns, ['work', 'events'], module);
    if (names.length === 0) return { topics: () => ofModule(), wanted: () => true };
    const each = await Promise.all(names.map((name) => wantedOf(name, ofModule)));
    return {
      topics: async () => (await Promise.all(each.map((one) => one.topics()))).flat(),
      wanted: (decoded) => each.some((one) => one.wanted(decoded)),
    };
  }

  async function wantedOf(name: string, ofModule: (module?: string) => Promise<readonly string[]>): Promise<Wanted> {
    if (!name.includes('.')) {
      const alive = (await parts.registry.all()).map(({ module }) => module);
      const modules = new Set([...alive, ...(await modulesOf(log, ns))]);
      if (!modules.has(name)) throw new UnknownName('module', name, nearNames(name, [...modules]));
      return { topics: () => ofModule(name), wanted: ({ topic }) => isOf(topic, name) };
    }
    const { queue, filter } = await resolve(name);
    return {
      topics: async () => queue.sources.map(({ topic }) => topic),
      wanted: (decoded) =>
        (filter.entry === undefined || decoded.entry === filter.entry) &&
        queue.sources.some(
          ({ topic, entry }) => topic === decoded.topic && (entry === null || entry === decoded.entry),
        ),
    };
  }

  async function parkedQueue(name: string): Promise<NamedQueue> {
    try {
      const { queue, filter } = await resolve(name);
      return { queue: queue.queue, filter };
    } catch (error) {
      for await (const { note } of findParked(parts, undefined, {})) {
        if (note.queue === name) return { queue: name, filter: {} };
        if (note.entry === name) return { queue: note.queue, filter: { entry: name } };
      }
      throw error;
    }
  }
}

interface Wanted {
  topics(): Promise<readonly string[]>;
  wanted(decoded: DecodedMessage): boolean;
}

function isOf(topic: string, module: string): boolean {
  const name = parseTopic(topic);
  return name !== undefined && 'module' in name && name.module === module;
}
