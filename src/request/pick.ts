/** Chooses the instance that gets a request. */
import type { Random } from '../base/clock';
import type { Instance } from '../ports/registry';

/** An instance as its caller sees it. */
export interface Target {
  readonly instance: Instance;
  /** Number of requests that were sent to the instance and have no reply. */
  readonly load: number;
  /** Monotonic time since which the instance owes a sign of life. Undefined while it owes none. */
  readonly silentSinceMs: number | undefined;
}

/**
 * An instance that owes a reply and has sent nothing for this long is not chosen while another one is available. A busy
 * instance still answers probes, which are sent after one second (`probeIntervalMs`), so it does not count as silent.
 */
const silentMs = 2_000;

/**
 * Returns the instance with fewer unanswered requests of two random ones. The random draw prevents callers that see the
 * same load from all choosing the same instance.
 */
export function pickLessBusy<T extends Target>(targets: readonly T[], random: Random, monoMs: number): T | undefined {
  const { length } = targets;
  if (length <= 1) return targets[0];
  const at = Math.floor(random.next() * length);
  const step = Math.floor(random.next() * (length - 1)) + 1;
  const [first, second] = [targets[at], targets[(at + step) % length]];
  if (!first || !second) return first;
  const [isFirstSilent, isSecondSilent] = [isSilent(first, monoMs), isSilent(second, monoMs)];
  if (isFirstSilent && isSecondSilent && length > 2) {
    const others = targets.filter((target) => !isSilent(target, monoMs));
    if (others.length > 0) return pickLessBusy(others, random, monoMs);
  }
  if (isFirstSilent !== isSecondSilent) return isFirstSilent ? second : first;
  return second.load < first.load ? second : first;
}

function isSilent({ silentSinceMs }: Target, monoMs: number): boolean {
  return silentSinceMs !== undefined && monoMs - silentSinceMs >= silentMs;
}

/**
 * Chooses by rendezvous hashing. A key keeps its instance while that is running, and only the keys of an instance that
 * left move.
 */
export function pickByKey<T extends Target>(targets: readonly T[], key: string): T | undefined {
  let best: T | undefined;
  let bestScore = -1;
  for (const target of targets) {
    const score = scoreOf(target, key);
    if (score > bestScore) [best, bestScore] = [target, score];
  }
  return best;
}
/** Returns the targets in the order in which {@link pickByKey} would choose them if each earlier one were missing. */
export function orderByKey<T extends Target>(targets: readonly T[], key: string): T[] {
  const scored = targets.map((target) => ({ target, score: scoreOf(target, key) }));
  return scored.toSorted((one, other) => other.score - one.score).map(({ target }) => target);
}
function scoreOf({ instance }: Target, key: string): number {
  return hash(`${key}@${instance.name}`);
}

/**
 * Returns the FNV-1a hash with a final mix. Without the mix, names that differ only in the last letter get similar
 * scores.
 */
function hash(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
