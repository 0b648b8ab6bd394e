/** Typed stream of events inside the bus. Logs and metrics are listeners of it; no other code logs or counts. */
import { EventEmitter } from 'eventemitter3';
import type { Clock, Timer } from './clock';
import { errorMessage } from './errors';
import { namedParts, type StatePart } from './parts';

/** Fields of every notice about a message. */
interface About {
  readonly entry: string;
  readonly id: string;
}
/** Event inside the bus, emitted to the listeners of `bus.watch`. */
export type Notice =
  | ({ readonly type: 'sent'; readonly kind: string } & About)
  | ({ readonly type: 'received'; readonly kind: string } & About)
  /** One attempt of a handler ended. */
  | ({
      readonly type: 'handled';
      readonly kind: string;
      readonly attempt: number;
      readonly tookMs: number;
      /** Time from the acceptance of the message to this attempt, if it is the first one. */
      readonly waitedMs?: number;
      readonly outcome: 'done' | 'failed' | 'failure' | 'parked';
      readonly error?: string;
      /** Thrown value with its stack, for the log of this process. It is never sent. */
      readonly thrown?: unknown;
      /** True if a 'retried' or 'parked' notice reports the next step. None follows if the partition is lost before. */
      readonly durable?: boolean;
    } & About)
  /** A request ended at its caller. `outcome` is 'ok' or the code of the error. */
  | ({ readonly type: 'answered'; readonly outcome: string; readonly tookMs: number } & About)
  | ({
      readonly type: 'retried';
      readonly attempt: number;
      readonly delayMs: number;
      readonly error: string;
      /** Thrown value with its stack. It is never sent. */
      readonly thrown?: unknown;
    } & About)
  | ({
      readonly type: 'parked';
      readonly queue: string;
      readonly reason: string;
      readonly attempts: number;
      /** Thrown value of the last attempt, if one failed in this process. */
      readonly thrown?: unknown;
    } & About)
  /** A message or packet was not delivered. The bus drops nothing without this notice. */
  | {
      readonly type: 'dropped';
      readonly what: string;
      readonly reason: string;
      readonly entry?: string;
      readonly id?: string;
    }
  | {
      readonly type: 'partition';
      readonly queue: string;
      readonly partition: number;
      readonly change: 'taken' | 'given' | 'lost';
      /** Reason for the loss. */
      readonly reason?: string;
      /** Further partitions lost within the same second. They have no notice of their own. */
      readonly also?: readonly { readonly queue: string; readonly partition: number }[];
    }
  | { readonly type: 'stuck'; readonly queue: string; readonly partition: number; readonly reason: string }
  | { readonly type: 'instance'; readonly instance: string; readonly change: 'up' | 'gone' }
  /**
   * A setting was applied, refused or removed. `value` is the value now in effect, if known; settings contain no
   * secrets. After a removal it is the configured value.
   */
  | {
      readonly type: 'setting';
      readonly key: string;
      readonly change: 'applied' | 'refused' | 'removed';
      readonly value?: string;
      readonly reason?: string;
    }
  | {
      readonly type: 'state';
      readonly part: StatePart;
      readonly ok: boolean;
      readonly reason: string;
      /** Set only with `ok: false`: nothing in this process can repair the part, so `health().live` is false. */
      readonly final?: boolean;
      /** Set only with `ok: false`: the instance accepts work as before, so it stays ready. Health lists the reason. */
      readonly ready?: boolean;
      /** Further parts of its kind with the same state within the same second. They have no notice of their own. */
      readonly also?: readonly { readonly part: StatePart; readonly reason: string }[];
    }
  | {
      readonly type: 'log';
      readonly level: LogLevel;
      readonly message: string;
      readonly fields: Readonly<Record<string, unknown>>;
    };
/** Level of a log line. */
export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

type State = Extract<Notice, { type: 'state' }>;
type Partition = Extract<Notice, { type: 'partition' }>;

/**
 * Stream to which the parts of a bus emit notices. Watchers are called synchronously and must return quickly. The error
 * of a watcher is reported to the other watchers once; the part that emits does not receive it.
 */
export interface Notices {
  /** Emits a notice. */
  emit(notice: Notice): void;
  /** Calls `listener` with each notice. Returns a function that ends that. */
  watch(listener: (notice: Notice) => void): () => void;
  /**
   * Calls `listener` with notices of type 'state' only, and immediately with the state of each part that is failing. It
   * does not count for {@link Notices.watched}. Returns a function that ends that.
   */
  watchStates(listener: (notice: State) => void): () => void;
  /**
   * Calls `listener` with every notice that is emitted. It does not count for {@link Notices.watched}: without another
   * watcher it receives failures, changes and the lines of handlers, and nothing about messages that succeed. Returns a
   * function that ends that.
   */
  watchFailures(listener: (notice: Notice) => void): () => void;
  /**
   * True if a watcher of all notices is registered. Notices of each message, which are costly to create, are created
   * only then.
   */
  readonly watched: boolean;
  /** Emits the collected notices immediately. */
  flush(): void;
}

