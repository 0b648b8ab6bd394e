/** The topics that durable messages live in, as the code wants them. */
import { moduleOf } from '../contract/contract';
import { namesIn } from '../format/names';
import type { Topic } from '../ports/log';

/** More than the instances a module ever has; pinned when the topic is created, since keys map to partitions. */
const partitions = 12;

/** Kept until its owner has handled and trimmed it: work never ends by age. */
export function workTopic(ns: string, module: string, queue?: string): Topic {
  return { name: namesIn(ns).work(module, queue), partitions, compacted: false, keepMs: null };
}
/** Events of the module of `entry`; a listener that is away for longer than `keepMs` is told the exact gap. */
export function eventTopic(ns: string, entry: { readonly name: string }, keepMs: number): Topic {
  return { name: namesIn(ns).events(moduleOf(entry)), partitions, compacted: false, keepMs };
}
/** What the module set aside, by queue and place: parking twice is parking once. */
export function parkedTopic(ns: string, module: string): Topic {
  return { name: namesIn(ns).parked(module), partitions: 1, compacted: true, keepMs: null };
}
