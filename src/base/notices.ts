/** One typed stream of what happens inside; logs and metrics are listeners to it, and nothing else logs or counts. */
import { EventEmitter } from 'eventemitter3';
import type { Clock, Timer } from './clock';
import { sayError } from './errors';
import { namedParts, type StatePart } from './parts';

/** What every notice about a message carries. */
interface About {
  readonly entry: string;
  readonly id: string;
}
export type Notice =
  | ({ readonly type: 'sent'; readonly kind: string } & About)
  | ({ readonly type: 'received'; readonly kind: string } & About)
  /** One attempt of a handler ended. */
  | ({
      readonly type: 'handled';
      readonly kind: string;
      readonly attempt: number;
      readonly tookMs: number;
      readonly outcome: 'done' | 'failed' | 'failure' | 'parked';
      readonly error?: string;
      /** What was thrown, with its stack, for the log of this process; never sent. */
      readonly thrown?: unknown;
      /** 'retried' or 'parked' will say what becomes of it, unless the partition is lost before. */
      readonly durable?: boolean;
    } & About)
  /** The caller's view of a request; `outcome` is 'ok' or the code of the error. */
  | ({ readonly type: 'answered'; readonly outcome: string; readonly tookMs: number } & About)
  | ({
      readonly type: 'retried';
      readonly attempt: number;
      readonly delayMs: number;
      readonly error: string;
      /** As above. */
      readonly thrown?: unknown;
    } & About)
  | ({
      readonly type: 'parked';
      readonly queue: string;
      readonly reason: string;
      readonly attempts: number;
      /** Of the last attempt, where one failed here. */
      readonly thrown?: unknown;
    } & About)
  /** Something was not delivered; nothing is ever dropped without one of these. */
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
      /** Why it was lost. */
      readonly reason?: string;
      /** Others that were lost in the same second; only this one has a notice. */
      readonly also?: readonly { readonly queue: string; readonly partition: number }[];
    }
  | { readonly type: 'stuck'; readonly queue: string; readonly partition: number; readonly reason: string }
  | { readonly type: 'instance'; readonly instance: string; readonly change: 'up' | 'gone' }
  /** `value` is what holds now, where it is known: settings say nothing secret. Removed: it is as configured again. */
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
      /** Only with `ok: false`: nothing in this process can repair it, so health is not live. */
      readonly final?: boolean;
      /** Only with `ok: false`: the instance takes work as before, so health gives the reason and stays ready. */
      readonly ready?: boolean;
      /** Other parts of its kind for which the same is true since the same second; only this one has a notice. */
      readonly also?: readonly { readonly part: StatePart; readonly reason: string }[];
    }
  | {
      readonly type: 'log';
      readonly level: LogLevel;
      readonly message: string;
      readonly fields: Readonly<Record<string, unknown>>;
    };
export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

type State = Extract<Notice, { type: 'state' }>;
type Partition = Extract<Notice, { type: 'partition' }>;

/**
 * Where the parts of a bus tell. A watcher must be quick. What it throws is reported to the other watchers, once, and
 * does not reach the part that tells.
 */
export interface Notices {
  tell(notice: Notice): void;
  /** Calls `hear` for each notice until the function given back is called. */
  watch(hear: (notice: Notice) => void): () => void;
  /**
   * Calls `hear` for notices of the type 'state' alone, at once for each part that does not work now; does not count as
   * watching.
   */
  watchStates(hear: (notice: State) => void): () => void;
  /** Whether anybody watches: what costs to describe is described only then. */
  readonly watched: boolean;
  /** Emits at once what is still being collected. */
  flush(): void;
}

/**
 * A change that many parts of one kind go through at the same time is one notice, as when a session is lost with all of
 * its partitions: what comes within this time of the first one is collected.
 */
const collectMs = 1_000;

/** With a clock, changes of one kind are collected for those who watch. Those who watch states get each of them. */
export function openNotices(clock?: Clock): Notices {
  const emitter = new EventEmitter<{ notice: [Notice]; state: [State] }>();
  /** By part: what is open before the bus may be in trouble before anybody watches. */
  const broken = new Map<StatePart, State>();
  function tellState(notice: State): void {
    if (notice.ok) broken.delete(notice.part);
    else broken.set(notice.part, notice);
    emitter.emit('state', notice);
  }
  let collected = new Map<string, (State | Partition)[]>();
  let timer: Timer | undefined;
  function collect(on: Clock, key: string, notice: State | Partition): void {
    // Of one part, the order of its changes is kept.
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
    for (const same of before.values()) emitter.emit('notice', asOne(same));
  }
  function tell(notice: Notice): void {
    if (notice.type === 'state') tellState(notice);
    if (emitter.listenerCount('notice') === 0) return;
    const key = clock && keyOf(notice);
    // What `keyOf` has a key for is of these two types.
    if (clock && key !== undefined) collect(clock, key, notice as State | Partition);
    else emitter.emit('notice', notice);
  }
  /** An application's watcher that throws would otherwise end what the bus does at that moment, such as reading. */
  function guarded(hear: (notice: Notice) => void): (notice: Notice) => void {
    let isReported = false;
    return (notice) => {
      try {
        hear(notice);
      } catch (error) {
        if (isReported) return;
        isReported = true;
        const fields = { reason: sayError(error) };
        tell({ type: 'log', level: 'error', message: 'a watcher of notices threw', fields });
      }
    };
  }
  return {
    tell,
    flush,
    watch(hear) {
      const safe = guarded(hear);
      emitter.on('notice', safe);
      return () => void emitter.off('notice', safe);
    },
    watchStates(hear) {
      for (const notice of broken.values()) hear(notice);
      emitter.on('state', hear);
      return () => void emitter.off('state', hear);
    },
    get watched() {
      return emitter.listenerCount('notice') > 0;
    },
  };
}

/** What may be one notice; undefined for a notice of its own. */
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
  if (!first) throw new TypeError('nothing was collected'); // a list begins with its first one
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

/** Reports of parts whether they work: one notice for each change. */
export interface States {
  /** A notice unless the same part failed for the same reason before. */
  fails(part: StatePart, reason: string, more?: Pick<State, 'final' | 'ready'>): void;
  /** A notice if the part failed before. */
  works(part: StatePart, reason: string): void;
}
export function openStates(notices: Pick<Notices, 'tell'>): States {
  const failing = new Map<StatePart, string>();
  return {
    fails(part, reason, more = {}) {
      if (failing.get(part) === reason) return;
      failing.set(part, reason);
      notices.tell({ type: 'state', part, ok: false, reason, ...more });
    },
    works(part, reason) {
      if (failing.delete(part)) notices.tell({ type: 'state', part, ok: true, reason });
    },
  };
}
