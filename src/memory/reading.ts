/** Waits for records without polling. */
import type { Stored } from '../ports/log';

/** Registers a wake-up callback, and returns the function that removes it. */
export type Waker = (wake: () => void) => () => void;

/**
 * Calls `look` now and after each wake-up until it returns a list or throws. It returns undefined if there is nothing
 * yet.
 */
export function whenAvailable(
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
