/** Probes requests without a reply: detects lost requests, and instances that no longer respond. */
import { every, type Clock, type Timer } from '../base/clock';
import type { Messenger } from '../ports/messenger';
import type { OpenCall } from './open-call';
import type { About, PeerTarget } from './peers';

interface ProberParts {
  readonly clock: Clock;
  readonly messenger: Pick<Messenger, 'whyDelayed'>;
  /** All requests without a reply. */
  readonly open: ReadonlyMap<string, OpenCall>;
  /** Sends a probe for this request. Returns false when the instance can no longer be reached. */
  readonly send: (target: PeerTarget<OpenCall>, about: About) => boolean;
}
export interface Prober {
  /** Watches an instance to which a request was sent or could not be sent. */
  watch(target: PeerTarget<OpenCall>): void;
  /** Ends all probing. Later calls of `watch` have no effect. */
  stop(): void;
}

const turnIntervalMs = 250;
/** Interval between two probes of a request, or of an instance that owes a reply. */
const probeIntervalMs = 1_000;
/**
 * Maximum number of probes in one turn, because a busy instance has to answer its probes too. Without it, 20,000
 * waiting requests would cost the instance 40,000 packets a second. The limit makes the search for a lost request
 * slower.
 */
const probesPerTurnMax = 250;

export function createProber({ clock, messenger, open, send }: ProberParts): Prober {
  /** Instances that can owe a sign of life. */
  const watched = new Set<PeerTarget<OpenCall>>();
  let calls = open.values();
  let timer: Timer | undefined;
  let isStopped = false;

  function turn(): void {
    const monoMs = clock.mono();
    for (const target of watched) probeTarget(target, monoMs);
    probeCalls(monoMs);
    if (open.size === 0 && watched.size === 0) pause();
  }
  function pause(): void {
    timer?.cancel();
    timer = undefined;
  }
  /**
   * Probes an instance that owes a reply, even after all its requests have ended. A reply makes it eligible again. An
   * instance to which no probe can be sent becomes eligible as well: only the next request can find out whether it can
   * be reached, and that request fails over if it cannot.
   */
  function probeTarget(target: PeerTarget<OpenCall>, monoMs: number): void {
    const { silentSinceMs, last } = target;
    if (silentSinceMs === undefined || (target.leaving && target.open.size === 0)) return void watched.delete(target);
    if (monoMs - Math.max(silentSinceMs, target.probedMs) < probeIntervalMs) return;
    const [call] = target.open;
    if (call) call.probedMs = monoMs;
    const about = call ?? last;
    if (!about || !probe(target, about, monoMs)) giveUp(target);
  }
  function giveUp(target: PeerTarget<OpenCall>): void {
    watched.delete(target);
    target.silentSinceMs = undefined;
  }
  /** Probes open requests in turn, from the position where the previous turn stopped. */
  function probeCalls(monoMs: number): void {
    for (let [looked, sent] = [0, 0]; looked < open.size && sent < probesPerTurnMax; looked++) {
      let next = calls.next();
      if (next.done) {
        calls = open.values();
        next = calls.next();
        if (next.done) return;
      }
      const call = next.value;
      const sinceMs = Math.max(call.begunMs, call.probedMs);
      if (monoMs - sinceMs < Math.min(probeIntervalMs, call.timeoutMs / 2)) continue;
      call.probedMs = monoMs;
      if (!call.target) continue;
      probe(call.target, call, monoMs);
      sent++;
    }
  }
  function probe(target: PeerTarget<OpenCall>, about: About, monoMs: number): boolean {
    target.probedMs = monoMs;
    // While the transport reports a failure, a probe would only queue behind the packets that already wait.
    return messenger.whyDelayed?.(target.instance.address) !== undefined || send(target, about);
  }

  return {
    watch(target) {
      if (isStopped) return;
      watched.add(target);
      timer ??= every(clock, turnIntervalMs, turn);
    },
    stop() {
      isStopped = true;
      watched.clear();
      pause();
    },
  };
}
