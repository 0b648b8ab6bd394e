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
  for await (const [letter, backlog] of readUnsettled(parts, backlogs, budgetFor(parts))) {
    const behind = letter.key === null ? undefined : before.get(letter.key);
    if (letter.key !== null && before.size < keysMax) before.set(letter.key, letter.id);
    if (fits(letter, filter)) yield waitingView(letter, backlog, doing, behind ?? null);
  }
}

export function waitingView(
  letter: DecodedMessage,
  backlog: Backlog,
  { running, isUnserved }: Doing,
  behind: string | null,
): WaitingView {
  const { partition, offset } = letter.record;
  const now = running.find((one) => one.id === letter.id && one.partition === partition && one.offset === offset);
  const tried = backlog.tried.get(offset);
  const attempts = now ? now.attempt - 1 : (tried?.attempts ?? 0);
  return {
    ...viewOf(letter),
    state: now ? 'running' : attempts > 0 ? 'in backoff' : 'waiting',
    attempts,
    on: now?.on ?? null,
    note: now?.note ?? '',
    unserved: !now && isUnserved(letter.entry),
    behind,
  };
}
