/** The page that Prometheus reads: prom-client's default registry, with the application's own figures on it too. */
import { register } from 'prom-client';
import { countIn } from './count';
import type { Watchable } from './watchable';

export interface MetricsPage {
  readonly contentType: string;
  text(): Promise<string>;
  /** Counts no more; the page stays. */
  stop(): void;
}

export function openMetrics(bus: Watchable): MetricsPage {
  return { contentType: register.contentType, text: () => register.metrics(), stop: countIn(bus, register) };
}
