/** Limits how many handlers of an entry run at once in this instance, and how many start in a second. */

export interface Limiter {
  readonly concurrency: number;
  readonly running: number;
  readonly perSecond: number;
  mayStart(nowMs: number): boolean;
  /** Returns the time until the rate allows the next start, in ms. Returns 0 when it allows one now. */
  delayMs(nowMs: number): number;
  started(nowMs: number): void;
  ended(): void;
  /** Changes the limits from the next start on. Running handlers continue. */
  change(limits: LimiterLimits): void;
}
export interface LimiterLimits {
  /** Maximum number of running handlers. 0 pauses the entry, so that no handler starts. */
  readonly concurrency: number;
  /** Maximum number of starts in a second. Default Infinity. After a pause, one second's worth can start at once. */
  readonly perSecond?: number | undefined;
}
/** Handlers of an entry at one instance. */
export interface HandlerLimits {
  readonly entry: string;
  readonly running: number;
  /** Maximum number of running handlers. */
  readonly concurrency: number;
  /** Maximum number of handlers started in a second; null when there is none. */
  readonly perSecond: number | null;
}

export function createLimiter(limits: LimiterLimits): Limiter {
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
    // The small addition prevents a timer that fires exactly on time from finding only 0.9999 of a token.
    return tokens >= 1 ? 0 : Math.ceil(((1 - tokens) / perSecond) * 1_000 + 0.001);
  }
  return {
    get concurrency() {
      return concurrency;
    },
    get running() {
      return running;
    },
    get perSecond() {
      return perSecond;
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
      // Without a rate no tokens were saved, so the new rate starts at zero.
      const saved = perSecond === Infinity ? 0 : tokens;
      ({ concurrency, perSecond = Infinity } = to);
      tokens = Math.min(saved, perSecond);
    },
  };
}
