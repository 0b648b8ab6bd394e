/** Sends requests on the caller's side: chooses an instance, waits for the reply, and settles the call. */
import { tookMs } from '../base/clock';
import { Capacity } from '../base/bounded';
import { callSite, fromCaller, type CallSite } from '../delivery/call-site';
import { BusError, isBusError } from '../base/errors';
import { limits } from '../base/limits';
import { check } from '../contract/check';
import type { Request } from '../contract/types';
import { currentScope, type Scopes } from '../delivery/context';
import { encodeBody } from '../format/codec';
import { printEnvelope, type Envelope } from '../format/envelope';
import { createDispatcher, type SendParts } from './dispatch';
import { answerLost, badTimeout, cancelled, closed, noHandler, timedOut, unreachable } from './call-errors';
import { OpenCall, type AskOptions, type Reached } from './open-call';
import type { About, PeerTarget } from './peers';
import { createProber } from './probe';
import { encodeReason } from './reason';
import { openReply, withOrigin } from './reply';

export interface CallerParts extends SendParts {
  readonly scopes: Scopes;
  readonly makeId: () => string;
  readonly messageBytesMax: number;
  /** Maximum nesting depth of a body. Default: limits.bodyDepthMax. */
  readonly bodyDepthMax?: number | undefined;
  /** Returns the timeout of calls that set none, in ms. */
  readonly timeoutMs: (entry: Request) => number;
}
export interface Caller {
  /** Sends a request, and resolves with its reply. `site` is the place of the call, for the stacks of errors. */
  ask(entry: Request, input: unknown, options?: AskOptions, site?: CallSite): Promise<unknown>;
  /** Handles a reply that arrived from this address. */
  reply(reply: Envelope, body: Uint8Array, from: string): void;
  /** Handles the death of an address, which will never reply again. */
  gone(address: string): void;
  /** Handles the notice of an instance that it is leaving. It answers the requests that it has and gets no new ones. */
  leaving(address: string): void;
  /** Returns the requests without a reply, for operators. */
  open(): Iterable<OpenCall>;
  /** Ends all open requests with Closed. */
  close(): void;
}

type State = Reached | 'unknown';
const retryAfterMs = 100;

