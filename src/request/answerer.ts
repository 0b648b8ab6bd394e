/** Answers requests on the responder's side: starts each once, within the entry's limits, and sends its reply. */
import { within } from '../base/clock';
import { RecentSet } from '../base/bounded';
import { BusError, errorMessage, type BusCode, type BusDetails } from '../base/errors';
import { limits } from '../base/limits';
import { DeliveryContext, type Facts } from '../delivery/context';
import { deliver, type DeliverParts, type Outcome } from '../delivery/deliver';
import type { HandlerLimits, LimiterLimits } from '../delivery/limiter';
import { createSenderPositions } from '../delivery/sender-positions';
import { decodeBody } from '../format/codec';
import type { Envelope } from '../format/envelope-fields';
import { printEnvelope } from '../format/envelope-printer';
import type { Messenger } from '../ports/messenger';
import { expired, factsOf } from './facts';
import { Line, type ServedRequest, type Waiting } from './line';
import { errorReply, replyOf, type Reply } from './outcome';
import { decodeReason } from './reason';

export interface AnswererParts extends DeliverParts {
  readonly messenger: Messenger;
  readonly self: string;
  readonly messageBytesMax: number;
}
export interface Answerer {
  add(served: ServedRequest): void;
  /**
   * Stops starting requests of these entries. Waiting and later requests are refused, so that their callers try another
   * instance. Resolves when no handler of them runs, after at most `drainMs`. Handlers that still run are then aborted.
   */
  close(entries: readonly string[], drainMs: number): Promise<void>;
  /** Sets the limits of an entry. They apply to the next request that starts. */
  setLimits(entry: string, limits: LimiterLimits): void;
  request(envelope: Envelope, body: Uint8Array, from: string): void;
  /** Cancels a request. `reason` is the caller's encoded reason, see encodeReason. */
  cancel(envelope: Envelope, reason?: Uint8Array): void;
  probe(envelope: Envelope, from: string): void;
  /**
   * Handles the death of a caller's process: its running requests are aborted, and its waiting requests are not
   * started.
   */
  gone(address: string): void;
  /** Returns the requests that wait or run here, for operators. */
  active(): Iterable<Active>;
  /** Returns the handlers of each entry, for operators. */
  limits(): readonly HandlerLimits[];
  /** True when a handler runs. Waiting requests do not count, since they cannot start now. */
  readonly busy: boolean;
  /**
   * Starts no further request, and answers waiting ones with Closed ('not-sent'). Resolves when no handler runs, after
   * at most `drainMs`.
   */
  drain(drainMs: number): Promise<void>;
}

/** A request that waits for its handler or runs in it. */
export interface Active extends Waiting {
  readonly envelope: Envelope;
  readonly from: string;
  readonly line: Line<Active>;
  readonly raw: unknown;
  readonly facts: Facts;
  readonly context: DeliveryContext;
  readonly arrivedMs: number;
  /** Start of its handler, in ms since 1970. Undefined while it waits. */
  startedMs: number | undefined;
  state: 'waiting' | 'running';
  /** True when the caller cancelled the request, so that no reply is sent. */
  takenBack: boolean;
}

