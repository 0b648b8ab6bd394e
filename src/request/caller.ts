/** Sends requests on the caller's side: checks and encodes the input, and connects the parts that handle a request. */
import { isBusError } from '../base/errors';
import { check } from '../contract/check';
import type { Request } from '../contract/types';
import { currentScope, type Scopes } from '../delivery/context';
import type { Outgoing } from '../delivery/outgoing';
import type { RecentlyEnded } from '../delivery/recently-ended';
import { encodeBody } from '../format/codec';
import { printEnvelope } from '../format/envelope-printer';
import { badTimeout, closed } from './call-errors';
import { createDispatcher, type SendParts } from './dispatch';
import { OpenCall, type AskOptions } from './open-call';
import { createOpenCalls } from './open-calls';
import type { About, PeerTarget } from './peers';
import { createProber } from './probe';
import { encodeReason } from './reason';
import { createReplyHandler, type ReplyHandler } from './replies';
import { withOrigin } from './reply';

export interface CallerParts extends SendParts {
  readonly scopes: Scopes;
  readonly makeId: () => string;
  /** Remembers the requests that ended. */
  readonly ended?: RecentlyEnded | undefined;
  readonly messageBytesMax: number;
  /** Maximum nesting depth of a body. Default: limits.bodyDepthMax. */
  readonly bodyDepthMax?: number | undefined;
  /** Returns the timeout of calls that set none, in ms. */
  readonly timeoutMs: (entry: Request) => number;
  /** Counts requests by their outcome. Default: they are not counted. */
  readonly outgoing?: Outgoing | undefined;
}
export interface Caller extends ReplyHandler {
  /** Sends a request, and resolves with its reply. */
  ask(entry: Request, input: unknown, options?: AskOptions): Promise<unknown>;
  /** Returns the requests without a reply, for operators. */
  open(): Iterable<OpenCall>;
  /** Ends all open requests with Closed. */
  close(): void;
}

export function createCaller(parts: CallerParts): Caller {
  const { clock, notices, messenger, peers, bodyDepthMax } = parts;
  const open = createOpenCalls({ clock, notices, messenger, peers, cancel, ended: parts.ended });
  const prober = createProber({
    clock,
    messenger,
    open: open.byId,
    send: (target, about) => sendQuietly(target, about, 'probe'),
  });
  const { send, refuse } = createDispatcher({ ...parts, prober, settle: open.settle });
  const replies = createReplyHandler({ clock, notices, peers, open, refuse, bodyDepthMax });
  let closedMs: number | undefined;

  /** Creates only one promise for each request, since each promise costs time. An error thrown inside rejects it. */
  function ask(entry: Request, input: unknown, options: AskOptions = {}): Promise<unknown> {
    return new Promise((accept, end) => {
      const counter = parts.outgoing?.of(entry);
      const begunMs = clock.now();
      const resolve = (value: unknown): void => {
        const nowMs = clock.now();
        counter?.succeeded(nowMs);
        counter?.took(nowMs, begunMs);
        accept(value);
      };
      const reject = (error: unknown): void => {
        counter?.failed(clock.now(), error);
        end(withOrigin(error, entry));
      };
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
      const body = encodeBody(input, parts.messageBytesMax, 'input', entry.name, bodyDepthMax);
      open.mustFit(entry.name, body.length);
      const id = parts.makeId();
      const call = new OpenCall(id, entry, body, options, scope, startedMs, begunMs, timeoutMs, resolve, reject);
      open.add(call);
      if (!call.settled) send(call);
    };
    const checked = check(entry.schemas.input, input, 'input', entry.name);
    if (checked instanceof Promise) checked.then(go).catch(reject);
    else go();
  }

  function cancel(call: OpenCall): void {
    if (call.target) sendQuietly(call.target, call, 'cancel', encodeReason(call.options.signal?.reason));
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

  return {
    ...replies,
    ask,
    open: () => open.byId.values(),
    close() {
      closedMs = clock.now();
      for (const call of open.byId.values()) open.settle(call, closed(clock, closedMs, call));
      prober.stop();
    },
  };
}
