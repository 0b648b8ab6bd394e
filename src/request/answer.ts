/** The responder's side of requests: starts each once, within its limits, and answers. */
import type { Timer } from '../base/clock';
import { BusError, Failure, isBusError, sayError, type BusCode, type BusDetails } from '../base/errors';
import { deferred } from '../base/lifecycle';
import { limits } from '../base/limits';
import { check } from '../contract/check';
import type { Request } from '../contract/types';
import { DeliveryContext, type Facts } from '../delivery/context';
import { deliver, type DeliverParts, type Outcome, type Run } from '../delivery/deliver';
import type { Pace } from '../delivery/pace';
import { peerOf } from '../delivery/peer';
import { decodeBody, encodeBody } from '../format/codec';
import { printEnvelope, type Envelope } from '../format/envelope';
import type { Post } from '../ports/post';
import { outputOf } from './reply';
import { createSeen } from '../delivery/seen';

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
  request(envelope: Envelope, body: Uint8Array, from: string): void;
  cancel(envelope: Envelope): void;
  probe(envelope: Envelope, from: string): void;
  /** Requests that wait or run here, for operators. */
  active(): Iterable<Active>;
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
  readonly served: ServedRequest;
  readonly raw: unknown;
  readonly context: DeliveryContext;
  readonly arrivedMs: number;
  state: 'waiting' | 'running' | 'cancelled';
}

