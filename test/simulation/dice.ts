/** Chance in the shapes that a run draws it in, all from its seed. */
import { seededRandom } from '../../src/memory';

export interface Dice {
  /** From 0 (included) to 1 (excluded). */
  next(): number;
  /** A whole number from `low` up to and with `high`. */
  whole(low: number, high: number): number;
  chance(probability: number): boolean;
  pick<T>(from: readonly [T, ...T[]]): T;
}

/** Dice of one seed for one purpose: what one of them draws moves no other. */
export function dice(seed: number, purpose: number): Dice {
  const random = seededRandom(Math.imul(seed, 0x9e3779b1) ^ Math.imul(purpose + 1, 0x85ebca6b));
  const next = (): number => random.next();
  return {
    next,
    whole: (low, high) => low + Math.floor(next() * (high - low + 1)),
    chance: (probability) => next() < probability,
    pick: (from) => from[Math.floor(next() * from.length)] ?? from[0],
  };
}
