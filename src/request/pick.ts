/** Chooses the instance that gets a request. */
import type { Random } from '../base/clock';
import type { Instance } from '../ports/registry';

/** An instance as a caller sees it: `open` is how many of its requests are without an answer. */
export interface Target {
  readonly instance: Instance;
  readonly open: { readonly size: number };
}

/** The better of two drawn at random, so that callers who see the same figures do not all choose the same instance. */
export function pickLessBusy<T extends Target>(targets: readonly T[], random: Random): T | undefined {
  const first = targets[Math.floor(random.next() * targets.length)];
  const second = targets[Math.floor(random.next() * targets.length)];
  if (!first || !second) return undefined;
  return second.open.size < first.open.size ? second : first;
}

/** Rendezvous hashing: a key keeps its instance as long as that is up, and only the keys of one that left move. */
export function pickByKey<T extends Target>(targets: readonly T[], key: string): T | undefined {
  let best: T | undefined;
  let bestScore = -1;
  for (const target of targets) {
    const score = hash(`${key}@${target.instance.name}`);
    if (score > bestScore) [best, bestScore] = [target, score];
  }
  return best;
}

/** FNV-1a with a final mix; without the mix names that differ in the last letter score alike. */
function hash(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
