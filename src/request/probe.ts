/** Asks after requests without an answer: whether they arrived, and whether their instance still answers at all. */
import { every, type Clock, type Timer } from '../base/clock';
import type { Post } from '../ports/messenger';
import type { OpenCall } from './open-call';
import type { About, PeerTarget } from './peers';

interface ProberParts {
  readonly clock: Clock;
  readonly post: Pick<Post, 'trouble'>;
  /** All requests without an answer. */
  readonly open: ReadonlyMap<string, OpenCall>;
  /** Sends a probe for this request; returns false when nothing can be sent to the instance any longer. */
  readonly send: (target: PeerTarget<OpenCall>, about: About) => boolean;
}
export interface Prober {
  /** A request was sent to it, or could not be. */
  watch(target: PeerTarget<OpenCall>): void;
  stop(): void;
}

const turnIntervalMs = 250;
/** A request, and an instance that owes an answer, are asked after this often. */
const probeIntervalMs = 1_000;
/**
 * A busy instance has to answer its probes too. Without this limit 20,000 waiting requests would cost it 40,000 packets
 * a second; with it the search for a lost one takes longer.
 */
const probesPerTurnMax = 250;

export function createProber({ clock, post, open, send }: ProberParts): Prober {
  /** Instances that may owe a sign of life. */
  const watched = new Set<PeerTarget<OpenCall>>();
  let calls = open.values();
  let timer: Timer | undefined;

  function turn(): void {
    const monoMs = clock.mono();
    for (const target of watched) probeTarget(target, monoMs);
    probeCalls(monoMs);
    if (open.size === 0 && watched.size === 0) stop();
  }
  function stop(): void {
    timer?.cancel();
    timer = undefined;
  }
  /** Goes on after all its requests have ended: only an answer shows that it can be chosen again. */
  function probeTarget(target: PeerTarget<OpenCall>, monoMs: number): void {
    const { silentSinceMs, last } = target;
    if (silentSinceMs === undefined || (target.leaving && target.open.size === 0)) return void watched.delete(target);
    if (monoMs - Math.max(silentSinceMs, target.probedMs) < probeIntervalMs) return;
    const [call] = target.open;
    if (call) call.probedMs = monoMs;
    const about = call ?? last;
    if (!about || !probe(target, about, monoMs)) watched.delete(target);
  }
  /** Goes on where the turn before stopped. */
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
    // Where nothing gets through now, a probe would only wait behind what waits there.
    return post.trouble?.(target.instance.address) !== undefined || send(target, about);
  }

  return {
    watch(target) {
      watched.add(target);
      timer ??= every(clock, turnIntervalMs, turn);
    },
    stop,
  };
}
