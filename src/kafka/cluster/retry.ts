/** Retries requests to brokers, with growing random pauses, until they succeed or their time is over. */
import { sleep, type Clock, type Random } from '../../base/clock';
import { onAbort } from '../../base/lifecycle';
import { busErrorOf, KafkaError } from '../protocol/errors';

const pauseMsMin = 20;
const pauseMsMax = 500;

/** Returns the pause before a retry. It doubles per try up to `maxMs`. Clients get random ones, to retry apart. */
export function pauseMs(random: Random, tries: number, maxMs = pauseMsMax): number {
  const longestMs = Math.min(pauseMsMin * 2 ** Math.min(tries, 20), maxMs);
  return longestMs * (0.5 + random.next() / 2);
}

export interface RetryParts {
  readonly clock: Clock;
  readonly random: Random;
  /** Name of the logged-in user, for errors. */
  readonly user?: string | undefined;
  /** Looks up the leaders again, before a retry of an error that another leader can resolve. */
  readonly refresh: () => Promise<void>;
  /** Ends the pauses and the retries. */
  readonly closing: AbortSignal;
}

/**
 * Runs a request until it succeeds. Retries errors that time or another broker can resolve, for at most `forMs`.
 * Rejects with a BusError about `what`. Its outcome is unknown if that of any try is.
 */
export async function retried<T>(parts: RetryParts, what: string, run: () => Promise<T>, forMs: number): Promise<T> {
  const { clock, random, user, refresh, closing } = parts;
  const begunMs = clock.mono();
  let uncertain = false;
  for (let tries = 0; ; tries++) {
    try {
      return await run();
    } catch (error) {
      if (!(error instanceof KafkaError)) throw error;
      uncertain ||= error.uncertain;
      const waitedMs = clock.mono() - begunMs;
      const over = waitedMs >= forMs || closing.aborted;
      if (!error.retriable || over) throw busErrorOf(error, what, waitedMs, user, uncertain);
      if (error.step === 'leader') await refresh();
      await sleep(clock, pauseMs(random, tries), closing);
    }
  }
}

/** Returns the results, or throws the first error in them. */
export function allGood<A extends { readonly error: KafkaError | null }>(answers: readonly A[]): readonly A[] {
  const failed = answers.find(({ error }) => error !== null);
  if (failed?.error) throw failed.error;
  return answers;
}

/** Settles like `work`, or rejects with the signal's reason when it aborts. */
export function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = (): void => reject(signal.reason as KafkaError); // each caller aborts with one
    if (signal.aborted) stop();
    work.then(resolve, reject).finally(onAbort(signal, stop));
  });
}
