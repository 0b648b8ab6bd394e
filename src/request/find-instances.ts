/** Finds all instances of a module for a request to each. One deadline covers the search and the requests. */
import type { Clock } from '../base/clock';
import { onAbort } from '../base/lifecycle';
import { moduleOf } from '../contract/contract';
import type { Request } from '../contract/types';
import { currentScope, type Scopes } from '../delivery/context';
import type { Instance } from '../ports/registry';

import { badTimeout, cancelled, timedOut } from './call-errors';
import type { AskOptions } from './open-call';
import type { About, Peers } from './peers';

export interface EverybodyParts {
  readonly clock: Clock;
  readonly scopes: Scopes;
  readonly peers: Pick<Peers<About>, 'of'>;
  /** Returns the timeout of calls that set none, in ms. */
  readonly timeoutMs: (entry: Request) => number;
}
export interface Everybody {
  readonly instances: readonly Instance[];
  /** The caller's options, with the timeout that is left after the search. */
  readonly options: AskOptions;
}

/**
 * Resolves with the instances. Rejects with Timeout or Cancelled while the registry does not answer, and with the
 * registry's own errors.
 */
export async function findEverybody(parts: EverybodyParts, entry: Request, given: AskOptions = {}): Promise<Everybody> {
  const { clock, peers } = parts;
  const timeoutMs = given.timeoutMs ?? parts.timeoutMs(entry);
  if (!(timeoutMs >= 0)) throw badTimeout(entry, timeoutMs);
  const found = peers.of(moduleOf(entry));
  if (!(found instanceof Promise)) return { instances: instancesOf(found), options: given };
  const untilMs = clock.now() + timeoutMs;
  const inTime = beforeDeadline(parts, found, entry, { ...given, timeoutMs });
  const instances = instancesOf(await inTime);
  return { instances, options: { ...given, timeoutMs: Math.max(0, untilMs - clock.now()) } };
}

function beforeDeadline<T>(
  { clock, scopes }: EverybodyParts,
  found: Promise<T>,
  entry: Request,
  { signal, timeoutMs }: AskOptions & { readonly timeoutMs: number },
): Promise<T> {
  const leftMs = Math.min(timeoutMs, (currentScope(scopes)?.deadline ?? Infinity) - clock.now());
  return new Promise<T>((resolve, reject) => {
    const late = (): void => reject(timedOut({ reached: 'not-sent', entry, timeoutMs: leftMs, target: undefined }));
    const takenBack = (): void => reject(cancelled({ entry, options: signal ? { signal } : {} }));
    const timer = leftMs === Infinity ? undefined : clock.after(leftMs, late);
    const ignore = signal && onAbort(signal, takenBack);
    if (signal?.aborted) takenBack();
    const ended = (): void => {
      timer?.cancel();
      ignore?.();
    };
    found.then(resolve, reject).finally(ended);
  });
}

function instancesOf(targets: readonly { readonly instance: Instance }[]): readonly Instance[] {
  return targets.map(({ instance }) => instance);
}
