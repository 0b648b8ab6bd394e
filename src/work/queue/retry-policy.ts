/** Decides what becomes of a message whose attempt failed: again after a while, or set aside. Pure. */
import type { Random } from '../../base/clock';
import { sayError } from '../../base/errors';
import { ParkSignal } from '../../delivery/context';
import type { RetryOptions } from '../types';

/** With the default backoff they span 61 to 123 s: a database has time to restart. */
export const attemptsDefault = 8;
export const longestMsDefault = 30_000;
const backoffMsDefault = 1_000;
/** A wait is not doubled beyond this. */
const doubledMsMax = 60_000;

/** It cannot be handled however often it is tried: bytes that are no body, or a body that the schema refuses. */
export class Refused extends Error {
  override readonly name = 'Refused';
}

export type Decision = { readonly againMs: number } | { readonly park: string; readonly thrown?: unknown };

/**
 * Decides after attempt number `attempt` has failed, from 1. The full wait is backoffMs, doubled with each attempt up
 * to a minute. The wait is a random one between half of that and all of it ("equal jitter"): messages that failed
 * together do not come back together, and none comes back before a dependency had the time that its author counted on.
 */
export function decide(options: RetryOptions, attempt: number, error: unknown, random: Random): Decision {
  if (error instanceof ParkSignal) return { park: error.message };
  if (error instanceof Refused) return { park: error.message };
  const attempts = options.attempts ?? attemptsDefault;
  if (attempt >= attempts)
    return { park: `attempt ${attempt} of ${attempts} failed: ${sayError(error)}`, thrown: error };
  const { backoffMs = backoffMsDefault } = options;
  const fullMs = Math.min(backoffMs * 2 ** (attempt - 1), Math.max(doubledMsMax, backoffMs));
  const halfMs = Math.ceil(fullMs / 2);
  return { againMs: halfMs + Math.floor(random.next() * (fullMs - halfMs + 1)) };
}
