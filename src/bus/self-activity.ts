/** Reports the current activity of an instance: handlers that run, and requests that wait or have no reply. */
import type { Active, Answerer } from '../request/answerer';
import type { Caller } from '../request/caller';
import type { OpenCall } from '../request/open-call';
import type { Running } from '../work/types';

/** The current activity of an instance. Durations are in ms, by the clock of the instance. */
export interface Activity {
  /** Handlers of jobs, of events of named listeners, and of requests. Longest first. */
  readonly running: Listed<RunningHandler>;
  /** Requests that wait in this instance for a handler. Longest first. */
  readonly waiting: Listed<WaitingRequest>;
  /** Requests of this instance that have no reply yet. Longest first. */
  readonly pending: Listed<PendingRequest>;
}
/** A list with a maximum length. `left` is the number of items that are left out. */
export interface Listed<T> {
  readonly items: readonly T[];
  readonly left: number;
}
/** A handler call that has not ended. */
export interface RunningHandler {
  readonly id: string;
  readonly entry: string;
  /** The queue of the message; null for a request. */
  readonly queue: string | null;
  readonly key: string | null;
  readonly attempt: number;
  /** Number of attempts after which the message is parked; null for a request. */
  readonly attemptsMax: number | null;
  /** Instance that sent the message; null if the record does not contain it. */
  readonly from: string | null;
  readonly forMs: number;
  /** Time until its deadline; null if it has none. */
  readonly leftMs: number | null;
  /** Last text that the handler passed to `progress`. */
  readonly note: string;
}
/** A request that no handler has started. */
export interface WaitingRequest {
  readonly id: string;
  readonly entry: string;
  readonly from: string;
  readonly forMs: number;
  readonly leftMs: number | null;
  /** Concurrency limit of the entry in this instance. 0: the entry is paused. */
  readonly concurrency: number;
}
/** A request that this instance sent. */
export interface PendingRequest {
  readonly id: string;
  readonly entry: string;
  /** The instance that has the request; null while the caller waits for an instance. */
  readonly to: string | null;
  /** Last state that the caller knows: not-sent, sent, waiting, running or answered. */
  readonly reached: string;
  readonly forMs: number;
  /** Time until the caller stops waiting; null if it waits without a limit. */
  readonly leftMs: number | null;
  /** The message that was being handled when the request was sent; null if there was none. */
  readonly cause: string | null;
  /** Message of the last refusal by an instance; null if there was none. */
  readonly refusal: string | null;
}

/** Dependencies of {@link activityOf}. */
export interface ActivityParts {
  /** Returns the queues of this instance, with the handlers that run. */
  readonly queues: () => readonly { readonly queue: string; readonly running: readonly Running[] }[];
  readonly answerer: Pick<Answerer, 'active'>;
  readonly caller: Pick<Caller, 'open'>;
  readonly now: () => number;
  /** Returns the time by the monotonic clock, in ms. */
  readonly mono: () => number;
}

/** Maximum items of each list. With cut texts, the whole reply then stays below 1 MB, the size limit of a message. */
const listedMax = 400;
/** Maximum characters of a key or of a refusal. */
const textCharsMax = 200;

export function activityOf(parts: ActivityParts): Activity {
  const nowMs = parts.now();
  const active = [...parts.answerer.active()].filter(({ envelope }) => !isOfOperator(envelope.entry));
  const calls = [...parts.caller.open()].filter(({ entry }) => !isOfOperator(entry.name));
  const jobs = parts.queues().flatMap(({ queue, running }) => running.map((one) => jobOf(queue, one, nowMs)));
  const requests = active.filter(({ state }) => state === 'running').map((one) => runningRequest(one, nowMs));
  const waiting = active.filter(({ state }) => state === 'waiting').map((one) => waitingRequest(one, nowMs));
  const monoMs = parts.mono();
  return {
    running: longest([...jobs, ...requests]),
    waiting: longest(waiting),
    pending: longest(calls.map((call) => pendingRequest(call, monoMs))),
  };
}

/** Returns true for the requests of operators, such as the one that this reply answers. */
export function isOfOperator(entry: string): boolean {
  return entry.startsWith('busbar.');
}

function jobOf(queue: string, one: Running, nowMs: number): RunningHandler {
  const { id, entry, key, attempt, attemptsMax = null, from = null, sinceMs, note } = one;
  const forMs = Math.max(0, nowMs - sinceMs);
  return { id, entry, queue, key: key && cut(key), attempt, attemptsMax, from, forMs, leftMs: null, note };
}

export function runningRequest(
  { envelope, context, startedMs, arrivedMs, facts }: Active,
  nowMs: number,
): RunningHandler {
  const { id, entry, from } = envelope;
  return {
    id,
    entry,
    queue: null,
    key: null,
    attempt: 1,
    attemptsMax: null,
    from,
    forMs: Math.max(0, nowMs - (startedMs ?? arrivedMs)),
    leftMs: left(facts.deadline - nowMs),
    note: context.note,
  };
}

export function waitingRequest({ envelope, arrivedMs, facts, line }: Active, nowMs: number): WaitingRequest {
  const { id, entry, from } = envelope;
  const { concurrency } = line.served.limiter;
  const forMs = Math.max(0, nowMs - arrivedMs);
  return { id, entry, from, forMs, leftMs: left(facts.deadline - nowMs), concurrency };
}

export function pendingRequest(call: OpenCall, monoMs: number): PendingRequest {
  const forMs = Math.max(0, monoMs - call.begunMs);
  return {
    id: call.id,
    entry: call.entry.name,
    to: call.target?.instance.name ?? null,
    reached: call.reached,
    forMs,
    leftMs: left(call.timeoutMs - forMs),
    cause: call.scope?.id ?? null,
    refusal: call.refusal ? cut(call.refusal.message) : null,
  };
}

/** Returns null instead of Infinity, because a caller without a limit has no deadline. */
function left(ms: number): number | null {
  return Number.isFinite(ms) ? Math.max(0, ms) : null;
}

function cut(text: string): string {
  return text.length <= textCharsMax ? text : `${text.slice(0, textCharsMax).toWellFormed()}…`;
}

function longest<T extends { readonly forMs: number }>(all: readonly T[]): Listed<T> {
  const items = all.toSorted((one, other) => other.forMs - one.forMs).slice(0, listedMax);
  return { items, left: all.length - items.length };
}