/**
 * Time for which changes of one kind are collected into one notice, from the first one on, in ms. A lost session, for
 * example, loses all of its partitions at the same time.
 */
const collectMs = 1_000;

/**
 * Creates the stream. With a clock, changes of one kind are combined for watchers. Watchers of states receive each of
 * them.
 */
export function openNotices(clock?: Clock): Notices {
  const emitter = new EventEmitter<{ notice: [Notice]; failure: [Notice]; state: [State] }>();
  /** Failing parts. A part that opens before the bus can fail before a watcher is registered. */
  const broken = new Map<StatePart, State>();
  function reportState(notice: State): void {
    if (notice.ok) broken.delete(notice.part);
    else broken.set(notice.part, notice);
    emitter.emit('state', notice);
  }
  let collected = new Map<string, (State | Partition)[]>();
  let timer: Timer | undefined;
  function collect(on: Clock, key: string, notice: State | Partition): void {
    // Flush first, so that watchers receive the changes of one part in their order.
    if (notice.type === 'state' && hasOpposite(collected, notice)) flush();
    const same = collected.get(key);
    if (same) same.push(notice);
    else collected.set(key, [notice]);
    timer ??= on.after(collectMs, flush);
  }
  function flush(): void {
    timer?.cancel();
    timer = undefined;
    const before = collected;
    collected = new Map();
    for (const same of before.values()) report(asOne(same));
  }
  function emit(notice: Notice): void {
    if (notice.type === 'state') reportState(notice);
    if (emitter.listenerCount('notice') + emitter.listenerCount('failure') === 0) return;
    const key = clock && keyOf(notice);
    // `keyOf` returns a key for these two types only.
    if (clock && key !== undefined) collect(clock, key, notice as State | Partition);
    else report(notice);
  }
  function report(notice: Notice): void {
    emitter.emit('notice', notice);
    emitter.emit('failure', notice);
  }
  /**
   * Catches the errors of a watcher. Otherwise an error of the application would interrupt the bus, for example while
   * it reads.
   */
  function guarded(listener: (notice: Notice) => void): (notice: Notice) => void {
    let isReported = false;
    return (notice) => {
      try {
        listener(notice);
      } catch (error) {
        if (isReported) return;
        isReported = true;
        const fields = { reason: errorMessage(error) };
        emit({ type: 'log', level: 'error', message: 'a listener of notices threw', fields });
      }
    };
  }
  function watching(event: 'notice' | 'failure', listener: (notice: Notice) => void): () => void {
    const safe = guarded(listener);
    emitter.on(event, safe);
    return () => void emitter.off(event, safe);
  }
  return {
    emit,
    flush,
    watch: (listener) => watching('notice', listener),
    watchFailures: (listener) => watching('failure', listener),
    watchStates(listener) {
      for (const notice of broken.values()) listener(notice);
      emitter.on('state', listener);
      return () => void emitter.off('state', listener);
    },
    get watched() {
      return emitter.listenerCount('notice') > 0;
    },
  };
}

/** Returns the key of notices that can be combined, or undefined for a notice that stays separate. */
function keyOf(notice: Notice): string | undefined {
  if (notice.type === 'partition') return notice.change === 'lost' ? 'lost' : undefined;
  if (notice.type !== 'state') return undefined;
  const { part, ok, final, ready } = notice;
  const kind = Object.keys(namedParts).find((name) => part.startsWith(`${name} `));
  return kind && `${kind} ${ok} ${final} ${ready}`;
}
function hasOpposite(collected: ReadonlyMap<string, readonly (State | Partition)[]>, { part, ok }: State): boolean {
  return [...collected.values()].some((same) =>
    same.some((one) => one.type === 'state' && one.part === part && one.ok !== ok),
  );
}
function asOne([first, ...others]: readonly (State | Partition)[]): Notice {
  if (!first) throw new TypeError('nothing was collected'); // a list begins with its first notice
  if (others.length === 0) return first;
  if (first.type === 'partition') {
    const also = others.flatMap((one) =>
      one.type === 'partition' ? [{ queue: one.queue, partition: one.partition }] : [],
    );
    return { ...first, also };
  }
  const also = new Map<StatePart, string>();
  for (const one of others) if (one.type === 'state' && one.part !== first.part) also.set(one.part, one.reason);
  return also.size === 0 ? first : { ...first, also: [...also].map(([part, reason]) => ({ part, reason })) };
}

/** Reports of parts about their state: one notice for each change. */
export interface States {
  /** Emits a notice, unless the same part failed for the same reason before. */
  fails(part: StatePart, reason: string, more?: Pick<State, 'final' | 'ready'>): void;
  /** Emits a notice if the part failed before. */
  works(part: StatePart, reason: string): void;
}
export function openStates(notices: Pick<Notices, 'emit'>): States {
  const failing = new Map<StatePart, string>();
  return {
    fails(part, reason, more = {}) {
      if (failing.get(part) === reason) return;
      failing.set(part, reason);
      notices.emit({ type: 'state', part, ok: false, reason, ...more });
    },
    works(part, reason) {
      if (failing.delete(part)) notices.emit({ type: 'state', part, ok: true, reason });
    },
  };
}
