/** Finds all instances of a module for a request to each. One deadline covers the search and the requests. */
import type { Clock } from '../base/clock';
import { deferred, onAbort } from '../base/lifecycle';
import { moduleOf } from '../contract/contract';
import type { Request } from '../contract/types';
import { currentScope, type Scopes } from '../delivery/context';
import type { Instance } from '../ports/registry';

import { badTimeout, cancelled, timedOut } from './call-errors';
import type { AskOptions } from './open-call';
import type { About, Peers } from './peers';

export interface FindInstancesParts {
  readonly clock: Clock;
  readonly scopes: Scopes;
  readonly peers: Pick<Peers<About>, 'of'>;
  /** Returns the timeout of calls that set none, in ms. */
  readonly timeoutMs: (entry: Request) => number;
}
export interface FoundInstances {
  readonly instances: readonly Instance[];
  /** The caller's options, with the timeout that is left after the search. */
  readonly options: AskOptions;
}

/**
 * Resolves with the instances. Rejects with Timeout or Cancelled while the registry does not answer, and with the
 * registry's own errors.
 */
export async function findAllInstances(
  parts: FindInstancesParts,
  entry: Request,
  given: AskOptions = {},
): Promise<FoundInstances> {
  const { clock, peers } = parts;
  const timeoutMs = given.timeoutMs ?? parts.timeoutMs(entry);
  if (!(timeoutMs >= 0)) throw badTimeout(entry, timeoutMs);
  const found = peers.of(moduleOf(entry));
  if (!(found instanceof Promise)) return { instances: instancesOf(found), options: given };
  const untilMs = clock.mono() + timeoutMs;
  const inTime = beforeDeadline(parts, found, entry, { ...given, timeoutMs });
  const instances = instancesOf(await inTime);
  return { instances, options: { ...given, timeoutMs: Math.max(0, untilMs - clock.mono()) } };
}

function beforeDeadline<T>(
  { clock, scopes }: FindInstancesParts,
  found: Promise<T>,
  entry: Request,
  { signal, timeoutMs }: AskOptions & { readonly timeoutMs: number },
): Promise<T> {
  const leftMs = Math.min(timeoutMs, (currentScope(scopes)?.deadline ?? Infinity) - clock.now());
  const end = deferred<T>();
  const late = (): void => end.reject(timedOut({ reached: 'not-sent', entry, timeoutMs: leftMs, target: undefined }));
  const takenBack = (): void => end.reject(cancelled({ entry, options: signal ? { signal } : {} }));
  const timer = leftMs === Infinity ? undefined : clock.after(leftMs, late);
  const ignore = signal && onAbort(signal, takenBack);
  if (signal?.aborted) takenBack();
  found.then(
    (value) => end.resolve(value),
    (error: unknown) => end.reject(error),
  );
  return end.promise.finally(() => {
    timer?.cancel();
    ignore?.();
  });
}

function instancesOf(targets: readonly { readonly instance: Instance }[]): readonly Instance[] {
  return targets.map(({ instance }) => instance);
}
