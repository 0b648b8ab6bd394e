/** How many handlers of an entry may run at once, and how many may start in a second, in this instance. */

export interface Pace {
  readonly concurrency: number;
  readonly running: number;
  mayStart(nowMs: number): boolean;
  /** After how long the rate allows another start; 0 when it does now. */
  delayMs(nowMs: number): number;
  started(nowMs: number): void;
  ended(): void;
  /** Takes effect from the next start on; what runs goes on. */
  change(limits: PaceLimits): void;
}
export interface PaceLimits {
  /** From 1; 0 while it is paused, when nothing starts. */
  readonly concurrency: number;
  /** Default Infinity: as fast as it goes. A second's worth may start at once after a pause. */
  readonly perSecond?: number | undefined;
}

export function createPace(limits: PaceLimits): Pace {
  let { concurrency, perSecond = Infinity } = limits;
  let running = 0;
  let tokens = perSecond;
  let filledMs: number | undefined;

  function fill(nowMs: number): void {
    if (perSecond === Infinity) return;
    const grown = filledMs === undefined ? 0 : ((nowMs - filledMs) / 1_000) * perSecond;
    tokens = Math.min(Math.max(1, perSecond), tokens + Math.max(0, grown));
    filledMs = nowMs;
  }
  function delayMs(nowMs: number): number {
    if (perSecond === Infinity) return 0;
    fill(nowMs);
    // The small addition keeps a timer that fires on the very millisecond from finding 0.9999 of a token.
    return tokens >= 1 ? 0 : Math.ceil(((1 - tokens) / perSecond) * 1_000 + 0.001);
  }
  return {
    get concurrency() {
      return concurrency;
    },
    get running() {
      return running;
    },
    mayStart: (nowMs) => running < concurrency && delayMs(nowMs) === 0,
    delayMs,
    started(nowMs) {
      running++;
      if (perSecond === Infinity) return;
      fill(nowMs);
      tokens -= 1;
    },
    ended() {
      running--;
    },
    change(to) {
      // What was not limited has saved nothing up.
      const saved = perSecond === Infinity ? 0 : tokens;
      ({ concurrency, perSecond = Infinity } = to);
      tokens = Math.min(saved, perSecond);
    },
  };
}
