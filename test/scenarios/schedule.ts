/** The schedule of the producer simulation: when its author scheduled how many events. */

/** One tick: its time after the start, and the number of events that are scheduled at once. */
export interface Tick {
  readonly atMs: number;
  readonly events: number;
}

const tickMs = 1_000;
const firstMs = 15_000;
const rampFromMs = 180_000;
/** The rate rises by one event per tick after this time. */
const stepMs = 20_000;
const endMs = 1_220_000;

/** Returns the ticks of the author: 28,765 events in 20 minutes, one a second at first and 53 at the end. */
export function authorsTicks(): readonly Tick[] {
  const ticks: Tick[] = [];
  for (let atMs = firstMs; atMs < endMs; atMs += tickMs) {
    const events = atMs < rampFromMs ? 1 : 2 + Math.floor((atMs - rampFromMs) / stepMs);
    ticks.push({ atMs, events });
  }
  return ticks;
}

/** Returns a short ramp with the first and the last rates of the author, each for a few seconds. */
export function shortTicks(): readonly Tick[] {
  const rates = [2, 2, 2, 2, 2, 2, 53, 53, 53, 53, 53, 53];
  return rates.map((events, at) => ({ atMs: at * tickMs, events }));
}

/** Returns the same ticks in less time. */
export function faster(ticks: readonly Tick[], speed: number): readonly Tick[] {
  return ticks.map(({ atMs, events }) => ({ atMs: atMs / speed, events }));
}

export const eventsOf = (ticks: readonly Tick[]): number => ticks.reduce((sum, { events }) => sum + events, 0);

/** Calls `one` for each event when its time has come, without waiting for earlier ones. Resolves after the last. */
export function runTicks(ticks: readonly Tick[], one: (n: number) => void): Promise<void> {
  const startMs = performance.now();
  let at = 0;
  let n = 0;
  return new Promise((resolve) => {
    const catchUp = (): void => {
      const nowMs = performance.now() - startMs;
      for (let tick = ticks[at]; tick && tick.atMs <= nowMs; tick = ticks[++at]) {
        for (let event = 0; event < tick.events; event++) one(n++);
      }
      const next = ticks[at];
      if (!next) resolve();
      else setTimeout(catchUp, Math.max(1, next.atMs - (performance.now() - startMs)));
    };
    catchUp();
  });
}