export function createCaller(parts: CallerParts): Caller {
  const { clock, notices, messenger, peers } = parts;
  const open = new Map<string, OpenCall>();
  /** Bodies are kept until the reply arrives, since a request can have to be sent again. */
  const capacity = new Capacity({ count: limits.pendingRequestsMax, bytes: limits.pendingBytesMax });
  const followers = new WeakMap<AbortSignal, Set<OpenCall>>();
  const prober = createProber({ clock, messenger, open, send: (target, about) => sendQuietly(target, about, 'probe') });
  const { send, refuse } = createDispatcher({ ...parts, prober, settle });
  let closedMs: number | undefined;

  /** Creates only one promise for each request, since each promise costs time. An error thrown inside rejects it. */
  function ask(
    entry: Request,
    input: unknown,
    options: AskOptions = {},
    site: CallSite = callSite(ask),
  ): Promise<unknown> {
    return new Promise((resolve, end) => {
      const reject = (error: unknown): void => end(fromCaller(withOrigin(error, entry), site));
      try {
        start(entry, input, options, resolve, reject);
      } catch (error) {
        reject(error);
      }
    });
  }
  function start(
    entry: Request,
    input: unknown,
    options: AskOptions,
    resolve: OpenCall['resolve'],
    reject: OpenCall['reject'],
  ): void {
    if (closedMs !== undefined) throw closed(clock, closedMs);
    const scope = currentScope(parts.scopes);
    const [startedMs, begunMs] = [clock.now(), clock.mono()];
    const wantedMs = options.timeoutMs ?? parts.timeoutMs(entry);
    if (!(wantedMs >= 0)) throw badTimeout(entry, wantedMs);
    const timeoutMs = Math.min(Math.ceil(wantedMs), (scope?.deadline ?? Infinity) - startedMs);
    const go = (): void => {
      if (closedMs !== undefined) throw closed(clock, closedMs); // the caller closed while the input was checked
      const body = encodeBody(input, parts.messageBytesMax, 'input', entry.name, parts.bodyDepthMax);
      if (!capacity.fits(body.length))
        throw capacity.overloaded(entry.name, 'requests without an answer', retryAfterMs);
      const id = parts.makeId();
      begin(new OpenCall(id, entry, body, options, scope, startedMs, begunMs, timeoutMs, resolve, reject));
    };
    const checked = check(entry.schemas.input, input, 'input', entry.name);
    if (checked instanceof Promise) checked.then(go).catch(reject);
    else go();
  }

  function begin(call: OpenCall): void {
    const leftMs = call.leftMs(clock);
    open.set(call.id, call);
    capacity.add(call.body.length);
    if (call.options.signal?.aborted) return settle(call, cancelled(call));
    if (leftMs <= 0) return settle(call, timedOut(call));
    if (leftMs !== Infinity) call.deadlineTimer = clock.after(leftMs, () => settle(call, tooLate(call)));
    if (call.options.signal) follow(call.options.signal, call);
    send(call);
  }

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

  function settle(call: OpenCall, error: unknown): void {
    if (!finish(call)) return;
    reportEnd(call, outcomeOf(error));
    call.reject(error);
  }
  function finish(call: OpenCall): boolean {
    if (call.settled) return false;
    call.settled = true;
    open.delete(call.id);
    capacity.remove(call.body.length);
    call.target?.ended(call, call.isAnswered);
    if (call.target) peers.release(call.target);
    call.stopWaiting?.();
    call.deadlineTimer?.cancel();
    if (call.options.signal) followers.get(call.options.signal)?.delete(call);
    return true;
  }
  function reportEnd(call: OpenCall, outcome: string): void {
    if (!notices.watched) return;
    const took = tookMs(clock, call.begunMs);
    notices.emit({ type: 'answered', entry: call.entry.name, id: call.id, outcome, tookMs: took });
  }
  /** Adds one listener for all calls with the same signal. Node.js warns of a leak at the eleventh listener. */
  function follow(signal: AbortSignal, call: OpenCall): void {
    const known = followers.get(signal);
    if (known) return void known.add(call);
    const calls = new Set([call]);
    followers.set(signal, calls);
    signal.addEventListener('abort', () => calls.forEach(takeBack), { once: true });
  }
  function takeBack(call: OpenCall): void {
    if (call.settled) return;
    if (call.target) sendQuietly(call.target, call, 'cancel', encodeReason(call.options.signal?.reason));
    settle(call, cancelled(call));
  }
  /**
   * Sends a cancel or a probe. If sending fails, `gone` or the deadline ends the call. Returns false when the instance
   * can no longer be reached.
   */
  function sendQuietly(
    { instance }: PeerTarget<OpenCall>,
    { id, entry, stamp }: About,
    kind: 'cancel' | 'probe',
    body: Uint8Array = new Uint8Array(0),
  ): boolean {
    const line = printEnvelope({ kind, entry: entry.name, id, from: parts.self, stamp });
    try {
      messenger.send(instance.address, { line, body });
    } catch (error) {
      if (isBusError(error, 'Unreachable')) return false;
      notices.emit({ type: 'dropped', what: kind, reason: String(error), entry: entry.name, id });
    }
    return true;
  }

  function reply(envelope: Envelope, bytes: Uint8Array, from: string): void {
    peers.at(from)?.responded(clock.mono());
    const call = open.get(envelope.id);
    const target = call?.target;
    const isState = envelope.status === 'state';
    if (!call || target?.instance.name !== envelope.from) {
      if (isState) return; // the reply to a probe of an instance whose requests have ended
      const reason = call ? `it is from ${envelope.from}, which has not received the request` : 'no call waits for it';
      return notices.emit({ type: 'dropped', what: 'reply', reason, entry: envelope.entry, id: envelope.id });
    }
    if (isState) return handleState(call, envelope);
    call.isAnswered = true;
    try {
      const value = openReply(call.entry, envelope, bytes, parts.bodyDepthMax);
      if (!(value instanceof Promise)) return resolved(call, value);
      call.opening = true;
      value.then(
        (late) => resolved(call, late),
        (error) => settle(call, withOrigin(error, call.entry, target.instance)),
      );
    } catch (error) {
      if (isRefusal(error)) return refuse(call, target.instance.address, error);
      // The deadline passed at the responder first. The local deadline timer ends the call in a moment.
      if (isBusError(error, 'Timeout')) return void (call.reached = 'running');
      settle(call, withOrigin(error, call.entry, target.instance));
    }
  }
  function resolved(call: OpenCall, value: unknown): void {
    if (!finish(call)) return;
    reportEnd(call, 'ok');
    call.resolve(value);
  }
  /**
   * Handles the state that a probe returned. Packets to one address keep their order, so two states are certain.
   * 'unknown' proves that the request, which was sent before the probe, never arrived. 'answered' proves that the reply
   * was lost, as it was sent before this state.
   */
  function handleState(call: OpenCall, { code, stamp }: Envelope): void {
    if (stamp?.position !== call.stamp?.position) return; // the probe was sent before the request was resent
    const { target, opening } = call;
    if (!target || opening) return;
    const state = (code ?? 'unknown') as State; // one of the states that the answerer's `probe` returns
    if (state === 'unknown') return refuse(call, '', noHandler(call));
    call.reached = state;
    if (state !== 'answered') return;
    const lost = answerLost(call, clock);
    if (call.entry.options.idempotent) refuse(call, target.instance.address, lost);
    else settle(call, lost);
  }

  function gone(address: string): void {
    const target = peers.at(address);
    if (!target) return;
    target.leaving = true;
    for (const call of target.open) {
      const lost = new BusError(
        'ResponderLost',
        `${call.entry.name}: ${target.instance.name} died before it answered, so the request can have been done or not`,
        { instance: target.instance.name },
      );
      if (call.entry.options.idempotent) refuse(call, address, lost);
      else settle(call, lost);
    }
  }

  return {
    ask,
    reply,
    gone,
    leaving(address) {
      const target = peers.at(address);
      if (target) target.leaving = true;
    },
    open: () => open.values(),
    close() {
      closedMs = clock.now();
      for (const call of open.values()) settle(call, closed(clock, closedMs, call));
      prober.stop();
    },
  };
}

/** Returns true for errors that prove that the request was not started at the responder. */
function isRefusal(error: unknown): error is BusError<'Closed' | 'Incompatible'> {
  return isBusError(error, 'Closed', 'Incompatible');
}
function outcomeOf(error: unknown): string {
  // Failure and BusError both carry a code. Any other error is a fault of a schema.
  return error instanceof Error && 'code' in error ? String(error.code) : 'HandlerFailed';
}
