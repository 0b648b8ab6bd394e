/** Shows the messages that wait in a queue, and the reason for which each one waits. */
import type { Backlog } from './backlog';
import { doingOf, type Doing } from './instances';
import { fits, viewOf, type DecodedMessage } from './message';
import { budgetFor, readUnsettled } from './queues';
import type { InspectorParts, InstanceView, MessageFilter, WaitingView } from './types';

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
