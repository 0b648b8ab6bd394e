/** Watches how long events wait for named listeners, and reports a wait that approaches or exceeds `keepMs`. */
import { type Clock, type Random, type Timer } from '../base/clock';
import { limits } from '../base/limits';
import type { Notices } from '../base/notices';
import { sizeText, spanText } from '../format/amounts';
import { parseGroup, queueOf } from '../format/names';
import type { CommittedProgress, Log, Stored, Topic } from '../ports/log';
import { envelopeOf } from './message';

/**
 * Share of `keepMs` after which waiting events are reported, if the log deletes unread ones. Half leaves time to act.
 */
export const expiringShare = 0.5;

/**
 * Returns the wait from which events are reported: `keepMs` where the log never deletes unread events, else half of it.
 */
export function reportedFromMs({ holdsUnread }: Pick<Log, 'holdsUnread'>, keepMs: number): number {
  return holdsUnread ? keepMs : keepMs * expiringShare;
}

/** Returns the effect of the wait, and the remedies. */
export function describeWaiting(
  { holdsUnread }: Pick<Log, 'holdsUnread'>,
  topic: { readonly name: string; readonly keepMs: number },
  module: string,
  queue: string,
): string {
  const keptFor = spanText(topic.keepMs);
  const start = `Start an instance of ${module}`;
  const forget = `if it will not be started again, run busbar forget ${queue}`;
  if (!holdsUnread) {
    const remedy = `${start}, or raise retention.ms of ${topic.name}; ${forget}`;
    return `the log deletes them after ${keptFor} (retention.ms), received or not. ${remedy}`;
  }
  const bound = `up to ${sizeText(limits.heldEventBytesMax)} for all events of a module, then the oldest are deleted`;
  return `they are kept beyond keepMs (${keptFor}) until it receives them, ${bound}. ${start}; ${forget}`;
}

export interface RetentionParts {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly notices: Notices;
}

/**
 * Maximum interval between checks. At least `checksPerKeep` checks run in `keepMs`, so that a wait is reported in time.
 */
const checkMsMax = 600_000;
const checkMsMin = 1_000;
const checksPerKeep = 20;
const chunk = { messages: 256, bytes: 256 * 1024 };
const namesShown = 3;

/** A named listener for which events wait. */
interface Late {
  readonly queue: string;
  readonly module: string;
  readonly waitedMs: number;
}

export class RetentionWatch {
  /** Groups to watch, by topic: all groups where this instance publishes. */
  readonly #watched = new Map<string, Set<string> | 'all'>();
  /** Names of the listeners last reported, by topic. */
  readonly #reported = new Map<string, string>();
  /** Newest record up to which the group has no unread event of its entry, by group and partition. */
  readonly #passed = new Map<string, Pick<Stored, 'offset' | 'timeMs'>>();
  /** Shortest retention of the watched topics, in ms. */
  #keepMs = Infinity;
  #timer: Timer | undefined;
  #closed = false;

  constructor(private readonly parts: RetentionParts) {}

