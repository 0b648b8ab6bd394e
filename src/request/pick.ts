/** Chooses the instance that gets a request. */
import type { Random } from '../base/clock';
import type { Instance } from '../ports/registry';

/** An instance as its caller sees it. */
export interface Target {
  readonly instance: Instance;
  /** Requests that were sent to it and have no answer. */
  readonly load: number;
  /** Since when it owes a sign of life, by the monotonic clock; undefined while it owes none. */
  readonly silentSinceMs: number | undefined;
}

/**
 * An instance that has sent nothing for this long, although it owes an answer, is not drawn while another one is there.
 * One that works for long answers the probes, which are sent after a second (`probeIntervalMs`).
 */
const silentMs = 2_000;

/**
 * Draws two different instances at random, and takes the one with fewer unanswered requests: callers that see the same
 * figures do not all choose the same instance.
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

/** Rendezvous hashing: a key keeps its instance as long as that is up, and only the keys of one that left move. */
export function pickByKey<T extends Target>(targets: readonly T[], key: string): T | undefined {
  let best: T | undefined;
  let bestScore = -1;
  for (const target of targets) {
    const score = scoreOf(target, key);
    if (score > bestScore) [best, bestScore] = [target, score];
  }
  return best;
}
/** In the order in which {@link pickByKey} would choose them, one after the other had been left out. */
export function orderByKey<T extends Target>(targets: readonly T[], key: string): T[] {
  const scored = targets.map((target) => ({ target, score: scoreOf(target, key) }));
  return scored.toSorted((one, other) => other.score - one.score).map(({ target }) => target);
}
function scoreOf({ instance }: Target, key: string): number {
  return hash(`${key}@${instance.name}`);
}

/** FNV-1a with a final mix; without the mix names that differ in the last letter score alike. */
function hash(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
