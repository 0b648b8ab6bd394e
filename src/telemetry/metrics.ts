/** The page that Prometheus reads: the default registry of prom-client, so that the application's own figures are on it too. */
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