export function createAnswerer(parts: AnswererParts): Answerer {
  const { clock, notices, messenger } = parts;
  const lines = new Map<string, Line<Active>>();
  const active = new Map<string, Active>();
  const positions = createSenderPositions();
  /**
   * Requests that were received and then dropped without being started. A probe reports them as unknown, so that
   * callers can resend them.
   */
  const unstarted = new RecentSet<string>(unstartedMax);
  let drainingMs: number | undefined;

  function request(envelope: Envelope, body: Uint8Array, from: string): void {
    const { entry, id, stamp } = envelope;
    if (stamp && !positions.isNew(stamp)) return drop(envelope, 'it arrived twice');
    if (drainingMs !== undefined) return refuseLeaving(envelope, from);
    const line = lines.get(entry);
    if (!line) {
      const details = { entry, instance: parts.self };
      return answerError(envelope, from, 'Incompatible', `${parts.self} does not serve ${entry}`, details);
    }
    if (line.closedMs !== undefined) return refuseClosed(envelope, from, line.closedMs);
    const bytes = body.length;
    // Check the room before decoding the body, so that a refusal stays cheap however large the request is.
    if (!line.hasRoom(bytes)) return overloaded(envelope, from, line);
    const arrivedMs = clock.now();
    const facts = factsOf(envelope, arrivedMs, line.served.entry.options.idempotent);
    if (facts.deadline <= arrivedMs) return dropUnstarted(envelope, 'its deadline passed before it was started');
    const decoded = decodeBody(body, parts.bodyDepthMax);
    if (!decoded.ok) {
      const message = `the body cannot be decoded: ${decoded.reason}`;
      const { path = [] } = decoded;
      const issue = path.length > 0 ? { message, path } : { message };
      const details = { side: 'input', issues: [issue] } as const;
      return answerError(envelope, from, 'Invalid', `input of ${entry}: ${message}`, details);
    }
    const one: Active = {
      envelope,
      from,
      line,
      raw: decoded.value,
      facts,
      context: new DeliveryContext(facts, clock, notices),
      bytes,
      arrivedMs,
      deadlineMs: facts.deadline,
      untilMs: clock.mono() + (facts.deadline - arrivedMs),
      startedMs: undefined,
      state: 'waiting',
      takenBack: false,
      place: undefined,
    };
    active.set(id, one);
    unstarted.delete(id);
    parts.counters?.of(entry)?.received(arrivedMs);
    if (notices.watched) notices.emit({ type: 'received', kind: 'request', entry, id });
    line.take(one);
  }

  function start(one: Active): void {
    one.state = 'running';
    one.startedMs = clock.now();
    const { served } = one.line;
    const outcome = deliver(parts, served.entry, one.facts, one.raw, served.run, one.context);
    if (outcome instanceof Promise) void outcome.then((late) => answer(one, late));
    else answer(one, outcome);
  }
  function answer(one: Active, outcome: Outcome): void {
    if (!outcome.ok && outcome.by === 'check' && one.context.isAbortedWith(outcome.error)) return neverStarted(one);
    const reply = replyOf(parts, one.line.served.entry, expired(one, outcome));
    if (reply instanceof Promise) void reply.then((late) => ended(one, late));
    else ended(one, reply);
  }
  function ended(one: Active, reply: Reply): void {
    if (!one.takenBack) send(one.envelope, one.from, reply, reply.body);
    remember(one, reply.code);
    forget(one);
    one.line.ended();
  }
  function remember({ envelope: { id, entry }, from: peer, startedMs, takenBack }: Active, code = 'ok'): void {
    const atMs = clock.now();
    const outcome = takenBack ? 'cancelled' : code;
    parts.ended?.add({ kind: 'request', id, entry, outcome, peer, atMs, tookMs: atMs - (startedMs ?? atMs) });
  }
  /** Ends a request that was aborted while its body was still being checked, so that its caller can resend it. */
  function neverStarted(one: Active): void {
    const { envelope, from, line, takenBack } = one;
    if (drainingMs !== undefined && !takenBack) refuseLeaving(envelope, from);
    else if (line.closedMs !== undefined && !takenBack) refuseClosed(envelope, from, line.closedMs);
    else dropUnstarted(envelope, 'it was aborted while its input was checked');
    forget(one);
    line.ended();
  }
  function forget(one: Active): void {
    active.delete(one.envelope.id);
    one.line.leave(one);
  }
  function end(one: Active, reason: string): void {
    dropUnstarted(one.envelope, reason);
    forget(one);
  }
  /** Aborts a request whose caller cancelled it or died. A waiting request is dropped. */
  function stop(one: Active, what: string, reason?: unknown): void {
    const why = reason === undefined ? what : `${what}: ${errorMessage(reason)}`;
    one.context.abort(new BusError('Cancelled', `${one.envelope.entry}: ${why}`, { reason: reason ?? what }, reason));
    if (one.state === 'waiting') end(one, what);
  }

  function refuseLeaving(envelope: Envelope, from: string): void {
    const sinceMs = clock.now() - (drainingMs ?? clock.now());
    answerError(envelope, from, 'Closed', `${parts.self} is leaving`, { outcome: 'not-sent', sinceMs });
  }
  function refuseClosed(envelope: Envelope, from: string, closedMs: number): void {
    const message = `${parts.self} no longer serves ${envelope.entry}`;
    answerError(envelope, from, 'Closed', message, { outcome: 'not-sent', sinceMs: clock.now() - closedMs });
  }
  function answerError<C extends BusCode>(
    envelope: Envelope,
    from: string,
    code: C,
    message: string,
    details: BusDetails[C],
  ): void {
    const reply = errorReply({ code, message, details });
    send(envelope, from, reply, reply.body);
  }
  function overloaded(envelope: Envelope, from: string, { waiting, served }: Line<Active>): void {
    parts.counters?.of(envelope.entry)?.refused(clock.now());
    const { concurrency } = served.limiter;
    const why = concurrency === 0 ? 'the entry is paused' : `concurrency is ${concurrency}`;
    const where = `${envelope.entry} at ${parts.self} (${why})`;
    const { message, details } = waiting.capacity.overloaded(where, 'requests', retryAfterMs);
    answerError(envelope, from, 'Overloaded', message, details);
  }
  function send(
    to: Envelope,
    address: string,
    { status, code, stamp }: Pick<Envelope, 'status' | 'code' | 'stamp'>,
    body: Uint8Array,
  ): void {
    try {
      const { entry, id } = to;
      const line = printEnvelope({ kind: 'reply', entry, id, from: parts.self, status, code, stamp });
      messenger.send(address, { line, body, withinMs: (to.deadlineMs ?? Infinity) - clock.now() });
    } catch (error) {
      drop(to, `its reply could not be sent: ${errorMessage(error)}`, 'reply');
    }
  }
  /** Drops a request before its start. A probe then reports it as unknown, so that its caller can resend it. */
  function dropUnstarted(envelope: Envelope, reason: string): void {
    unstarted.add(envelope.id);
    drop(envelope, reason);
  }
  function drop({ entry, id }: Envelope, reason: string, what = 'request'): void {
    notices.emit({ type: 'dropped', what, reason, entry, id });
  }

  return {
    add: (served) =>
      void lines.set(
        served.entry.name,
        new Line<Active>(served, { clock, start, expire: (one) => end(one, lateReason) }),
      ),
    setLimits: (entry, changed) => lines.get(entry)?.setLimits(changed),
    async close(entries, drainMs) {
      // A closed line stays, so that its callers receive the reason. Serving the entry again replaces it.
      const closing = entries.flatMap((entry) => lines.get(entry) ?? []);
      for (const line of closing) {
        for (const one of line.close()) {
          refuseClosed(one.envelope, one.from, clock.now());
          forget(one);
        }
      }
      await within(clock, drainMs, Promise.all(closing.map((line) => line.idle())));
      const reason = new BusError('Cancelled', `${parts.self} no longer serves it`, { reason: 'closed' });
      for (const one of active.values()) if (closing.includes(one.line)) one.context.abort(reason);
    },
    request,
    active: () => active.values(),
    limits: () => [...lines.values()].map((line) => line.limits),
    get busy() {
      for (const { state } of active.values()) if (state === 'running') return true;
      return false;
    },
    cancel({ id, entry }, reason = nothing) {
      const one = active.get(id);
      if (one?.envelope.entry !== entry) return;
      one.takenBack = true;
      stop(one, 'its caller aborted it', decodeReason(reason));
    },
    gone(address) {
      // The request does not count as cancelled: a caller that was wrongly assumed dead still gets the reply.
      for (const one of active.values()) if (one.from === address) stop(one, 'its caller died');
    },
    probe(envelope, from) {
      const { id, stamp } = envelope;
      const code = active.get(id)?.state ?? (positions.isPassed(stamp) && !unstarted.has(id) ? 'answered' : 'unknown');
      send(envelope, from, { status: 'state', code, stamp: envelope.stamp }, nothing);
    },
    async drain(drainMs) {
      drainingMs = clock.now();
      for (const one of active.values()) {
        if (one.state !== 'waiting') continue;
        refuseLeaving(one.envelope, one.from);
        forget(one);
      }
      // Lines that were replaced while their handlers ran are no longer in `lines`.
      const running = new Set([...active.values()].map(({ line }) => line));
      await within(clock, drainMs, Promise.all([...running].map((line) => line.idle())));
      for (const { context } of active.values()) {
        context.abort(new BusError('Cancelled', `${parts.self} is leaving`, { reason: 'closed' }));
      }
    },
  };
}

const nothing = new Uint8Array(0);
const lateReason = 'its deadline passed while it waited';
const unstartedMax = 2 * limits.waitingRequestsMax;
const retryAfterMs = 250;
