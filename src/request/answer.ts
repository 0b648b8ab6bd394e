/** The responder's side of requests: starts each once, within its limits, and answers. */
import type { Timer } from '../base/clock';
import { BusError, Failure, isBusError, sayError, type BusCode, type BusDetails } from '../base/errors';
import { deferred } from '../base/lifecycle';
import { limits } from '../base/limits';
import type { Request } from '../contract/types';
import { DeliveryContext, type Facts } from '../delivery/context';
import { deliver, type DeliverParts, type Outcome, type Run } from '../delivery/deliver';
import type { Pace, PaceLimits } from '../delivery/pace';
import { peerOf } from '../delivery/peer';
import { createSeen } from '../delivery/seen';
import { decodeBody } from '../format/codec';
import { printEnvelope, type Envelope } from '../format/envelope';
import type { Post } from '../ports/post';
import { errorReply, replyOf, type Reply } from './outcome';

export interface AnswererParts extends DeliverParts {
  readonly post: Post;
  readonly self: string;
  readonly messageBytesMax: number;
}
/** One request entry as it is served here. */
export interface ServedRequest {
  readonly entry: Request;
  readonly run: Run;
  readonly pace: Pace;
}
export interface Answerer {
  add(served: ServedRequest): void;
  remove(entry: string): void;
  /** Takes effect with the next request that starts. */
  setLimits(entry: string, limits: PaceLimits): void;
  request(envelope: Envelope, body: Uint8Array, from: string): void;
  cancel(envelope: Envelope): void;
  probe(envelope: Envelope, from: string): void;
  /** Its process seems to be dead: what runs for it is told to stop, what waits is not started. */
  gone(address: string): void;
  /** Requests that wait or run here, for operators. */
  active(): Iterable<Active>;
  /** Whether a handler runs: those that wait may not start now. */
  readonly busy: boolean;
  /**
   * Starts nothing more and answers what waits 'not started'; resolves when nothing runs, at the latest after
   * `drainMs`.
   */
  drain(drainMs: number): Promise<void>;
}

/** A request that waits for a handler or has one. */
export interface Active {
  readonly envelope: Envelope;
  readonly from: string;
  readonly line: Line;
  readonly raw: unknown;
  readonly facts: Facts;
  readonly context: DeliveryContext;
  /** Of its body, as it came. */
  readonly bytes: number;
  readonly arrivedMs: number;
  /** Its deadline by the monotonic clock, which nobody sets; the other one goes on while the machine sleeps. */
  readonly untilMs: number;
  state: 'waiting' | 'running';
  /** Its caller wants no answer any more. */
  takenBack: boolean;
}
/** An entry with its requests that wait for a handler, in the order they came. */
interface Line extends ServedRequest {
  readonly waiting: Set<Active>;
  waitingBytes: number;
  /** Those that may start are being started. */
  starting: boolean;
  /** Looks again when the rate allows another start. */
  wake: Timer | undefined;
}

