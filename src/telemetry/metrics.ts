/**
 * Provides the metrics page for Prometheus: prom-client's default registry, which also has the metrics of the
 * application.
 */
import { register } from 'prom-client';
import type { StatsSource } from './measure';
import { countIn, measureIn } from './prometheus';
import type { Watchable } from './watchable';

export interface MetricsPage {
  readonly contentType: string;
  text(): Promise<string>;
  /** Adds what waits and runs at a bus. */
  measures(bus: StatsSource): void;
  /** Stops counting. The page remains readable. */
  stop(): void;
}

export function openMetrics(notices: Watchable): MetricsPage {
  const stops = [countIn({ watch: (listener) => notices.watch(listener) }, register)];
  return {
    contentType: register.contentType,
    text: () => register.metrics(),
    measures: (bus) => void stops.push(measureIn(bus, register)),
    stop: () => stops.forEach((stop) => stop()),
  };
}
