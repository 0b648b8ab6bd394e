/** Skips messages that wait or run: the instance that owns them parks them, so that their lanes continue. */
import { sleep } from '../base/clock';
import { openNotices } from '../base/notices';
import { selfContract } from '../bus/self-contract';
import { event, unchecked } from '../contract/contract';
import { openScopes } from '../delivery/context';
import { placeOf } from '../work/message';
import { parkedTopic } from '../work/topics';
import type { Queue } from '../work/types';
import { isWithin } from './backlog';
import { doingOf, requestInstances, statusesOf } from './instances';
import { fits } from './message';
import type { QueueName, Source } from './names';
import { findParked } from './parked';
import { waitingView } from './peek';
import { budgetFor, readBacklogs, readUnsettled } from './queues';
import { NotWaiting, UnknownName, type InspectorParts, type MessageFilter } from './types';

/** A selection of waiting or running messages. A message must match every field that is set. */
export interface SkipSelection extends MessageFilter {
  /** Message ids, or beginnings of ids that only one message has. */
  readonly ids?: readonly string[];
}
/** A message that a skip will park. */
export interface SkippedMessage {
  readonly id: string;
  readonly entry: string;
  readonly key: string | null;
  readonly state: 'waiting' | 'running' | 'in backoff';
  /** The instance that runs it or owns its partition; null if no instance does. */
  readonly on: string | null;
  /** Topic, partition and offset of its record. */
  readonly place: readonly [string, number, number];
}
/** Messages that a skip will park. */
export interface SkipPlan {
  readonly queue: QueueName;
  readonly messages: readonly SkippedMessage[];
  /** Number of other unsettled messages that have one of their keys and wait behind them. */
  readonly behind: number;
}
/** The state of a message after a skip. */
export interface SkipResult {
  readonly id: string;
  /**
   * - `parked`: it is parked.
   * - `handled`: its handler succeeded before it could be parked.
   * - `running`: its handler has not ended, although its signal has aborted.
   * - `waiting`: its instance has not read it yet, and parks it when its turn comes.
   */
  readonly state: 'parked' | 'handled' | 'running' | 'waiting';
}

/** Maximum number of messages of one skip. */
const skippedMax = 10_000;

/** Returns the messages that a skip would park. Throws NotWaiting for an id that does not wait or run in the queue. */
export async function planSkip(parts: InspectorParts, queue: QueueName, which: SkipSelection): Promise<SkipPlan> {
  const { ids, ...filter } = which;
  const [backlogs, instances] = await Promise.all([readBacklogs(parts, queue), requestInstances(parts)]);
  const alive = new Set(instances.map(({ name }) => name));
  const doing = doingOf(queue.queue, instances);
  const messages: SkippedMessage[] = [];
  const keys = new Set<string>();
  let behind = 0;
  for await (const [decoded, backlog] of readUnsettled(parts, backlogs, budgetFor(parts))) {
    const { id, entry, key, topic, record } = decoded;
    const lane = `${topic} ${key}`;
    if ((ids && !ids.some((start) => id.startsWith(start))) || !fits(decoded, filter)) {
      if (key !== null && keys.has(lane)) behind++;
      continue;
    }
    if (messages.length >= skippedMax) break;
    const { state, on } = waitingView(decoded, backlog, doing, null);
    const owner = backlog.owner !== null && alive.has(backlog.owner) ? backlog.owner : null;
    keys.add(lane);
    messages.push({ id, entry, key, state, on: on ?? owner, place: [topic, record.partition, record.offset] });
  }
  if (ids) checkIds(queue.queue, ids, messages);
  return { queue, messages, behind };
}

function checkIds(queue: string, ids: readonly string[], found: readonly SkippedMessage[]): void {
  for (const start of ids) {
    const meant = new Set(found.map(({ id }) => id).filter((id) => id.startsWith(start)));
    if (meant.size === 0) throw new NotWaiting(queue, start);
    if (meant.size > 1 && !meant.has(start)) {
      throw new UnknownName('single message', start, [], `: ${meant.size} ids begin with it. Type more characters`);
    }
  }
}

/** Options of {@link skipMessages}. */
export interface SkipOptions {
  readonly signal: AbortSignal;
  /** The reason that is stored with the parked messages. */
  readonly reason: string;
  /**
   * Maximum time that the call waits until the messages are parked, in ms.
   * @default 10_000
   */
  readonly waitMs?: number;
}

/**
 * Parks the messages through the instances that own them. Without one, it consumes the queue for a moment itself, and
 * handles nothing. Resolves with the state of each message after at most `waitMs`. Rejects with Unreachable when the
 * log does not respond.
 */
