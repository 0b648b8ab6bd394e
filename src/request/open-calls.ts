/** Holds the requests without a reply. Each ends once: with its reply, an error, its deadline, or an abort. */
import { Capacity } from '../base/bounded';
import { tookMs, type Clock } from '../base/clock';
import type { BusError } from '../base/errors';
import { onAbort } from '../base/lifecycle';
import { limits } from '../base/limits';
import type { Notices } from '../base/notices';
import type { Messenger } from '../ports/messenger';
import { cancelled, timedOut, unreachable } from './call-errors';
import type { RecentlyEnded } from '../delivery/recently-ended';
import type { OpenCall } from './open-call';
import type { Peers } from './peers';

export interface OpenCallsParts {
  readonly clock: Clock;
  readonly notices: Notices;
  readonly messenger: Pick<Messenger, 'whyDelayed'>;
  readonly peers: Pick<Peers<OpenCall>, 'release'>;
  /** Notifies the instance that has the request that the caller aborted it. */
  readonly cancel: (call: OpenCall) => void;
  /** Remembers the requests that ended. */
  readonly ended?: Pick<RecentlyEnded, 'add'> | undefined;
}
export interface OpenCalls {
  readonly byId: ReadonlyMap<string, OpenCall>;
  /** Throws Overloaded if too many requests, or too many bytes of them, have no reply. */
  mustFit(entry: string, bytes: number): void;
  /** Adds a call, and ends it at its deadline or when its signal aborts. A call for which that is past ends here. */
  add(call: OpenCall): void;
  /** Ends a call with the value of its reply. A call that has ended stays as it is. */
  resolve(call: OpenCall, value: unknown): void;
  /** Ends a call with an error. A call that has ended stays as it is. */
  readonly settle: (call: OpenCall, error: unknown) => void;
}

const retryAfterMs = 100;

export function createOpenCalls(parts: OpenCallsParts): OpenCalls {
  const { clock, notices, messenger, peers } = parts;
  const byId = new Map<string, OpenCall>();
  /** Bodies are kept until the reply arrives, since a request can have to be sent again. */
  const capacity = new Capacity({ count: limits.pendingRequestsMax, bytes: limits.pendingBytesMax });

  /**
   * Returns the error of a call whose deadline passed. If an earlier instance can have handled the request, its error
   * is returned, unless another instance has started the request since. If the request is not confirmed as received and
   * the transport reports a failure, that failure is the cause.
   */
  function tooLate(call: OpenCall): BusError {
    const isStarted = call.reached === 'running' || call.reached === 'answered';
    if (call.refusal && call.mayBeDone && !isStarted) return call.refusal;
    const failure = call.reached === 'sent' && call.target && messenger.whyDelayed?.(call.target.instance.address);
    return failure ? unreachable(call, clock, failure) : timedOut(call);
  }
  function takeBack(call: OpenCall): void {
    if (call.settled) return;
    parts.cancel(call);
    settle(call, cancelled(call));
  }
  function settle(call: OpenCall, error: unknown): void {
    if (!finish(call)) return;
    reportEnd(call, outcomeOf(error));
    call.reject(error);
  }
  function finish(call: OpenCall): boolean {
    if (call.settled) return false;
    call.settled = true;
    byId.delete(call.id);
    capacity.remove(call.body.length);
    call.target?.ended(call, call.isAnswered);
    if (call.target) peers.release(call.target);
    call.stopWaiting?.();
    call.deadlineTimer?.cancel();
    call.ignoreAbort?.();
    return true;
  }
  function reportEnd(call: OpenCall, outcome: string): void {
    const peer = call.target?.instance.name ?? null;
    const { id, entry, startedMs } = call;
    const atMs = clock.now();
    parts.ended?.add({
      kind: 'call',
      id,
      entry: entry.name,
      outcome,
      peer,
      atMs,
      tookMs: Math.max(0, atMs - startedMs),
    });
    if (!notices.watched) return;
    const took = tookMs(clock, call.begunMs);
    notices.emit({ type: 'answered', entry: call.entry.name, id: call.id, outcome, tookMs: took });
  }

  return {
    byId,
    mustFit(entry, bytes) {
      if (!capacity.fits(bytes)) throw capacity.overloaded(entry, 'requests without an answer', retryAfterMs);
    },
    add(call) {
      const leftMs = call.leftMs(clock);
      const { signal } = call.options;
      byId.set(call.id, call);
      capacity.add(call.body.length);
      if (signal?.aborted) return settle(call, cancelled(call));
      if (leftMs <= 0) return settle(call, timedOut(call));
      if (leftMs !== Infinity) call.deadlineTimer = clock.after(leftMs, () => settle(call, tooLate(call)));
      if (signal) call.ignoreAbort = onAbort(signal, () => takeBack(call));
    },
    resolve(call, value) {
      if (!finish(call)) return;
      reportEnd(call, 'ok');
      call.resolve(value);
    },
    settle,
  };
}

function outcomeOf(error: unknown): string {
  // Failure and BusError both carry a code. Any other error is a fault of a schema.
  return error instanceof Error && 'code' in error ? String(error.code) : 'HandlerFailed';
}