export function createAnswerer(parts: AnswererParts): Answerer {
  const { clock, notices, post } = parts;
  const served = new Map<string, ServedRequest>();
  const active = new Map<string, Active>();
  const seen = createSeen();
  const waiting = new Map<ServedRequest, Active[]>();
  const wakes = new Map<ServedRequest, Timer>();
  let draining = false;
  /** Set while it drains: nothing runs any more. */
  let idle: (() => void) | undefined;

  function request(envelope: Envelope, body: Uint8Array, from: string): void {
    const { entry, id, stamp } = envelope;
    if (stamp && !seen.fresh(stamp)) return drop(envelope, 'it came twice');
    if (draining) return answerError(envelope, from, 'Closed', 'this instance is leaving', { sinceMs: clock.now() });
    const target = served.get(entry);
    if (!target)
      return answerError(envelope, from, 'Incompatible', `${parts.self} does not serve ${entry}`, {
        entry,
        instance: parts.self,
      });
    if ((envelope.deadlineMs ?? Infinity) <= clock.now())
      return drop(envelope, 'its deadline passed before it was started');
    const decoded = decodeBody(body);
    if (!decoded.ok) {
      const message = `the bytes are not a body: ${decoded.reason}`;
      return answerError(envelope, from, 'Invalid', `input of ${entry}: ${message}`, {
        side: 'input',
        issues: [{ message }],
      });
    }
    if (active.size >= limits.waitingRequestsMax + target.pace.concurrency) return overloaded(envelope, from, target);
    const context = new DeliveryContext(factsOf(envelope), clock, notices);
    const one: Active = {
      envelope,
      from,
      served: target,
      raw: decoded.value,
      context,
      arrivedMs: clock.now(),
      state: 'waiting',
    };
    active.set(id, one);
    if (notices.watched) notices.tell({ type: 'received', kind: 'request', entry, id });
    if (target.pace.mayStart(clock.now())) start(one);
    else queue(one);
  }

  function queue(one: Active): void {
    const line = waiting.get(one.served);
    if (line) line.push(one);
    else waiting.set(one.served, [one]);
    wakeWhenPaced(one.served);
  }
  /** A rate that is used up ends by time, not by a handler that ends; so a timer looks again. */
  function wakeWhenPaced(target: ServedRequest): void {
    const delayMs = target.pace.delayMs(clock.now());
    if (delayMs === 0 || wakes.has(target)) return;
    wakes.set(
      target,
      clock.after(delayMs, () => {
        wakes.delete(target);
        next(target);
      }),
    );
  }
  function next(target: ServedRequest): void {
    const line = waiting.get(target);
    while (line && line.length > 0 && target.pace.mayStart(clock.now())) {
      const one = line.shift();
      if (!one || one.state === 'cancelled') continue;
      if (one.context.deadline <= clock.now()) end(one, 'its deadline passed while it waited');
      else start(one);
    }
    if (line && line.length > 0) wakeWhenPaced(target);
  }

  function start(one: Active): void {
    one.state = 'running';
    one.served.pace.started(clock.now());
    void deliver(parts, one.served.entry, factsOf(one.envelope), one.raw, one.served.run, one.context).then(
      (outcome) => {
        one.served.pace.ended();
        // Who took it back waits for no answer; 'cancelled' is set while it runs, so the compiler cannot see it here.
        if (active.delete(one.envelope.id) && (one.state as string) !== 'cancelled') answer(one, outcome);
        if (active.size === 0) idle?.();
        next(one.served);
      },
    );
  }

  function answer(one: Active, outcome: Outcome): void {
    if (!outcome.ok)
      return outcome.by === 'check' ? answerRefused(one, outcome.error) : answerThrown(one, outcome.error);
    try {
      const checked = check(outputOf(one.served.entry), outcome.value, 'reply', one.served.entry.name);
      if (!(checked instanceof Promise)) return answerValue(one, outcome.value);
      checked.then(
        () => answerValue(one, outcome.value),
        (error: unknown) => answerRefused(one, error),
      );
    } catch (error) {
      answerRefused(one, error);
    }
  }
  function answerValue(one: Active, value: unknown): void {
    let body: Uint8Array;
    try {
      body = encodeBody(value, parts.messageBytesMax);
    } catch (error) {
      return answerRefused(one, error);
    }
    send(one.envelope, one.from, { status: 'ok' }, body);
  }
  /** A value that the contract or the format refuses: its fault is told in full. */
  function answerRefused(one: Active, error: unknown): void {
    if (!isBusError(error)) return answerThrown(one, error);
    answerError(one.envelope, one.from, error.code, error.message, error.details);
  }
  function answerThrown({ envelope, from, served: { entry } }: Active, error: unknown): void {
    if (error instanceof Failure && entry.schemas.failures?.[error.code]) {
      const body = tryEncode(error.data);
      if (body) return send(envelope, from, { status: 'failure', code: error.code }, body);
    }
    const handlerError = sayError(error);
    const message = `${entry.name}: its handler at ${parts.self} failed: ${handlerError}`;
    answerError(envelope, from, 'HandlerFailed', message, { handlerError, instance: parts.self });
  }
  function tryEncode(data: unknown): Uint8Array | undefined {
    try {
      return encodeBody(data, parts.messageBytesMax);
    } catch {
      return undefined; // the failure is then told as HandlerFailed, with its name
    }
  }
  function answerError<C extends BusCode>(
    envelope: Envelope,
    from: string,
    code: C,
    message: string,
    details: BusDetails[C],
  ): void {
    send(envelope, from, { status: 'error', code }, encodeBody({ message, details }, parts.messageBytesMax));
  }
  function overloaded(envelope: Envelope, from: string, target: ServedRequest): void {
    const { concurrency } = target.pace;
    const message = `${envelope.entry}: ${active.size} requests wait at ${parts.self} (concurrency ${concurrency})`;
    const details = { retryAfterMs: 250, waiting: active.size, limit: limits.waitingRequestsMax };
    answerError(envelope, from, 'Overloaded', message, details);
  }
  function send(
    to: Envelope,
    address: string,
    how: Pick<Envelope, 'status' | 'code' | 'stamp'>,
    body: Uint8Array,
  ): void {
    const line = printEnvelope({ kind: 'reply', entry: to.entry, id: to.id, from: parts.self, ...how });
    try {
      post.send(address, { line, body });
    } catch (error) {
      drop(to, `its reply could not be sent: ${sayError(error)}`, 'reply');
    }
  }
  function drop({ entry, id }: Envelope, reason: string, what = 'request'): void {
    notices.tell({ type: 'dropped', what, reason, entry, id });
  }
  function end(one: Active, reason: string): void {
    active.delete(one.envelope.id);
    drop(one.envelope, reason);
    if (active.size === 0) idle?.();
  }

  return {
    add: (one) => void served.set(one.entry.name, one),
    remove: (entry) => void served.delete(entry),
    request,
    active: () => active.values(),
    cancel({ id, entry }) {
      const one = active.get(id);
      if (!one || one.envelope.entry !== entry) return;
      const wasWaiting = one.state === 'waiting';
      one.state = 'cancelled';
      one.context.abort(new BusError('Cancelled', `${entry} was taken back by its caller`, { reason: 'caller' }));
      if (wasWaiting) end(one, 'its caller took it back while it waited');
    },
    probe(envelope, from) {
      const state = active.get(envelope.id)?.state ?? (seen.passed(envelope.stamp) ? 'answered' : 'unknown');
      const code = state === 'cancelled' ? 'running' : state;
      send(envelope, from, { status: 'state', code, stamp: envelope.stamp }, nothing);
    },
    async drain(drainMs) {
      draining = true;
      for (const one of active.values()) {
        if (one.state !== 'waiting') continue;
        active.delete(one.envelope.id);
        one.state = 'cancelled';
        answerError(one.envelope, one.from, 'Closed', `${parts.self} is leaving`, { sinceMs: clock.now() });
      }
      if (active.size === 0) return;
      const drained = deferred<void>();
      idle = () => drained.resolve();
      const timer = clock.after(drainMs, idle);
      await drained.promise;
      timer.cancel();
      for (const one of active.values())
        one.context.abort(new BusError('Cancelled', `${parts.self} is leaving`, { reason: 'closed' }));
    },
  };
}

const nothing = new Uint8Array(0);

function factsOf({ id, entry, from, deadlineMs, baggage = {}, traceparent }: Envelope): Facts {
  return { id, entry, attempt: 1, deadline: deadlineMs ?? Infinity, from: peerOf(from), baggage, traceparent };
}