export async function skipMessages(
  parts: InspectorParts,
  { queue: found, messages }: SkipPlan,
  { signal, reason, waitMs = 10_000 }: SkipOptions,
): Promise<readonly SkipResult[]> {
  // A queue that was never consumed has no group yet. Its group is named as its topic.
  const queue = { ...found, sources: found.sources.map((one) => ({ ...one, group: one.group ?? one.topic })) };
  const instances = await requestInstances(parts);
  const takers = [...statusesOf(queue.queue, instances)].map(([{ name }]) => name);
  const running = new Set<string>();
  let close = async (): Promise<void> => undefined;
  let skipAgain = (_ids: readonly string[]): void => undefined;
  if (takers.length === 0) ({ close, skipAgain } = await consumeToSkip(parts, queue, messages, reason));
  else {
    for (const to of takers) {
      // Without a known owner, all instances are asked. Only the one that reads the message parks it.
      const ids = messages.filter(({ on }) => on === to || on === null).map(({ id }) => id);
      if (ids.length === 0) continue;
      const states = await parts.bus.request(selfContract.skip, { queue: queue.queue, ids, reason }, { to });
      for (const { id, state } of states) if (state === 'aborted') running.add(id);
    }
  }
  try {
    const untilMs = parts.clock.mono() + waitMs;
    let open = messages;
    while (open.length > 0 && !signal.aborted) {
      open = await stillOpen(parts, queue, open);
      // A message that was only marked, and read since then, does not start: its entry is unknown or paused here.
      skipAgain(open.map(({ id }) => id));
      if (open.length === 0 || parts.clock.mono() >= untilMs) break;
      await sleep(parts.clock, pollMs, signal);
    }
    return await resultsOf(parts, queue, messages, open, running);
  } finally {
    await close();
  }
}
/** Commits of an instance are delayed by up to 500 ms, so a shorter interval would show little more. */
const pollMs = 250;

async function stillOpen(
  parts: InspectorParts,
  queue: QueueName,
  messages: readonly SkippedMessage[],
): Promise<readonly SkippedMessage[]> {
  const backlogs = await readBacklogs(parts, queue);
  return messages.filter(({ place: [topic, partition, offset] }) =>
    backlogs.some((one) => one.topic === topic && one.partition === partition && isWithin(one, offset)),
  );
}

async function resultsOf(
  parts: InspectorParts,
  { queue }: QueueName,
  messages: readonly SkippedMessage[],
  open: readonly SkippedMessage[],
  running: ReadonlySet<string>,
): Promise<readonly SkipResult[]> {
  const parked = new Set<string>();
  for await (const { note } of findParked(parts, queue, {})) parked.add(placeOf(note.topic, note));
  return messages.map((message) => {
    const { id, place } = message;
    if (open.includes(message)) return { id, state: running.has(id) ? 'running' : 'waiting' };
    const [topic, partition, offset] = place;
    return { id, state: parked.has(placeOf(topic, { partition, offset })) ? 'parked' : 'handled' };
  });
}

/**
 * Consumes the queue without a handler, and skips the messages as they are read. Resolves with a function that ends
 * that. Another instance that starts meanwhile gets its partitions as usual.
 */
async function consumeToSkip(
  parts: InspectorParts,
  { queue, module, sources }: QueueName,
  messages: readonly SkippedMessage[],
  reason: string,
): Promise<{ close: () => Promise<void>; skipAgain: (ids: readonly string[]) => void }> {
  const { consumeQueue } = await import('../work/queue/consumer');
  const { log, clock, random, bus, ns } = parts;
  const topics = await log.topics();
  const consumers = await Promise.all(
    sources.map(async (source) => {
      const topic = topics.find(({ name }) => name === source.topic);
      if (!topic || !messages.some(({ place }) => place[0] === source.topic)) return [];
      const held: Queue = {
        name: queue,
        topic,
        group: source.group ?? source.topic,
        parkedTopic: parkedTopic(ns, module),
        ...handledBy(source),
      };
      const around = { clock, notices: openNotices(), scopes: openScopes(), middleware: [], version: '' };
      return [await consumeQueue({ ...around, log, random, self: bus.self }, held)];
    }),
  );
  const all = consumers.flat();
  const ids = messages.map(({ id }) => id);
  for (const one of all) one.skip(ids, reason);
  return {
    async close() {
      await Promise.all(all.map((one) => one.close()));
    },
    skipAgain(open) {
      for (const one of all) one.skip(open, reason);
    },
  };
}

/** Returns the entries of a queue in which nothing is handled. A work queue holds messages of unknown entries. */
function handledBy({ entry }: Source): Pick<Queue, 'entries' | 'other' | 'limits'> {
  if (entry === null) return { entries: new Map(), other: 'hold' };
  const declared = event(unchecked<unknown>());
  const paused = () => ({ concurrency: 0, perSecond: Infinity });
  const run = (): never => {
    throw new Error('a paused entry was started');
  };
  return { entries: new Map([[entry, { entry: { ...declared, name: entry }, run }]]), other: 'skip', limits: paused };
}
