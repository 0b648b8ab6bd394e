/** Does something soon after it is asked for: once for all who ask meanwhile, and never twice at the same time. */
import type { Clock, Random } from '../../base/clock';

export interface Soon {
  ask(): void;
  stop(): void;
}
export interface SoonParts {
  readonly clock: Clock;
  readonly random: Random;
  /** It begins at a moment by chance before this has passed, so that not all who heard of a change ask at once. */
  readonly jitterMs: () => number;
  /** Shortest time from one beginning to the next. */
  readonly gapMs: () => number;
}

/** `run` must not reject. */
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
    // Read anew: it may have been asked or stopped meanwhile.
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
