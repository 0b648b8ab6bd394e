/** The caller's side of requests: chooses an instance, sends, waits, and says how it ended. */
import { every, tookMs, type Clock, type Random, type Timer } from '../base/clock';
import { BusError, isBusError } from '../base/errors';
import { limits } from '../base/limits';
import type { Notices } from '../base/notices';
import { check } from '../contract/check';
import { moduleOf } from '../contract/contract';
import type { Request } from '../contract/types';
import { currentScope, inherited, type Scope, type Scopes } from '../delivery/context';
import { encodeBody } from '../format/codec';
import { printEnvelope, type Envelope } from '../format/envelope';
import type { Packet, Post } from '../ports/post';
import {
  answerLost,
  badTimeout,
  cancelled,
  closed,
  lastRefusal,
  noHandler,
  timedOut,
  tooManyOpen,
  unreachable,
  unread,
} from './ends';
import type { PeerTarget, Peers } from './peers';
import { pickByKey, pickLessBusy } from './pick';
import { openReply } from './reply';

export interface CallerParts {
  readonly clock: Clock;
  readonly random: Random;
  readonly notices: Notices;
  readonly scopes: Scopes;
  readonly post: Post;
  readonly peers: Peers<OpenCall>;
  /** This instance's name. */
  readonly self: string;
  readonly incarnation: string;
  readonly nextPosition: () => number;
  readonly makeId: () => string;
  readonly messageBytesMax: number;
  /** For calls that say nothing themselves, in ms. */
  readonly timeoutMs: (entry: Request) => number;
}
export interface AskOptions {
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  readonly key?: string;
  readonly to?: string;
  readonly absentMs?: number;
}
export interface Caller {
  ask(entry: Request, input: unknown, options?: AskOptions): Promise<unknown>;
  /** A reply that came in. */
  reply(reply: Envelope, body: Uint8Array): void;
  /** An address will never answer again. */
  gone(address: string): void;
  /** An instance said that it goes: it answers what it has and gets nothing new. */
  leaving(address: string): void;
  /** Requests without an answer, for operators. */
  open(): Iterable<OpenCall>;
  /** Ends what is open with Closed. */
  close(): void;
}

type Reached = 'not-sent' | 'sent' | 'waiting' | 'running' | 'answered';
type State = Reached | 'unknown';

/** One request without an answer. */
export class OpenCall {
  reached: Reached = 'not-sent';
  target: PeerTarget<OpenCall> | undefined;
  /** Addresses that refused it: it was not started there. */
  readonly refusedBy = new Set<string>();
  /** Why the last of them refused; once it may have been done somewhere, the error that says so. */
  refusal: BusError | undefined;
  /** An instance that it was sent to may have carried it out: it died with it, or its answer was lost. */
  mayBeDone = false;
  /** Of the last time it was sent: a probe asks for that one, and only its answer counts. */
  stamp: Envelope['stamp'];
  deadlineTimer: Timer | undefined;
  probedMs = 0;
  /** Its answer is here, and a schema that takes its time looks at it. */
  opening = false;
  settled = false;
  /** Set while it waits for a first instance. */
  stopWaiting: (() => void) | undefined;
  constructor(
    readonly id: string,
    readonly entry: Request,
    readonly body: Uint8Array,
    readonly options: AskOptions,
    readonly scope: Scope | undefined,
    readonly startedMs: number,
    /** When it began by the monotonic clock, which nobody sets. */
    readonly begunMs: number,
    readonly timeoutMs: number,
    readonly resolve: (value: unknown) => void,
    readonly reject: (error: unknown) => void,
  ) {}
  leftMs(clock: Clock): number {
    return this.begunMs + this.timeoutMs - clock.mono();
  }
}

const probeTurnMs = 250;
const probeAgainMs = 1_000;

