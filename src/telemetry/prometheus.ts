/** Metrics in a registry of prom-client, which an application can share with its own metrics. */
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { Bus } from '../bus/types';
import { countWith } from './count';
import { measured, type Definition, type Instruments, type MeasuredDefinition } from './instruments';
import { Measurements, type StatsSource } from './measure';
import type { Watchable } from './watchable';

/**
 * Counts the notices of `bus`, and measures what waits and runs there, until the returned function is called. All names
 * start with `busbar_`. Labels are kinds, entries, queues, outcomes and reasons, never ids or keys. Several buses of a
 * process can share a registry. Throws TypeError when the registry has a metric of such a name that is of another kind.
 *
 * @example
 * import { countIn } from 'busbar/telemetry';
 * import { register } from 'prom-client';
 *
 * const stop = countIn(bus, register);
 */
export function countIn(bus: Watchable & Partial<Pick<Bus, 'stats'>>, registry: Registry): () => void {
  const stop = countWith(bus, instrumentsIn(registry));
  const { stats } = bus;
  const stopMeasuring = stats ? measureIn({ stats: () => stats() }, registry) : () => undefined;
  return () => {
    stop();
    stopMeasuring();
  };
}

function instrumentsIn(registry: Registry): Instruments {
  const registers = [registry];
  return {
    counter: ({ name, help, labels: labelNames }) =>
      existing(registry, name, Counter<string>) ?? new Counter({ name, help, labelNames, registers }),
    gauge: ({ name, help, labels: labelNames }) =>
      existing(registry, name, Gauge<string>) ?? new Gauge({ name, help, labelNames, registers }),
    histogram: ({ name, help, labels: labelNames }, buckets) =>
      existing(registry, name, Histogram<string>) ??
      new Histogram({ name, help, labelNames, buckets: [...buckets], registers }),
  };
}

const measurementsOf = new WeakMap<Registry, Measurements>();

/** Measures what waits and runs at `bus` whenever the registry is read, until the returned function is called. */
export function measureIn(bus: StatsSource, registry: Registry): () => void {
  const measurements = measurementsOf.get(registry) ?? new Measurements();
  measurementsOf.set(registry, measurements);
  for (const definition of Object.values(measured)) register(registry, definition, measurements);
  return measurements.add(bus);
}

function register(registry: Registry, definition: MeasuredDefinition, measurements: Measurements): void {
  const { name, help, labels: labelNames }: Definition = definition;
  if (existing(registry, name, Gauge<string>)) return;
  const gauge: Gauge = new Gauge({
    name,
    help,
    labelNames,
    registers: [registry],
    async collect() {
      const samples = (await measurements.read()).get(definition) ?? [];
      gauge.reset(); // an entry that is no longer served has no value
      for (const { labels, value } of samples) gauge.set(labels, value);
    },
  });
}

/**
 * Returns a metric of that name that another bus of this process has registered. Throws TypeError when it is of another
 * kind.
 */
function existing<M extends object>(
  registry: Registry,
  name: string,
  kind: new (...args: never[]) => M,
): M | undefined {
  const found: unknown = registry.getSingleMetric(name);
  if (found === undefined) return undefined;
  if (found instanceof kind) return found;
  throw new TypeError(`the registry already holds ${name}, and it is another kind of metric`);
}
