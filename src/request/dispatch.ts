/** Sends a request to an instance that has not refused it, and tries the next instance when sending fails. */
import type { Clock, Random } from '../base/clock';
import { isBusError, type BusError } from '../base/errors';
import type { Notices } from '../base/notices';
import { moduleOf } from '../contract/contract';
import { inherited } from '../delivery/context';
import type { Envelope } from '../format/envelope-fields';
import { printEnvelope } from '../format/envelope-printer';
import type { Packet, Messenger } from '../ports/messenger';
import { lastRefusal, unread } from './call-errors';
import type { OpenCall } from './open-call';
import type { PeerTarget, Peers } from './peers';
import { orderByKey, pickByKey, pickLessBusy } from './pick';
import type { Prober } from './probe';

export interface SendParts {
  readonly clock: Clock;
  readonly random: Random;
  readonly notices: Notices;
  readonly messenger: Messenger;
  readonly peers: Peers<OpenCall>;
  /** Name of this instance. */
  readonly self: string;
  readonly incarnation: string;
  readonly nextPosition: () => number;
}
interface DispatcherParts extends SendParts {
  readonly prober: Prober;
  /** Ends a request that cannot be sent. */
  readonly settle: (call: OpenCall, error: unknown) => void;
}
export interface Dispatcher {
  /** Sends the call to an instance. A call that settled meanwhile is not sent. */
  readonly send: (call: OpenCall) => void;
  /** Notes that the request was not completed at this address, with the reason, and sends it to another instance. */
  readonly refuse: (call: OpenCall, address: string, why: BusError) => void;
}

type Peer = PeerTarget<OpenCall>;

/** Number of unreachable instances tried in one turn of the event loop. A long list must not block the loop. */
const triesPerTurnMax = 50;

export function createDispatcher(parts: DispatcherParts): Dispatcher {
  const { clock, random, notices, messenger, peers, prober, settle } = parts;

  function send(call: OpenCall): void {
    const targets = peers.of(moduleOf(call.entry));
    if (!(targets instanceof Promise)) return sendToOneOf(call, targets);
    targets.then(
      (found) => sendToOneOf(call, found),
      (error: unknown) => settle(call, isBusError(error) ? error : unread(call, clock, error)),
    );
  }
  function sendToOneOf(call: OpenCall, targets: readonly Peer[]): void {
    if (call.settled) return;
    const { refusedBy, options } = call;
    const able = refusedBy.size > 0 ? targets.filter(({ instance }) => !refusedBy.has(instance.address)) : targets;
    const target = choose(call, able);
    if (!target) return waitForInstance(call);
    if (sendTo(call, target)) return;
    const others = options.to === undefined ? able.filter((other) => other !== target) : [];
    tryOthers(call, options.key === undefined ? others : orderByKey(others, options.key).toReversed());
  }
  /** Tries the remaining instances until one can be reached. Instances that died together stay listed for a moment. */
  function tryOthers(call: OpenCall, others: Peer[]): void {
    for (let tries = 0; tries < triesPerTurnMax; tries++) {
      if (call.settled) return;
      const target = takeNext(call, others);
      if (!target) return waitForInstance(call);
      // One that left during the pause below is unknown to `peers`, so its death would not reach the call.
      if (!target.leaving && sendTo(call, target)) return;
    }
    clock.after(0, () => tryOthers(call, others));
  }
  function choose({ options }: OpenCall, able: readonly Peer[]): Peer | undefined {
    const { to, key } = options;
    if (to !== undefined) return able.find(({ instance }) => instance.name === to);
    return key === undefined ? pickLessBusy(able, random, clock.mono()) : pickByKey(able, key);
  }
  function takeNext({ options }: OpenCall, others: Peer[]): Peer | undefined {
    if (options.key !== undefined) return others.pop();
    const target = pickLessBusy(others, random, clock.mono());
    if (target) others.splice(others.indexOf(target), 1);
    return target;
  }

  /** Sends the call to the target. Returns false when the target is unreachable or its send queue is full. */
  function sendTo(call: OpenCall, target: Peer): boolean {
    call.stamp = { incarnation: parts.incarnation, position: parts.nextPosition() };
    try {
      messenger.send(target.instance.address, packetOf(parts, call));
    } catch (error) {
      if (isBusError(error, 'Unreachable', 'Overloaded')) {
        if (error.code === 'Unreachable') target.unreachable(clock.mono());
        prober.watch(target);
        note(call, target.instance.address, error);
        return false;
      }
      settle(call, error);
      return true;
    }
    call.target = target;
    call.reached = 'sent';
    call.isAnswered = false;
    target.sent(call, clock.mono());
    prober.watch(target);
    if (notices.watched) notices.emit({ type: 'sent', kind: 'request', entry: call.entry.name, id: call.id });
    return true;
  }
  /** Waits up to `waitForInstanceMs` for an instance, then settles the call with the reason why none is left. */
  function waitForInstance(call: OpenCall): void {
    const waitMs = Math.min(call.options.waitForInstanceMs ?? 0, call.timeoutMs) + call.begunMs - clock.mono();
    if (waitMs <= 0) return settle(call, lastRefusal(call));
    const ended = (stop: () => void): void => void (call.stopWaiting = stop);
    void peers.appears(moduleOf(call.entry), waitMs, ended).then(() => send(call));
  }
  function note(call: OpenCall, address: string, why: BusError): void {
    call.refusedBy.add(address);
    const isUncertain = isBusError(why, 'ResponderLost', 'Timeout');
    if (isUncertain || !call.mayBeDone) call.refusal = why;
    call.mayBeDone ||= isUncertain;
  }

  return {
    send,
    refuse(call, address, why) {
      const { target } = call;
      call.target = undefined;
      target?.ended(call, true);
      if (target) peers.release(target);
      call.reached = 'not-sent';
      note(call, address, why);
      send(call);
    },
  };
}

function packetOf({ clock, messenger, self }: SendParts, call: OpenCall): Packet {
  const { id, scope, stamp, entry } = call;
  const leftMs = call.leftMs(clock);
  // Computed by the local clock as it is now, since the clock can have been set after the call began. The remaining
  // time is measured by the monotonic clock and rounded down, so the deadline is never later than promised.
  const deadlineMs = leftMs === Infinity ? undefined : Math.floor(clock.now() + leftMs) + (messenger.skewMs ?? 0);
  const envelope: Envelope = { kind: 'request', entry: entry.name, id, from: self, stamp, deadlineMs };
  const line = printEnvelope(scope ? { ...envelope, ...inherited(scope) } : envelope);
  return { line, body: call.body, withinMs: leftMs };
}
