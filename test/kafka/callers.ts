/** Callers that send one request after the other while servers fail. */
import type { Bus } from '../../src/index';
import { until } from '../cluster/ports';

const restMs = 10;

/** Runs twenty callers, each with a pause between two requests, until stopped or closed. Counts each outcome. */
export function load(ask: () => ReturnType<Bus['tryRequest']>): {
  ends: Map<string, number>;
  /** Waits until `count` more requests were answered. */
  readonly more: (count: number, withinMs: number) => Promise<void>;
  readonly stop: () => Promise<void>;
} {
  const ends = new Map<string, number>();
  let stopped = false;
  const loads = Array.from({ length: 20 }, async () => {
    while (!stopped) {
      const result = await ask();
      const end = result.ok ? 'ok' : (result.error as { code: string }).code; // failures and bus errors both have one
      if (end === 'Closed') return;
      ends.set(end, (ends.get(end) ?? 0) + 1);
      await new Promise((resolve) => setTimeout(resolve, restMs)); // leaves CPU time for restarting servers
    }
  });
  const answered = (): number => ends.get('ok') ?? 0;
  return {
    ends,
    more(count, withinMs) {
      const enough = answered() + count;
      return until(`${count} more requests are answered`, withinMs, async () => answered() >= enough);
    },
    async stop() {
      stopped = true;
      await Promise.all(loads);
    },
  };
}
