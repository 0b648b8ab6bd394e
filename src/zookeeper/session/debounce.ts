/** Debounces a task: several requests cause one run, and runs never overlap. */
import type { Clock, Random } from '../../base/clock';

/** A debounced task. */
export interface DebouncedTask {
  request(): void;
  stop(): void;
}
/** Dependencies of {@link debounce}. */
export interface DebouncedTaskParts {
  readonly clock: Clock;
  readonly random: Random;
  /**
   * Returns the longest random delay of a run, in ms. It spreads the requests of instances that received the same
   * change.
   */
  readonly jitterMs: () => number;
  /** Returns the shortest time between two starts, in ms. */
  readonly gapMs: () => number;
}

/** Creates the task. `run` must not reject. */
export function debounce(
  { clock, random, jitterMs, gapMs }: DebouncedTaskParts,
  run: () => Promise<void>,
): DebouncedTask {
  let state: 'idle' | 'set' | 'runs' | 'runs, requested again' | 'stopped' = 'idle';
  let lastMs = -Infinity;
  let timer = { cancel: (): void => undefined };

  function set(): void {
    const gapLeftMs = lastMs + gapMs() - clock.mono();
    state = 'set';
    timer = clock.after(Math.max(0, gapLeftMs) + random.next() * jitterMs(), () => void turn());
  }
  async function turn(): Promise<void> {
    state = 'runs';
    lastMs = clock.mono();
    await run();
    // Reread the state: `request` or `stop` can have been called during the run.
    const after = state as typeof state | 'runs, requested again' | 'stopped';
    if (after === 'runs, requested again') set();
    else if (after === 'runs') state = 'idle';
  }
  return {
    request() {
      if (state === 'idle') set();
      else if (state === 'runs') state = 'runs, requested again';
    },
    stop() {
      state = 'stopped';
      timer.cancel();
    },
  };
}
