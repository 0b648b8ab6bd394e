/** Finds the queues that exist, from groups and topics, and resolves names that an operator types. */
import { nearest } from '../base/errors';
import { parseGroup, parseTopic, queueOf } from '../format/names';
import type { Log } from '../ports/log';
import { UnknownName } from './types';

/** A topic that holds messages of a queue. */
export interface Source {
  readonly topic: string;
  /** Null when no instance ever consumed the queue; all its messages are then waiting. */
  readonly group: string | null;
  /** The entry whose messages the queue receives; null when it receives all messages of the topic. */
  readonly entry: string | null;
}
/** A queue, and the topics that hold its messages. */
export interface QueueName {
  readonly queue: string;
  readonly module: string;
  readonly kind: 'work' | 'listener';
  readonly sources: readonly Source[];
}

/**
 * Returns the queues of a namespace that have a topic, sorted by name. A queue of which only parked messages are left
 * is not among them. Rejects with Unreachable when the log does not respond.
 */
export async function findQueues(log: Log, ns: string): Promise<ReadonlyMap<string, QueueName>> {
  const [topics, groups] = await Promise.all([log.topics(), log.groups()]);
  const there = new Set(topics.map(({ name }) => name));
  const found = new Map<string, QueueName>();
  const add = (module: string, name: string, kind: QueueName['kind'], source: Source): void => {
    const queue = queueOf(module, name);
    const sources = found.get(queue)?.sources ?? [];
    if (
      !sources.some(({ topic, group }) => topic === source.topic && (group === source.group || source.group === null))
    ) {
      found.set(queue, { queue, module, kind, sources: [...sources, source] });
    }
  };
  for (const { group, topic } of groups) {
    const name = parseGroup(group);
    if (name?.namespace !== ns || !there.has(topic)) continue;
    if (name.kind === 'work') add(name.module, name.queue ?? 'work', 'work', { topic, group, entry: null });
    else add(name.listener, name.as, 'listener', { topic, group, entry: name.entry });
  }
  for (const topic of there) {
    const name = parseTopic(topic);
    if (name?.namespace !== ns || name.kind !== 'work') continue;
    add(name.module, name.queue ?? 'work', 'work', { topic, group: null, entry: null });
  }
  return new Map([...found].toSorted(([one], [other]) => (one < other ? -1 : 1)));
}

/** Returns the modules that have topics in the namespace, one item for each topic. */
export async function modulesOf(log: Log, ns: string): Promise<readonly string[]> {
  const names = (await log.topics()).map(({ name }) => parseTopic(name));
  return names.flatMap((topic) => (topic?.namespace === ns && 'module' in topic ? [topic.module] : []));
}

/** Returns topics of the given kinds that hold messages of one module, or of all modules when `module` is undefined. */
export async function topicsOf(
  log: Log,
  ns: string,
  kinds: readonly string[],
  module?: string,
): Promise<readonly string[]> {
  const all = (await log.topics()).map(({ name }) => name);
  return all.filter((name) => {
    const topic = parseTopic(name);
    if (topic?.namespace !== ns || !kinds.includes(topic.kind) || !('module' in topic)) return false;
    return module === undefined || topic.module === module;
  });
}

const nearMax = 3;

/**
 * Returns up to three known names that `name` probably means: names with similar spelling first, then names of the same
 * module.
 */
export function nearNames(name: string, known: readonly string[]): readonly string[] {
  const near: string[] = [];
  const [module = ''] = name.split('.');
  const related = known.filter((one) => one === module || one.startsWith(`${module}.`));
  for (let left = [...known]; near.length < nearMax;) {
    const next = nearest(name, left) ?? related.find((one) => left.includes(one));
    if (next === undefined) break;
    near.push(next);
    left = left.filter((one) => one !== next);
  }
  return near;
}

export function unknownQueue(name: string, known: readonly string[]): UnknownName {
  const hint = known.length === 0 ? '; there are no queues yet' : '; `busbar queues` lists all';
  return new UnknownName('queue', name, nearNames(name, known), hint);
}