export function createCaller(parts: CallerParts): Caller {
  const { clock, notices, post, peers } = parts;
  const open = new Map<string, OpenCall>();
  const followers = new WeakMap<AbortSignal, Set<OpenCall>>();
  let closedMs: number | undefined;
  let prober: Timer | undefined;

  /** One promise for each request, as each costs; what is thrown in it rejects it. */
  function ask(entry: Request, input: unknown, options: AskOptions = {}): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (closedMs !== undefined) throw closed(clock, closedMs);
      const scope = currentScope(parts.scopes);
      const [startedMs, begunMs] = [clock.now(), clock.mono()];
      const wantedMs = options.timeoutMs ?? parts.timeoutMs(entry);
      if (!(wantedMs >= 0)) throw badTimeout(entry, wantedMs);
      const timeoutMs = Math.min(Math.ceil(wantedMs), (scope?.deadline ?? Infinity) - startedMs);
      const go = (): void => {
        const body = encodeBody(input, parts.messageBytesMax, 'input', entry.name);
        if (open.size >= limits.pendingRequestsMax) throw tooManyOpen(entry);
        const id = parts.makeId();
        begin(new OpenCall(id, entry, body, options, scope, startedMs, begunMs, timeoutMs, resolve, reject));
      };
      const checked = check(entry.schemas.input, input, 'input', entry.name);
      if (checked instanceof Promise) checked.then(go).catch(reject);
      else go();
    });
  }

  function begin(call: OpenCall): void {
    const leftMs = call.leftMs(clock);
    open.set(call.id, call);
    if (call.options.signal?.aborted) return settle(call, cancelled(call));
    if (leftMs <= 0) return settle(call, timedOut(call));
    if (leftMs !== Infinity) call.deadlineTimer = clock.after(leftMs, () => settle(call, tooLate(call)));
    if (call.options.signal) follow(call.options.signal, call);
    prober ??= every(clock, probeTurnMs, probe);
    dispatch(call);
  }

  /**
   * That somebody died with it must not get lost, unless somebody else has it now. Where nobody knows that it arrived,
   * and the way there or back is in trouble, that is why there is no answer.
   */
  function tooLate(call: OpenCall): BusError {
    const isStarted = call.reached === 'running' || call.reached === 'answered';
    if (call.refusal && call.mayBeDone && !isStarted) return call.refusal;
    const trouble = call.reached === 'sent' && call.target && post.trouble?.(call.target.instance.address);
    return trouble ? unreachable(call, clock, trouble) : timedOut(call);
  }

  /** Sends it to an instance that has not refused it; never sends what was settled meanwhile. */
  function dispatch(call: OpenCall): void {
    const targets = peers.of(moduleOf(call.entry));
    if (!(targets instanceof Promise)) return dispatchTo(call, targets);
    targets.then(
      (found) => dispatchTo(call, found),
      (error: unknown) => settle(call, isBusError(error) ? error : unread(call, clock, error)),
    );
  }
  function dispatchTo(call: OpenCall, targets: readonly PeerTarget<OpenCall>[]): void {
    if (call.settled) return;
    const target = choose(call, targets);
    if (!target) return nobody(call);
    call.stamp = { incarnation: parts.incarnation, position: parts.nextPosition() };
    try {
      post.send(target.instance.address, packetOf(parts, call));
    } catch (error) {
      if (isBusError(error, 'Unreachable')) return refuse(call, target.instance.address, error);
      return settle(call, error);
    }
    call.target = target;
    call.reached = 'sent';
    target.open.add(call);
    if (notices.watched) notices.tell({ type: 'sent', kind: 'request', entry: call.entry.name, id: call.id });
  }
  function choose(call: OpenCall, targets: readonly PeerTarget<OpenCall>[]): PeerTarget<OpenCall> | undefined {
    const { to, key } = call.options;
    const { refusedBy } = call;
    const able = refusedBy.size > 0 ? targets.filter(({ instance }) => !refusedBy.has(instance.address)) : targets;
    if (to !== undefined) return able.find(({ instance }) => instance.name === to);
    return key === undefined ? pickLessBusy(able, parts.random) : pickByKey(able, key);
  }
  /** Nobody to ask: waits for a first instance as long as the caller wants, then says what is missing. */
  function nobody(call: OpenCall): void {
    const waitMs = Math.min(call.options.absentMs ?? 0, call.timeoutMs) + call.begunMs - clock.mono();
    const module = moduleOf(call.entry);
    if (waitMs <= 0) return settle(call, lastRefusal(call));
    const ended = (stop: () => void): void => void (call.stopWaiting = stop);
    void peers.appears(module, waitMs, ended).then(() => dispatch(call));
  }
  /** It was not started there: somebody else may be asked. */
  function refuse(call: OpenCall, address: string, why: BusError): void {
    call.target?.open.delete(call);
    call.target = undefined;
    call.reached = 'not-sent';
    call.refusedBy.add(address);
    const isUncertain = isBusError(why, 'ResponderLost', 'Timeout');
    if (isUncertain || !call.mayBeDone) call.refusal = why;
    call.mayBeDone ||= isUncertain;
    dispatch(call);
  }

  function settle(call: OpenCall, error: unknown): void {
    if (!finish(call)) return;
    tellEnd(call, outcomeOf(error));
    call.reject(error);
  }
  function finish(call: OpenCall): boolean {
    if (call.settled) return false;
    call.settled = true;
    open.delete(call.id);
    call.target?.open.delete(call);
    if (call.target) peers.release(call.target);
    call.stopWaiting?.();
    call.deadlineTimer?.cancel();
    if (call.options.signal) followers.get(call.options.signal)?.delete(call);
    if (open.size === 0) {
      prober?.cancel();
      prober = undefined;
    }
    return true;
  }
  function tellEnd(call: OpenCall, outcome: string): void {
    if (!notices.watched) return;
    const took = tookMs(clock, call.begunMs);
    notices.tell({ type: 'answered', entry: call.entry.name, id: call.id, outcome, tookMs: took });
  }
  /** One listener for all calls under one signal: Node warns of a leak at the eleventh. */
  function follow(signal: AbortSignal, call: OpenCall): void {
    const known = followers.get(signal);
    if (known) return void known.add(call);
    const calls = new Set([call]);
    followers.set(signal, calls);
    signal.addEventListener('abort', () => calls.forEach(takeBack), { once: true });
  }
  function takeBack(call: OpenCall): void {
    if (call.settled) return;
    sendQuietly(call, 'cancel');
    settle(call, cancelled(call));
  }
  /** Cancels and probes are best effort: when they cannot be sent, `gone` or the deadline ends the call. */
  function sendQuietly(call: OpenCall, kind: 'cancel' | 'probe'): void {
    if (!call.target) return;
    const { id, entry, stamp } = call;
    const line = printEnvelope({ kind, entry: entry.name, id, from: parts.self, stamp });
    try {
      post.send(call.target.instance.address, { line, body: new Uint8Array(0) });
    } catch (error) {
      notices.tell({ type: 'dropped', what: kind, reason: String(error), entry: entry.name, id });
    }
  }
  function probe(): void {
    const monoMs = clock.mono();
    for (const call of open.values()) {
      const sinceMs = Math.max(call.begunMs, call.probedMs);
      if (monoMs - sinceMs < Math.min(probeAgainMs, call.timeoutMs / 2)) continue;
      call.probedMs = monoMs;
      // Where nothing gets through now, it would only lie before what waits there.
      if (call.target && post.trouble?.(call.target.instance.address) !== undefined) continue;
      sendQuietly(call, 'probe');
    }
  }

  function reply(envelope: Envelope, bytes: Uint8Array): void {
    const call = open.get(envelope.id);
    const target = call?.target;
    if (!call || target?.instance.name !== envelope.from) {
      const reason = call ? `from ${envelope.from}, which was not asked` : 'nobody waits for it any more';
      return notices.tell({ type: 'dropped', what: 'reply', reason, entry: envelope.entry, id: envelope.id });
    }
    if (envelope.status === 'state') return heardState(call, envelope);
    try {
      const value = openReply(call.entry, envelope, bytes);
      if (!(value instanceof Promise)) return resolved(call, value);
      call.opening = true;
      value.then(
        (late) => resolved(call, late),
        (error) => settle(call, error),
      );
    } catch (error) {
      if (isRefusal(error)) return refuse(call, target.instance.address, error);
      // The deadline passed there a moment earlier than here, where it ends the call.
      if (isBusError(error, 'Timeout')) return void (call.reached = 'running');
      settle(call, error);
    }
  }
  function resolved(call: OpenCall, value: unknown): void {
    if (!finish(call)) return;
    tellEnd(call, 'ok');
    call.resolve(value);
  }
  /**
   * 'unknown' is certain: the probe came behind the request on the same way, so the request never arrived. So is
   * 'answered': the answer would have come before this on the same way.
   */
  function heardState(call: OpenCall, { code, stamp }: Envelope): void {
    if (stamp?.position !== call.stamp?.position) return; // asked before it was sent again
    const { target, opening } = call;
    if (!target || opening) return;
    const state = (code ?? 'unknown') as State; // one of those that `probe` of the answerer gives
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
        `${call.entry.name}: ${target.instance.name} died with the request; it may or may not have been done`,
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
    },
  };
}

function packetOf(parts: CallerParts, call: OpenCall): Packet {
  const { scope, stamp } = call;
  const { clock, post } = parts;
  const leftMs = call.leftMs(clock);
  const line = printEnvelope({
    kind: 'request',
    entry: call.entry.name,
    id: call.id,
    from: parts.self,
    stamp,
    // By our clock as it is now, for it may have been set since the call began; never later than was promised.
    ...(leftMs !== Infinity && { deadlineMs: Math.floor(clock.now() + leftMs) + (post.skewMs ?? 0) }),
    ...(scope && inherited(scope)),
  });
  return { line, body: call.body, withinMs: leftMs };
}
/** Answers that say 'not started here'. */
function isRefusal(error: unknown): error is BusError<'Closed' | 'Incompatible'> {
  return isBusError(error, 'Closed', 'Incompatible');
}
function outcomeOf(error: unknown): string {
  // Failure and BusError both carry a code; anything else is a fault of a schema.
  return error instanceof Error && 'code' in error ? String(error.code) : 'HandlerFailed';
}
