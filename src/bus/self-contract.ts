/** Contract `busbar`, which every instance serves: its status, and the check of a body against an entry's schema. */
import { isBusError, errorMessage, type Issue } from '../base/errors';
import { check } from '../contract/check';
import { defineModule, request, unchecked } from '../contract/contract';
import type { AnyEntry } from '../contract/types';
import type { Counters, EntryCounts } from '../delivery/counters';
import type { Handlers } from '../delivery/handler';
import type { HandlerLimits } from '../delivery/limiter';
import type { Outgoing, OutgoingCounts } from '../delivery/outgoing';
import type { Active, Answerer } from '../request/answerer';
import type { Caller } from '../request/caller';
import type { Skipped } from '../work/held-message';
import type { QueueStats } from '../work/types';
import { activityOf, type Activity } from './self-activity';
import { knownMessage, skipMessages, type KnownMessage, type MessageParts, type SkipRequest } from './self-message';
import { describeContracts, type ContractAnswer } from './self-described';
import type { Health } from './types';

/** Status of an instance. Times are in ms since 1970, ages in ms. */
export interface InstanceStatus {
  readonly instance: string;
  readonly version: string;
  readonly sinceMs: number;
  readonly health: Health;
  readonly rssBytes: number;
  readonly queues: readonly ({ readonly queue: string } & QueueStats)[];
  /** Requests in this instance that wait for a handler or have one. */
  readonly requests: readonly RequestStatus[];
  /** Requests of this instance that have no reply yet. */
  readonly pending: readonly PendingStatus[];
  /**
   * Messages of the last minute that this instance received, by entry, and the times of its handlers. Instances of
   * earlier versions do not report these and the fields below.
   */
  readonly entries?: readonly EntryCounts[];
  /** Messages of the last minute that this instance sent, by entry and outcome. */
  readonly outgoing?: readonly OutgoingCounts[];
  /** Handlers of the requests that this instance serves. */
  readonly limits?: readonly HandlerLimits[];
}
/** A request that this instance received. */
export interface RequestStatus {
  readonly id: string;
  readonly entry: string;
  readonly from: string;
  readonly state: 'waiting' | 'running';
  readonly ageMs: number;
  readonly note: string;
}
/** A request that this instance sent. */
export interface PendingStatus {
  readonly id: string;
  readonly entry: string;
  readonly to: string | null;
  readonly reached: string;
  readonly ageMs: number;
}
/**
 * Result of `check`. `entries` are the entries that the instance serves. `key` and `queue` are those that a sender
 * without the contract must use, null if there is none.
 */
export type CheckAnswer =
  | { readonly known: false; readonly entries: readonly string[] }
  | {
      readonly known: true;
      readonly kind: AnyEntry['kind'];
      readonly issues: readonly Issue[];
      readonly key: string | null;
      readonly queue: string | null;
    };

/** Has no schemas: both ends are busbar, and the core contains no schema library. */
export const selfContract = defineModule('busbar', {
  status: request(unchecked<undefined>(), unchecked<InstanceStatus>(), { timeoutMs: 2_000 }),
  check: request(unchecked<{ entry: string; body: unknown }>(), unchecked<CheckAnswer>(), { timeoutMs: 2_000 }),
  activity: request(unchecked<undefined>(), unchecked<Activity>(), { timeoutMs: 2_000 }),
  message: request(unchecked<{ id: string }>(), unchecked<KnownMessage>(), { timeoutMs: 2_000 }),
  skip: request(unchecked<SkipRequest>(), unchecked<readonly Skipped[]>(), { timeoutMs: 5_000 }),
  contract: request(unchecked<{ module: string }>(), unchecked<ContractAnswer>(), { timeoutMs: 2_000 }),
});

/** Dependencies of {@link selfHandlers}. */
export interface SelfParts extends Pick<MessageParts, 'consumers' | 'ended'> {
  readonly status: () => Omit<InstanceStatus, 'requests' | 'pending'>;
  readonly answerer: Answerer;
  readonly caller: Caller;
  readonly entries: ReadonlyMap<string, AnyEntry>;
  readonly counters: Pick<Counters, 'read'>;
  readonly outgoing: Pick<Outgoing, 'read' | 'entries'>;
  readonly now: () => number;
  /** Returns the time by the monotonic clock, in ms. */
  readonly mono: () => number;
}

/** Entries listed of each kind. A longer list could exceed the size limit of the reply. */
const listedMax = 1_000;

/** Returns the handlers of {@link selfContract}. */
export function selfHandlers(parts: SelfParts): Handlers<typeof selfContract> {
  return {
    status: () => ({
      ...parts.status(),
      requests: first(parts.answerer.active(), (one) => requestStatus(one, parts.now())),
      pending: first(parts.caller.open(), (call) => ({
        id: call.id,
        entry: call.entry.name,
        to: call.target?.instance.name ?? null,
        reached: call.reached,
        ageMs: parts.now() - call.startedMs,
      })),
      entries: parts.counters.read(),
      outgoing: parts.outgoing.read(),
      limits: parts.answerer.limits(),
    }),
    message: ({ id }) => knownMessage(parts, id),
    skip: (asked) => skipMessages(parts, asked),
    activity: () => activityOf({ ...parts, queues: () => parts.status().queues }),
    contract: ({ module }) => describeContracts(module, parts.entries.values(), parts.outgoing.entries()),
    async check({ entry, body }) {
      const found = parts.entries.get(entry);
      if (!found) return { known: false, entries: first(parts.entries.keys(), (name) => name) };
      const about = { known: true, kind: found.kind, queue: found.options.queue ?? null } as const;
      try {
        const checked = await check(found.schemas.input, body, 'input', entry);
        return { ...about, ...keyOf(found, checked) };
      } catch (error) {
        if (isBusError(error, 'Invalid')) return { ...about, issues: error.details.issues, key: null };
        throw error;
      }
    },
  };
}

function keyOf({ name, options }: AnyEntry, checked: unknown): { key: string | null; issues: Issue[] } {
  try {
    // `key` was declared for the body of this entry, which its schema has just returned.
    return { key: options.key?.(checked as never) ?? null, issues: [] };
  } catch (error) {
    return { key: null, issues: [{ message: `key of ${name} threw: ${errorMessage(error)}` }] };
  }
}

function requestStatus({ envelope, state, arrivedMs, context }: Active, nowMs: number): RequestStatus {
  const { id, entry, from } = envelope;
  return { id, entry, from, state, ageMs: nowMs - arrivedMs, note: context.note };
}
function first<A, B>(all: Iterable<A>, map: (one: A) => B): B[] {
  const list: B[] = [];
  for (const one of all) {
    if (list.length >= listedMax) break;
    list.push(map(one));
  }
  return list;
}
