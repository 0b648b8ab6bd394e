/** Waiting for records without polling. */
import type { Stored } from '../ports/log';

/** Registers a wake-up call; gives back what takes it away again. */
export type Waker = (wake: () => void) => () => void;

/** Looks now and after each wake-up until `look` gives a list or throws; undefined is 'not yet'. */
export function whenThere(
  look: () => readonly Stored[] | undefined,
  wakers: readonly Waker[],
): Promise<readonly Stored[]> {
  return new Promise((resolve, reject) => {
    const calls: (() => void)[] = [];
    const settled = (): boolean => {
      try {
        const found = look();
        if (found) resolve(found);
        return found !== undefined;
      } catch (error) {
        reject(error);
        return true;
      }
    };
    if (settled()) return;
    const wake = (): void => {
      if (settled()) for (const cancel of calls) cancel();
    };
    for (const waker of wakers) calls.push(waker(wake));
  });
}
