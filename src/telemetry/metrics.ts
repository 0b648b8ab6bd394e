/**
 * Provides the metrics page for Prometheus: prom-client's default registry, which also has the metrics of the
 * application.
 */
import { register } from 'prom-client';
import { countIn } from './count';
import type { Watchable } from './watchable';

export interface MetricsPage {
  readonly contentType: string;
  text(): Promise<string>;
  /** Stops counting. The page remains readable. */
  stop(): void;
}

export function openMetrics(bus: Watchable): MetricsPage {
  return { contentType: register.contentType, text: () => register.metrics(), stop: countIn(bus, register) };
}