export function createAnswerer(parts: AnswererParts): Answerer {
  const { clock, notices, post } = parts;
  const lines = new Map<string, Line>();
  const active = new Map<string, Active>();
  const seen = createSeen();
  /** Of requests that came and were not started, nor answered; the oldest is forgotten first. */
  const unstarted = new Set<string>();
  let drainingMs: number | undefined;
  /** Set while it drains: nothing runs any more. */
  let idle: (() => void) | undefined;

  function request(envelope: Envelope, body: Uint8Array, from: string): void {
    const { entry, id, stamp } = envelope;
    if (stamp && !seen.fresh(stamp)) return drop(envelope, 'it came twice');
    if (drainingMs !== undefined) return refuseToStart(envelope, from);
    const line = lines.get(entry);
    if (!line) {
      const details = { entry, instance: parts.self };
      return answerError(envelope, from, 'Incompatible', `${parts.self} does not serve ${entry}`, details);
    }
    if (line.waiting.size > 0) dropLate(line);
    const facts = factsOf(envelope);
    const arrivedMs = clock.now();
    if (facts.deadline <= arrivedMs) return dropUnstarted(envelope, 'its deadline passed before it was started');
    const decoded = decodeBody(body);
    if (!decoded.ok) {
      const message = `the bytes are not a body: ${decoded.reason}`;
      const details = { side: 'input', issues: [{ message }] } as const;
      return answerError(envelope, from, 'Invalid', `input of ${entry}: ${message}`, details);
    }
    const bytes = body.length;
    if (!hasRoom(line, bytes)) return overloaded(envelope, from, line);
    const context = new DeliveryContext(facts, clock, notices);
    const one: Active = {
      envelope,
      from,
      line,
      raw: decoded.value,
      facts,
      context,
      bytes,
      arrivedMs,
      untilMs: clock.mono() + (facts.deadline - arrivedMs),
      state: 'waiting',
      takenBack: false,
    };
    active.set(id, one);
    unstarted.delete(id);
    if (notices.watched) notices.tell({ type: 'received', kind: 'request', entry, id });
    if (line.pace.mayStart(arrivedMs)) return start(one);
    line.waiting.add(one);
    line.waitingBytes += bytes;
    wakeWhenPaced(line);
  }

  /** Requests whose deadline passed while they waited hold no place: handlers that hang must not close the entry. */
  function hasRoom(line: Line, bytes: number): boolean {
    const isRoom = (): boolean =>
      line.waiting.size < limits.waitingRequestsMax && line.waitingBytes + bytes <= limits.waitingBytesMax;
    if (isRoom()) return true;
    for (const one of line.waiting) if (isLate(one)) end(one, lateReason);
    return isRoom();
  }
  /** Those that wait longest; among others that have more time it may be found later. */
  function dropLate({ waiting }: Line): void {
    for (const one of waiting) {
      if (!isLate(one)) return;
      end(one, lateReason);
    }
  }
  /** When either clock says so. */
  function isLate({ facts, untilMs }: Active): boolean {
    return facts.deadline <= clock.now() || untilMs <= clock.mono();
  }
  /** A rate that is used up ends by time, not by a handler that ends; so a timer looks again. */
  function wakeWhenPaced(line: Line): void {
    const delayMs = line.pace.delayMs(clock.now());
    if (delayMs === 0 || line.wake) return;
    line.wake = clock.after(delayMs, () => {
      line.wake = undefined;
      next(line);
    });
  }
  function next(line: Line): void {
    if (line.starting) return; // a handler that waits for nothing has ended: whoever started it goes on
    line.starting = true;
    for (const one of line.waiting) {
      if (isLate(one)) end(one, lateReason);
      else if (line.pace.mayStart(clock.now())) start(one);
      else {
        wakeWhenPaced(line);
        break;
      }
    }
    line.starting = false;
  }

  function start(one: Active): void {
    const { line } = one;
    waitsNoMore(one);
    one.state = 'running';
    line.pace.started(clock.now());
    const outcome = deliver(parts, line.entry, one.facts, one.raw, line.run, one.context);
    if (outcome instanceof Promise) void outcome.then((late) => answer(one, late));
    else answer(one, outcome);
  }
  function answer(one: Active, outcome: Outcome): void {
    const reply = replyOf(parts, one.line.entry, expired(one, outcome));
    if (reply instanceof Promise) void reply.then((late) => ended(one, late));
    else ended(one, reply);
  }
  function ended(one: Active, { body, ...how }: Reply): void {
    one.line.pace.ended();
    if (!one.takenBack) send(one.envelope, one.from, how, body);
    forget(one);
    next(one.line);
  }
  function forget(one: Active): void {
    active.delete(one.envelope.id);
    waitsNoMore(one);
    if (active.size === 0) idle?.();
  }
  function waitsNoMore(one: Active): void {
    if (one.line.waiting.delete(one)) one.line.waitingBytes -= one.bytes;
  }
  function end(one: Active, reason: string): void {
    dropUnstarted(one.envelope, reason);
    forget(one);
  }
  /** Its caller took it back, or died. */
  function stop(one: Active, reason: string): void {
    one.context.abort(new BusError('Cancelled', `${one.envelope.entry}: ${reason}`, { reason }));
    if (one.state === 'waiting') end(one, reason);
  }

  function refuseToStart(envelope: Envelope, from: string): void {
    const sinceMs = clock.now() - (drainingMs ?? clock.now());
    answerError(envelope, from, 'Closed', `${parts.self} is leaving`, { outcome: 'not-sent', sinceMs });
  }
  function answerError<C extends BusCode>(
    envelope: Envelope,
    from: string,
    code: C,
    message: string,
    details: BusDetails[C],
  ): void {
    const { body, ...how } = errorReply({ code, message, details });
    send(envelope, from, how, body);
  }
  function overloaded(envelope: Envelope, from: string, { waiting, waitingBytes, pace }: Line): void {
    const limit = limits.waitingRequestsMax;
    const why = pace.concurrency === 0 ? 'it is paused' : `concurrency ${pace.concurrency}`;
    const waits = `${waiting.size} requests of ${waitingBytes} bytes wait at ${parts.self} (${why})`;
    const bounds = `at most ${limit} (waitingRequestsMax) of ${limits.waitingBytesMax} bytes (waitingBytesMax) may`;
    const message = `${envelope.entry}: ${waits}; ${bounds}`;
    answerError(envelope, from, 'Overloaded', message, { retryAfterMs: 250, waiting: waiting.size, limit });
  }
  function send(
    to: Envelope,
    address: string,
    how: Pick<Envelope, 'status' | 'code' | 'stamp'>,
    body: Uint8Array,
  ): void {
    try {
      const line = printEnvelope({ kind: 'reply', entry: to.entry, id: to.id, from: parts.self, ...how });
      post.send(address, { line, body, withinMs: (to.deadlineMs ?? Infinity) - clock.now() });
    } catch (error) {
      drop(to, `its reply could not be sent: ${sayError(error)}`, 'reply');
    }
  }
  /** Whoever asks after it may send it again. */
  function dropUnstarted(envelope: Envelope, reason: string): void {
    if (unstarted.size >= unstartedMax) for (const oldest of unstarted) if (unstarted.delete(oldest)) break;
    unstarted.add(envelope.id);
    drop(envelope, reason);
  }
  function drop({ entry, id }: Envelope, reason: string, what = 'request'): void {
    notices.tell({ type: 'dropped', what, reason, entry, id });
  }

  return {
    add: (one) =>
      void lines.set(one.entry.name, { ...one, waiting: new Set(), waitingBytes: 0, starting: false, wake: undefined }),
    remove: (entry) => void lines.delete(entry),
    setLimits(entry, changed) {
      const line = lines.get(entry);
      if (!line) return;
      line.pace.change(changed);
      line.wake?.cancel(); // it was set for the rate before
      line.wake = undefined;
      next(line);
    },
    request,
    active: () => active.values(),
    get busy() {
      for (const { state } of active.values()) if (state === 'running') return true;
      return false;
    },
    cancel({ id, entry }) {
      const one = active.get(id);
      if (one?.envelope.entry !== entry) return;
      one.takenBack = true;
      stop(one, 'its caller took it back');
    },
    gone(address) {
      // Not taken back: a caller that lives, though it was thought dead, gets what comes of it.
      for (const one of active.values()) if (one.from === address) stop(one, 'its caller died');
    },
    probe(envelope, from) {
      const { id, stamp } = envelope;
      const isOver = seen.passed(stamp) && !unstarted.has(id);
      const code = active.get(id)?.state ?? (isOver ? 'answered' : 'unknown');
      send(envelope, from, { status: 'state', code, stamp: envelope.stamp }, nothing);
    },
    async drain(drainMs) {
      drainingMs = clock.now();
      for (const one of active.values()) {
        if (one.state !== 'waiting') continue;
        refuseToStart(one.envelope, one.from);
        forget(one);
      }
      if (active.size === 0) return;
      const drained = deferred<void>();
      idle = () => drained.resolve();
      const timer = clock.after(drainMs, idle);
      await drained.promise;
      timer.cancel();
      for (const { context } of active.values()) {
        context.abort(new BusError('Cancelled', `${parts.self} is leaving`, { reason: 'closed' }));
      }
    },
  };
}

const nothing = new Uint8Array(0);
const lateReason = 'its deadline passed while it waited';
const unstartedMax = limits.waitingRequestsMax;

/** What a handler throws since its deadline ended it is no failure of it; callers may hear it before theirs passes. */
function expired({ context }: Active, outcome: Outcome): Outcome {
  if (outcome.ok || outcome.by === 'check' || outcome.error instanceof Failure) return outcome;
  const reason: unknown = context.signal.reason;
  return isBusError(reason, 'Timeout') ? { ok: false, by: 'check', error: reason } : outcome; // sent as it is
}

function factsOf({ id, entry, from, deadlineMs, baggage = {}, traceparent }: Envelope): Facts {
  return { id, entry, attempt: 1, deadline: deadlineMs ?? Infinity, from: peerOf(from), baggage, traceparent };
}
