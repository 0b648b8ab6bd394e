/** Reports what an instance knows of one message: as a job in memory, as a request, or as one that ended lately. */
import type { EndedMessage, RecentlyEnded } from '../delivery/recently-ended';
import type { HeldMessage, Skipped } from '../work/held-message';
import type { QueueConsumer } from '../work/types';
import {
  isOfOperator,
  pendingRequest,
  runningRequest,
  waitingRequest,
  type ActivityParts,
  type PendingRequest,
  type RunningHandler,
  type WaitingRequest,
} from './self-activity';

/** Everything that an instance knows of the messages whose id begins with a text. */
export interface KnownMessage {
  /** Jobs and events in memory that are not settled. */
  readonly held: readonly HeldInQueue[];
  /** Requests that run here. */
  readonly running: readonly RunningHandler[];
  /** Requests that wait here for a handler. */
  readonly waiting: readonly WaitingRequest[];
  /** Requests of this instance that have no reply yet. */
  readonly pending: readonly PendingRequest[];
  /** Messages that ended here lately. */
  readonly ended: readonly EndedMessage[];
}
/** A message in memory, and the queue that it belongs to. */
export interface HeldInQueue extends HeldMessage {
  readonly queue: string;
}

/** Dependencies of {@link knownMessage}. */
export interface MessageParts extends Pick<ActivityParts, 'answerer' | 'caller' | 'now' | 'mono'> {
  readonly consumers: () => Iterable<Pick<QueueConsumer, 'held' | 'skip'> & { readonly name: string }>;
  readonly ended: Pick<RecentlyEnded, 'find'>;
}

/** Maximum number of messages of each kind, since one character is the beginning of many ids. */
const listedMax = 20;

export function knownMessage(parts: MessageParts, idStart: string): KnownMessage {
  const isMeant = (id: string, entry: string): boolean => id.startsWith(idStart) && !isOfOperator(entry);
  const nowMs = parts.now();
  const monoMs = parts.mono();
  const active = [...parts.answerer.active()].filter(({ envelope: { id, entry } }) => isMeant(id, entry));
  const calls = [...parts.caller.open()].filter(({ id, entry }) => isMeant(id, entry.name));
  const held = [...parts.consumers()].flatMap((one) =>
    one.held(idStart).map((found): HeldInQueue => ({ ...found, queue: one.name })),
  );
  return {
    held: held.slice(0, listedMax),
    running: some(active.filter(({ state }) => state === 'running')).map((one) => runningRequest(one, nowMs)),
    waiting: some(active.filter(({ state }) => state === 'waiting')).map((one) => waitingRequest(one, nowMs)),
    pending: some(calls).map((call) => pendingRequest(call, monoMs)),
    ended: some(parts.ended.find(idStart).filter(({ id, entry }) => isMeant(id, entry))),
  };
}

/** A request to skip messages of a queue. */
export interface SkipRequest {
  readonly queue: string;
  readonly ids: readonly string[];
  readonly reason: string;
}

/** Skips messages of a queue. Returns the state of each in this instance. */
export function skipMessages(
  { consumers }: Pick<MessageParts, 'consumers'>,
  { queue, ids, reason }: SkipRequest,
): readonly Skipped[] {
  return [...consumers()].filter(({ name }) => name === queue).flatMap((one) => one.skip(ids, reason));
}

const some = <T>(all: readonly T[]): readonly T[] => all.slice(0, listedMax);
