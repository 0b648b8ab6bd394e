/** One typed stream of what happens inside; logs and metrics are listeners to it, and nothing else logs or counts. */
import { EventEmitter } from 'eventemitter3';
import { sayError } from './errors';
import type { StatePart } from './parts';

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
    }
  | {
      readonly type: 'log';
      readonly level: LogLevel;
      readonly message: string;
      readonly fields: Readonly<Record<string, unknown>>;
    };
export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

type State = Extract<Notice, { type: 'state' }>;

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
}

export function openNotices(): Notices {
  const emitter = new EventEmitter<{ notice: [Notice]; state: [State] }>();
  /** By part: what is open before the bus may be in trouble before anybody watches. */
  const broken = new Map<StatePart, State>();
  function tellState(notice: State): void {
    if (notice.ok) broken.delete(notice.part);
    else broken.set(notice.part, notice);
    emitter.emit('state', notice);
  }
  function tell(notice: Notice): void {
    if (notice.type === 'state') tellState(notice);
    emitter.emit('notice', notice);
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
