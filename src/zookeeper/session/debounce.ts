/** Debounces a task: several requests cause one run, and runs never overlap. */
import type { Clock, Random } from '../../base/clock';

/** A debounced task. */
export interface Soon {
  ask(): void;
  stop(): void;
}
/** Dependencies of {@link openSoon}. */
export interface SoonParts {
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
export function openSoon({ clock, random, jitterMs, gapMs }: SoonParts, run: () => Promise<void>): Soon {
  let state: 'idle' | 'set' | 'runs' | 'runs, asked again' | 'stopped' = 'idle';
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
    // Reread the state: `ask` or `stop` can have been called during the run.
    const after = state as typeof state | 'runs, asked again' | 'stopped';
    if (after === 'runs, asked again') set();
    else if (after === 'runs') state = 'idle';
  }
  return {
    ask() {
      if (state === 'idle') set();
      else if (state === 'runs') state = 'runs, asked again';
    },
    stop() {
      state = 'stopped';
      timer.cancel();
    },
  };
}
