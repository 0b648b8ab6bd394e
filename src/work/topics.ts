/** The topics that durable messages live in. */
import { moduleOf } from '../contract/contract';
import { namesIn } from '../format/names';
import type { Topic } from '../ports/log';

/** Pinned when a topic is created: more would move keys to other partitions, and their order would be lost. */
const partitions = 12;
export const keepMsDefault = 7 * 24 * 3_600_000;

/** Work entries of a module; kept until its owners trim what is settled. */
export function workTopic(ns: string, module: string, queue?: string): Topic {
  return { name: namesIn(ns).work(module, queue), partitions, compacted: false, keepMs: null };
}
/** All events of the module that tells `entry`. */
export function eventTopic(ns: string, entry: { readonly name: string }, keepMs = keepMsDefault): Topic {
  return { name: namesIn(ns).events(moduleOf(entry)), partitions, compacted: false, keepMs };
}
/** What was set aside from the queues of a module: its work, and what it listens to. One record for each of them. */
export function parkedTopic(ns: string, module: string): Topic {
  return { name: namesIn(ns).parked(module), partitions: 1, compacted: true, keepMs: null };
}
