/** Decides what becomes of a message whose attempt failed: again after a while, or set aside. Pure. */
import type { Random } from '../base/clock';
import { sayError } from '../base/errors';
import { ParkSignal } from '../delivery/context';
import type { RetryOptions } from './types';

export const attemptsDefault = 5;
export const longestMsDefault = 30_000;
const backoffMsDefault = 1_000;
const backoffMsMax = 60_000;

/** It cannot be handled however often it is tried: bytes that are no body, or a body that the schema refuses. */
export class Refused extends Error {
  override readonly name = 'Refused';
}

export type Decision = { readonly againMs: number } | { readonly park: string; readonly thrown?: unknown };

/**
 * `attempt` is the one that failed, from 1. Waits from 0 up to backoffMs, doubled with each attempt up to a minute:
 * any moment in between, so that what failed together does not come back together.
 */
export function decide(options: RetryOptions, attempt: number, error: unknown, random: Random): Decision {
  if (error instanceof ParkSignal) return { park: error.message };
  if (error instanceof Refused) return { park: error.message };
  const attempts = options.attempts ?? attemptsDefault;
  if (attempt >= attempts)
    return { park: `attempt ${attempt} of ${attempts} failed: ${sayError(error)}`, thrown: error };
  const mostMs = Math.min((options.backoffMs ?? backoffMsDefault) * 2 ** (attempt - 1), backoffMsMax);
  return { againMs: Math.floor(random.next() * (mostMs + 1)) };
}
