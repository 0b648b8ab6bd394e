/** Finds messages in the memory of a consumer by their id, with their attempts and the message that they wait for. */
import type { Message } from '../message';
import type { HeldMessage } from '../held-message';
import type { Waiting } from './lane';

/** Maximum number of messages that are returned for one beginning of an id. */
const foundMax = 20;
/** Failed attempts that are returned of each message. The oldest are left out. */
const failuresShown = 8;

/** Unsettled messages of a consumer, and what describes them. */
export interface HeldParts {
  readonly running: Iterable<Message>;
  readonly waiting: Iterable<Waiting<Message>>;
  /** Time by the monotonic clock, in ms. */
  readonly monoMs: number;
  attemptsMax(message: Message): number;
  /** Returns the concurrency limit of an entry; undefined for an entry that the consumer does not know. */
  concurrencyOf(entry: string): number | undefined;
}

/** A message in memory. `dueMs` is the time of its next attempt, by the monotonic clock. */
interface Found {
  readonly message: Message;
  readonly state: HeldMessage['state'];
  readonly dueMs: number | null;
  /** True when later messages of its key wait for it. */
  readonly holds: boolean;
}

/** Returns the messages whose id begins with `idStart`, at most 20. It visits every message in memory. */
export function findHeld(parts: HeldParts, idStart: string): readonly HeldMessage[] {
  const all: Found[] = [];
  for (const message of parts.running)
    all.push({ message, state: message.context ? 'running' : 'ending', dueMs: null, holds: true });
  for (const { item, dueMs, holds } of parts.waiting)
    all.push({ message: item, state: dueMs === null ? 'waiting' : 'backoff', dueMs, holds });
  const found = all.filter(({ message }) => message.id.startsWith(idStart)).slice(0, foundMax);
  return found.map((one) => describe(parts, one, laneOf(all, one)));
}

/** Returns the messages of the same key, in the order of handling. */
function laneOf(all: readonly Found[], one: Found): readonly Found[] {
  const { lane, partition } = one.message;
  if (lane === null) return [one];
  const same = all.filter(({ message }) => message.lane === lane && message.partition === partition);
  return same.toSorted((a, b) => rank(a) - rank(b));
}
/** Sorts messages that hold their lane before those that wait. Waiting ones are in the order of their lane already. */
function rank({ state }: Found): number {
  return state === 'waiting' ? 1 : 0;
}

function describe(parts: HeldParts, one: Found, lane: readonly Found[]): HeldMessage {
  const { message, state, dueMs, holds } = one;
  const { id, entry, lane: key, partition, offset, attempts, context, sinceMs } = message;
  const place = lane.indexOf(one);
  const before = lane.slice(0, place).filter((other) => other.holds);
  const [ahead] = state === 'waiting' ? before : [];
  return {
    id,
    entry,
    key,
    partition,
    offset,
    state,
    attempts,
    attemptsMax: parts.attemptsMax(message),
    sinceMs: state === 'running' ? sinceMs : null,
    dueInMs: dueMs === null ? null : Math.max(0, dueMs - parts.monoMs),
    note: context?.note ?? '',
    failures: message.failures.slice(-failuresShown).map(({ stack: _stack, ...failure }) => failure),
    heldBy: heldBy(parts, one, ahead !== undefined),
    ahead: ahead
      ? {
          id: ahead.message.id,
          state: ahead.state,
          sinceMs: ahead.state === 'running' ? ahead.message.sinceMs : null,
        }
      : null,
    aheadCount: ahead ? before.length : 0,
    behindCount: holds ? lane.length - place - 1 : 0,
  };
}

function heldBy(parts: HeldParts, { message, state }: Found, isBehind: boolean): HeldMessage['heldBy'] {
  if (state !== 'waiting') return null;
  if (isBehind) return 'key';
  const concurrency = parts.concurrencyOf(message.entry);
  if (concurrency === undefined) return 'unknown entry';
  return concurrency === 0 ? 'paused' : 'limits';
}
