/** Watches how long events wait for named listeners, and reports it before, or while, they are kept beyond `keepMs`. */
import { type Clock, type Random, type Timer } from '../base/clock';
import { limits } from '../base/limits';
import type { Notices } from '../base/notices';
import { sizeText, spanText } from '../format/amounts';
import { parseGroup, queueOf } from '../format/names';
import type { GroupPlace, Log, Stored } from '../ports/log';
import { envelopeOf } from './message';

/** Share of `keepMs` that events may wait before that is reported, where the log deletes them after `keepMs`. */
export const expiringShare = 0.5;

/** Where nothing is deleted before it is read, waiting is reported from `keepMs` on. */
export function reportedFromMs({ holdsUnread }: Pick<Log, 'holdsUnread'>, keepMs: number): number {
  return holdsUnread ? keepMs : keepMs * expiringShare;
}

/** What it means that events have waited for so long, and what can be done about it. */
export function describeWaiting(
  { holdsUnread }: Pick<Log, 'holdsUnread'>,
  topic: { readonly name: string; readonly keepMs: number },
  module: string,
  queue: string,
): string {
  const keptFor = spanText(topic.keepMs);
  const start = `Start an instance of ${module}`;
  const forget = `if it will not come back, run busbar forget ${queue}`;
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
  /** How long events are kept where this instance creates their topic, in ms. */
  readonly keepMs: number;
}

/** Checks take place so often, and at least this many times in `keepMs`. */
const checkMsMax = 600_000;
const checkMsMin = 1_000;
const checksPerKeep = 20;
const chunk = { messages: 256, bytes: 256 * 1024 };
const namesShown = 3;

/** A listener for which events wait. */
interface Late {
  readonly queue: string;
  readonly module: string;
  readonly waitedMs: number;
}

export class RetentionWatch {
  /** By topic: the groups to watch, all where this instance publishes there. */
  readonly #watched = new Map<string, Set<string> | 'all'>();
  /** Topics that were reported, and the listeners that were named. */
  readonly #reported = new Map<string, string>();
  /** By group and partition: the newest record up to which no event of the group's entry is unread. */
  readonly #passed = new Map<string, Pick<Stored, 'offset' | 'timeMs'>>();
  #timer: Timer | undefined;
  #closed = false;

  constructor(private readonly parts: RetentionParts) {}

  /** This instance publishes events there: every named listener of them is watched. */
  publishes(topic: string): void {
    if (this.#watched.get(topic) === 'all') return;
    this.#watched.set(topic, 'all');
    this.#plan();
  }
  /** This instance is a named listener there. */
  listens(topic: string, group: string): void {
    const groups = this.#watched.get(topic) ?? new Set<string>();
    if (groups === 'all') return;
    this.#watched.set(topic, groups.add(group));
    this.#plan();
  }
  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  #plan(): void {
    if (this.#timer || this.#closed) return;
    const { clock, random, keepMs } = this.parts;
    const everyMs = Math.max(checkMsMin, Math.min(checkMsMax, keepMs / checksPerKeep));
    this.#timer = clock.after(everyMs * (0.5 + random.next() / 2), () => {
      // What could not be read now is read by the next check; that the log does not answer is reported elsewhere.
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
        if (found) late.push(found);
      }
      if (!this.#closed) this.#report({ name, keepMs }, late);
    }
  }

  async #lateOf(group: string, topic: string, keepMs: number): Promise<Late | undefined> {
    const { log, clock } = this.parts;
    const name = parseGroup(group);
    if (name?.kind !== 'listen') return undefined;
    const thanMs = clock.now() - reportedFromMs(log, keepMs);
    const places = await log.places(group, topic);
    const times = await Promise.all(places.map((place) => this.#oldestOf(group, topic, name.entry, place, thanMs)));
    const oldestMs = Math.min(...times);
    if (oldestMs === Infinity) return undefined;
    const queue = queueOf(name.listener, name.as);
    return { queue, module: name.listener, waitedMs: clock.now() - oldestMs };
  }

  /** When the log took the oldest event of the entry that is not settled; Infinity if that was not before `thanMs`. */
  async #oldestOf(group: string, topic: string, entry: string, place: GroupPlace, thanMs: number): Promise<number> {
    const { partition } = place;
    const id = `${group}/${partition}`;
    let passed = this.#passed.get(id);
    for (let offset = Math.max(place.offset, passed?.offset ?? 0); !this.#closed;) {
      const records = await this.parts.log.peek(topic, { partition, offset }, chunk);
      const [first] = records;
      if (passed?.offset === offset && !(first?.offset === offset && first.timeMs === passed.timeMs)) {
        // The topic was deleted and created again, or the record was trimmed.
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

  /** Once for each set of listeners. */
  #report(topic: { readonly name: string; readonly keepMs: number }, late: readonly Late[]): void {
    const { log, notices } = this.parts;
    const part = `events of ${topic.name}` as const;
    const [first, ...others] = late.toSorted((a, b) => b.waitedMs - a.waitedMs);
    const before = this.#reported.get(topic.name);
    if (!first) {
      this.#reported.delete(topic.name);
      const reason = 'every named listener receives its events in time';
      if (before !== undefined) notices.tell({ type: 'state', part, ok: true, reason });
      return;
    }
    const shown = [first, ...others].map(({ queue }) => queue).slice(0, namesShown);
    const names = late.length > namesShown ? `${shown.join(', ')} and ${late.length - namesShown} more` : shown.join();
    if (before === names) return;
    this.#reported.set(topic.name, names);
    const what = describeWaiting(log, topic, first.module, first.queue);
    const reason = `events have waited for ${names} for up to ${spanText(first.waitedMs)}: ${what}`;
    notices.tell({ type: 'state', part, ok: false, ready: true, reason });
  }
}
