/** Handles what arrives about open requests: replies, states that probes return, and departures of instances. */
import type { Clock } from '../base/clock';
import { isBusError, type BusError } from '../base/errors';
import type { Notices } from '../base/notices';
import type { Envelope } from '../format/envelope-fields';
import { answerLost, noHandler, responderLost } from './call-errors';
import type { Dispatcher } from './dispatch';
import type { OpenCall, Reached } from './open-call';
import type { OpenCalls } from './open-calls';
import type { Peers } from './peers';
import { openReply, withOrigin } from './reply';

export interface ReplyHandlerParts {
  readonly clock: Clock;
  readonly notices: Notices;
  readonly peers: Pick<Peers<OpenCall>, 'at'>;
  readonly open: Pick<OpenCalls, 'byId' | 'resolve' | 'settle'>;
  /** Sends a request that one instance did not complete to another one. */
  readonly refuse: Dispatcher['refuse'];
  /** Maximum nesting depth of a body. Default: limits.bodyDepthMax. */
  readonly bodyDepthMax?: number | undefined;
}
export interface ReplyHandler {
  /** Handles a reply that arrived from this address. */
  reply(reply: Envelope, body: Uint8Array, from: string): void;
  /** Handles the death of an address, which will never reply again. */
  gone(address: string): void;
  /** Handles the notice of an instance that it is leaving. It answers the requests that it has and gets no new ones. */
  leaving(address: string): void;
}

type State = Reached | 'unknown';

export function createReplyHandler(parts: ReplyHandlerParts): ReplyHandler {
  const { clock, notices, peers, open, refuse } = parts;

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
    if (state === 'answered') lose(call, target.instance.address, answerLost(call, clock));
  }
  /** Sends an idempotent request to another instance. Any other request ends, because it can have been done. */
  function lose(call: OpenCall, address: string, error: BusError): void {
    if (call.entry.options.idempotent) refuse(call, address, error);
    else open.settle(call, error);
  }

  return {
    reply(envelope, bytes, from) {
      peers.at(from)?.responded(clock.mono());
      const call = open.byId.get(envelope.id);
      const target = call?.target;
      const isState = envelope.status === 'state';
      if (!call || target?.instance.name !== envelope.from) {
        if (isState) return; // the reply to a probe of an instance whose requests have ended
        const reason = call
          ? `it is from ${envelope.from}, which has not received the request`
          : 'no call waits for it';
        return notices.emit({ type: 'dropped', what: 'reply', reason, entry: envelope.entry, id: envelope.id });
      }
      if (isState) return handleState(call, envelope);
      call.isAnswered = true;
      const rejected = (error: unknown): void => open.settle(call, withOrigin(error, call.entry, target.instance));
      try {
        const value = openReply(call.entry, envelope, bytes, parts.bodyDepthMax);
        if (!(value instanceof Promise)) return open.resolve(call, value);
        call.opening = true;
        value.then((late) => open.resolve(call, late), rejected);
      } catch (error) {
        if (isRefusal(error)) return refuse(call, target.instance.address, error);
        // The deadline passed at the responder first. The local deadline timer ends the call in a moment.
        if (isBusError(error, 'Timeout')) return void (call.reached = 'running');
        rejected(error);
      }
    },
    gone(address) {
      const target = peers.at(address);
      if (!target) return;
      target.leaving = true;
      const instance = target.instance.name;
      for (const call of target.open) {
        lose(call, address, responderLost(call, instance));
      }
    },
    leaving(address) {
      const target = peers.at(address);
      if (target) target.leaving = true;
    },
  };
}

/** Returns true for errors that prove that the request was not started at the responder. */
function isRefusal(error: unknown): error is BusError<'Closed' | 'Incompatible'> {
  return isBusError(error, 'Closed', 'Incompatible');
}
