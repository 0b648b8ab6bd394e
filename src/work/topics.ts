/** Topics that store durable messages. */
import { contractOf, entriesOf, moduleOf } from '../contract/contract';
import type { AnyContract, AnyEntry } from '../contract/types';
import { namesIn } from '../format/names';
import type { Topic } from '../ports/log';

/**
 * Fixed when a topic is created. Adding partitions would move keys to other partitions, and their order would be lost.
 */
const partitions = 12;
export const keepMsDefault = 7 * 24 * 3_600_000;

/** Returns the topic of a module's work entries. Records stay until the queue's owners trim settled ones. */
export function workTopic(ns: string, module: string, queue?: string): Topic {
  return { name: namesIn(ns).work(module, queue), partitions, compacted: false, keepMs: null };
}
/**
 * Returns the topic of all events of the module that publishes `entry`. It keeps them for the longest time that one of
 * its entries requires. `keepMs` is the time of entries that declare none.
 */
export function eventTopic(ns: string, entry: AnyEntry, keepMs = keepMsDefault): Topic {
  const contract = contractOf(entry);
  const required = contract ? requiredBy(contract) : longestOf([entry]);
  const name = namesIn(ns).events(moduleOf(entry));
  return { name, partitions, compacted: false, keepMs: longestMs(required, keepMs) };
}

/** Retention that a set of entries requires. */
interface Retention {
  /** Longest declared time, in ms. It is 0 if no entry declares one. */
  readonly declaredMs: number;
  /** True if an entry declares none, so that the default applies to it. */
  readonly hasDefault: boolean;
}
/** Events of each contract, computed once since every `publish` needs it. */
const known = new WeakMap<AnyContract, Retention>();
function requiredBy(contract: AnyContract): Retention {
  const found = known.get(contract);
  if (found) return found;
  const required = longestOf([...entriesOf(contract).values()].filter(({ kind }) => kind === 'event'));
  known.set(contract, required);
  return required;
}
function longestOf(entries: readonly AnyEntry[]): Retention {
  const times = entries.map(({ options }) => options.keepMs);
  return {
    declaredMs: Math.max(0, ...times.map((timeMs) => timeMs ?? 0)),
    hasDefault: times.includes(undefined),
  };
}
function longestMs({ declaredMs, hasDefault }: Retention, defaultMs: number): number {
  return hasDefault ? Math.max(declaredMs, defaultMs) : declaredMs;
}
/** Returns the time for which a queue keeps settled jobs, in ms: the longest that one of its entries requires. */
export function queueKeepMs(entries: Iterable<AnyEntry>, defaultMs: number): number {
  return longestMs(longestOf([...entries]), defaultMs);
}
/** Time for which changes of operators stay in the audit topic. */
const auditKeepMs = 90 * 24 * 3_600_000;
/** Returns the topic of the changes that operators made. One partition keeps them in order. */
export function auditTopic(ns: string): Topic {
  return { name: namesIn(ns).audit(), partitions: 1, compacted: false, keepMs: auditKeepMs };
}
/**
 * Returns the topic of a module's parked messages, from its work and its listeners. It keeps one record for each
 * message.
 */
export function parkedTopic(ns: string, module: string): Topic {
  return { name: namesIn(ns).parked(module), partitions: 1, compacted: true, keepMs: null };
}