  /** Watches all named listeners of a topic to which this instance publishes. */
  publishes({ name, keepMs }: Pick<Topic, 'name' | 'keepMs'>): void {
    if (this.#watched.get(name) === 'all') return;
    this.#watched.set(name, 'all');
    this.#plan(keepMs);
  }
  /** Watches one group in which this instance is a named listener. The returned function ends this. */
  listens({ name, keepMs }: Pick<Topic, 'name' | 'keepMs'>, group: string): () => void {
    const groups = this.#watched.get(name) ?? new Set<string>();
    if (groups === 'all') return () => undefined;
    this.#watched.set(name, groups.add(group));
    this.#plan(keepMs);
    return () => this.#ends(name, group);
  }
  #ends(topic: string, group: string): void {
    const groups = this.#watched.get(topic);
    if (groups === undefined || groups === 'all') return; // this instance publishes to the topic since then
    groups.delete(group);
    for (const id of this.#passed.keys()) if (id.startsWith(`${group}/`)) this.#passed.delete(id);
    if (groups.size > 0) return;
    this.#watched.delete(topic);
    this.#inTime(topic, 'this instance no longer listens to it');
  }
  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  /** Plans the next check. A topic with a shorter retention than the others brings it forward. */
  #plan(keepMs: number | null = null): void {
    if (keepMs !== null && keepMs < this.#keepMs) {
      this.#keepMs = keepMs;
      this.#timer?.cancel();
      this.#timer = undefined;
    }
    if (this.#timer || this.#closed || this.#watched.size === 0) return;
    const { clock, random } = this.parts;
    const everyMs = Math.max(checkMsMin, Math.min(checkMsMax, this.#keepMs / checksPerKeep));
    this.#timer = clock.after(everyMs * (0.5 + random.next() / 2), () => {
      // A failed read is repeated by the next check. An unreachable log is reported elsewhere.
      void this.#check()
        .catch(() => undefined)
        .finally(() => {
          this.#timer = undefined;
          this.#plan();
        });
    });
  }

  async #check(): Promise<void> {
    const { log } = this.parts;
    const isWatched = (group: string, topic: string): boolean => {
      const groups = this.#watched.get(topic);
      return groups === 'all' || groups?.has(group) === true;
    };
    const topics = (await log.topics()).filter(({ name }) => this.#watched.has(name));
    const groups = await log.groups((group) => parseGroup(group)?.kind === 'listen');
    for (const { name, keepMs } of topics) {
      if (keepMs === null) continue;
      const late: Late[] = [];
      for (const { group, topic } of groups) {
        if (topic !== name || !isWatched(group, topic)) continue;
        const found = await this.#lateOf(group, topic, keepMs);
        if (found && isWatched(group, topic)) late.push(found);
      }
      if (!this.#closed && this.#watched.has(name)) this.#report({ name, keepMs }, late);
    }
  }

  async #lateOf(group: string, topic: string, keepMs: number): Promise<Late | undefined> {
    const { log, clock } = this.parts;
    const name = parseGroup(group);
    if (name?.kind !== 'listen') return undefined;
    const thanMs = clock.now() - reportedFromMs(log, keepMs);
    const places = await log.committedOffsets(group, topic);
    const times = await Promise.all(places.map((place) => this.#oldestOf(group, topic, name.entry, place, thanMs)));
    const oldestMs = Math.min(...times);
    if (oldestMs === Infinity) return undefined;
    const queue = queueOf(name.listener, name.as);
    return { queue, module: name.listener, waitedMs: clock.now() - oldestMs };
  }

  /**
   * Returns the log time of the oldest unsettled event of the entry. Returns Infinity when it is not before `thanMs`.
   */
  async #oldestOf(
    group: string,
    topic: string,
    entry: string,
    place: CommittedProgress,
    thanMs: number,
  ): Promise<number> {
    const { partition } = place;
    const id = `${group}/${partition}`;
    let passed = this.#passed.get(id);
    for (let offset = Math.max(place.offset, passed?.offset ?? 0); !this.#closed;) {
      const records = await this.parts.log.peek(topic, { partition, offset }, chunk);
      const [first] = records;
      if (passed?.offset === offset && !(first?.offset === offset && first.timeMs === passed.timeMs)) {
        // The topic was deleted and recreated, or the record was trimmed.
        offset = place.offset;
        passed = undefined;
        this.#passed.delete(id);
        continue;
      }
      for (const record of records) {
        if (record.timeMs >= thanMs) return Infinity;
        const envelope = envelopeOf(record);
        if (envelope && 'entry' in envelope && envelope.entry === entry) return record.timeMs;
        this.#passed.set(id, { offset: record.offset, timeMs: record.timeMs });
      }
      const last = records.at(-1);
      if (!last) break;
      offset = last.offset + 1;
    }
    return Infinity;
  }

  /** Reports each set of listeners once. */
  #report(topic: { readonly name: string; readonly keepMs: number }, late: readonly Late[]): void {
    const { log, notices } = this.parts;
    const part = `events of ${topic.name}` as const;
    const [first, ...others] = late.toSorted((a, b) => b.waitedMs - a.waitedMs);
    const before = this.#reported.get(topic.name);
    if (!first) return this.#inTime(topic.name, 'every named listener receives its events in time');
    const shown = [first, ...others].map(({ queue }) => queue).slice(0, namesShown);
    const names = late.length > namesShown ? `${shown.join(', ')} and ${late.length - namesShown} more` : shown.join();
    if (before === names) return;
    this.#reported.set(topic.name, names);
    const what = describeWaiting(log, topic, first.module, first.queue);
    const reason = `events have waited for ${names} for up to ${spanText(first.waitedMs)}: ${what}`;
    notices.emit({ type: 'state', part, ok: false, ready: true, reason });
  }
  #inTime(topic: string, reason: string): void {
    if (!this.#reported.delete(topic)) return;
    this.parts.notices.emit({ type: 'state', part: `events of ${topic}`, ok: true, reason });
  }
}
