/** Shows the messages that wait in a queue, and the reason for which each one waits. */
import { isWithin, type Backlog } from './backlog';
import { doingOf, type Doing } from './instances';
import { fits, readEnvelopeAndBody, viewOf, type DecodedMessage } from './message';
import { budgetFor, readUnsettled } from './queues';
import { StoppedEarly, type InspectorParts, type InstanceView, type MessageFilter, type WaitingView } from './types';

/**
 * Maximum number of keys that are remembered for `behind`, which bounds memory. Messages of further keys have no
 * `behind`.
 */
const keysMax = 100_000;

export async function* peekQueue(
  parts: InspectorParts,
  queue: string,
  backlogs: readonly Backlog[],
  instances: readonly InstanceView[],
  filter: MessageFilter,
): AsyncGenerator<WaitingView> {
  const doing = doingOf(queue, instances);
  const before = new Map<string, string>();
  for await (const [decoded, backlog] of readUnsettled(parts, backlogs, budgetFor(parts))) {
    const behind = decoded.key === null ? undefined : before.get(decoded.key);
    if (decoded.key !== null && before.size < keysMax) before.set(decoded.key, decoded.id);
    if (fits(decoded, filter)) yield waitingView(decoded, backlog, doing, behind ?? null);
  }
}

/** Records read at a time when the newest messages are shown. */
const newestChunk = 256;

/**
 * Yields the unsettled messages of a queue, newest first. It reads each partition backwards in chunks. `behind` is not
 * known, because earlier messages were not read.
 */
export async function* peekNewest(
  parts: InspectorParts,
  queue: string,
  backlogs: readonly Backlog[],
  instances: readonly InstanceView[],
  filter: MessageFilter,
): AsyncGenerator<WaitingView> {
  const doing = doingOf(queue, instances);
  const readers = backlogs.map((backlog) => backwards(parts, backlog));
  const heads = await Promise.all(readers.map(async (reader) => (await reader.next()).value ?? undefined));
  for (;;) {
    let at = -1;
    heads.forEach((head, i) => {
      if (head && head[0].record.timeMs >= (heads[at]?.[0].record.timeMs ?? -Infinity)) at = i;
    });
    const [head, reader] = [heads[at], readers[at]];
    if (!head || !reader) return;
    const [decoded, backlog] = head;
    if (fits(decoded, filter)) yield waitingView(decoded, backlog, doing, null);
    heads[at] = (await reader.next()).value ?? undefined;
  }
}

/** Yields the unsettled records of a partition, newest first. Throws StoppedEarly at the limit of records. */
async function* backwards(
  parts: InspectorParts,
  backlog: Backlog,
): AsyncGenerator<readonly [DecodedMessage, Backlog], undefined> {
  const { topic, partition, from, end, source } = backlog;
  const budget = budgetFor(parts);
  for (let to = end; to > from;) {
    const offset = Math.max(from, to - newestChunk);
    const found: DecodedMessage[] = [];
    for (let next = offset; next < to;) {
      if (budget.left <= 0) throw new StoppedEarly(budget.of);
      const max = { messages: to - next, bytes: 1024 * 1024 };
      const records = await parts.log.peek(topic, { partition, offset: next }, max);
      budget.left -= Math.max(1, records.length);
      for (const record of records) {
        if (record.offset >= to || !isWithin(backlog, record.offset)) continue;
        const decoded = readEnvelopeAndBody(topic, record);
        if (source.entry === null || source.entry === decoded.entry) found.push(decoded);
      }
      next = (records.at(-1)?.offset ?? to) + 1;
    }
    for (const decoded of found.toReversed()) yield [decoded, backlog];
    to = offset;
  }
  return undefined;
}

export function waitingView(
  decoded: DecodedMessage,
  backlog: Backlog,
  { running, isUnserved }: Doing,
  behind: string | null,
): WaitingView {
  const { partition, offset } = decoded.record;
  const now = running.find((one) => one.id === decoded.id && one.partition === partition && one.offset === offset);
  const tried = backlog.tried.get(offset);
  const attempts = now ? now.attempt - 1 : (tried?.attempts ?? 0);
  return {
    ...viewOf(decoded),
    state: now ? 'running' : attempts > 0 ? 'in backoff' : 'waiting',
    attempts,
    on: now?.on ?? null,
    note: now?.note ?? '',
    unserved: !now && isUnserved(decoded.entry),
    behind,
  };
}
