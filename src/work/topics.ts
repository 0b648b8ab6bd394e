/** Topics that store durable messages. */
import { moduleOf } from '../contract/contract';
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
/** Returns the topic of all events of the module that publishes `entry`. */
export function eventTopic(ns: string, entry: { readonly name: string }, keepMs = keepMsDefault): Topic {
  return { name: namesIn(ns).events(moduleOf(entry)), partitions, compacted: false, keepMs };
}
/**
 * Returns the topic of a module's parked messages, from its work and its listeners. It keeps one record for each
 * message.
 */
export function parkedTopic(ns: string, module: string): Topic {
  return { name: namesIn(ns).parked(module), partitions: 1, compacted: true, keepMs: null };
}
