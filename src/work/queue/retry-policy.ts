/** Decides between retrying and parking after an attempt has failed. Pure functions. */
import type { Random } from '../../base/clock';
import { errorMessage } from '../../base/errors';
import { ParkSignal } from '../../delivery/context';
import type { RetryOptions } from '../types';

/** Number of attempts. With the default backoff they span 61 to 123 s, so that a database has time to restart. */
export const attemptsDefault = 8;
export const handoverMsDefault = 30_000;
const backoffMsDefault = 1_000;
/** Maximum of a doubled backoff, so that a recovered dependency is retried within a minute. */
const doubledMsMax = 60_000;

/** Error of a message that no attempt can handle: its bytes are not a body, or the schema rejects the body. */
export class Refused extends Error {
  override readonly name = 'Refused';
}

export type Decision = { readonly againMs: number } | { readonly park: string; readonly thrown?: unknown };

/**
 * Decides after attempt number `attempt` has failed, from 1. The full delay is backoffMs, doubled with each attempt up
 * to one minute. The actual delay is random between half and all of it ("equal jitter"). Messages that failed together
 * then do not return together, and a dependency always gets half of the full delay to recover.
 */
export function decide(options: RetryOptions, attempt: number, error: unknown, random: Random): Decision {
  if (error instanceof ParkSignal) return { park: error.message };
  if (error instanceof Refused) return { park: error.message };
  const attempts = options.attempts ?? attemptsDefault;
  if (attempt >= attempts)
    return { park: `attempt ${attempt} of ${attempts} failed: ${errorMessage(error)}`, thrown: error };
  const { backoffMs = backoffMsDefault } = options;
  const fullMs = Math.min(backoffMs * 2 ** (attempt - 1), Math.max(doubledMsMax, backoffMs));
  const halfMs = Math.ceil(fullMs / 2);
  return { againMs: halfMs + Math.floor(random.next() * (fullMs - halfMs + 1)) };
}
