/** Metrics in the meter provider of OpenTelemetry, under the names that they have in Prometheus. */
import { metrics, type Attributes, type Meter, type MeterProvider, type Observable } from '@opentelemetry/api';
import { countWith } from './count';
import { measured, type Definition, type Instruments, type Labels, type MeasuredDefinition } from './instruments';
import { Measurements, type StatsSource } from './measure';
import type { Watchable } from './watchable';

export interface OtelMetrics {
  /** Adds what waits and runs at a bus. */
  measures(bus: StatsSource): void;
  stop(): void;
}

/** Counts notices with the global meter provider until `stop` is called. */
export function openOtelMetrics(notices: Watchable): OtelMetrics {
  const shared = sharedOf(metrics.getMeterProvider());
  const stops = [countWith(notices, shared.instruments)];
  return {
    measures: (bus) => void stops.push(shared.measurements.add(bus)),
    stop: () => stops.forEach((stop) => stop()),
  };
}

/** Instruments that all buses of the process share, since a meter must not have two of the same name. */
interface Shared {
  readonly instruments: Instruments;
  readonly measurements: Measurements;
}
const all = new WeakMap<MeterProvider, Shared>();

function sharedOf(provider: MeterProvider): Shared {
  const found = all.get(provider);
  if (found) return found;
  const meter = provider.getMeter('busbar');
  const made = { instruments: instrumentsOf(meter), measurements: new Measurements() };
  all.set(provider, made);
  observe(meter, made.measurements);
  return made;
}

function instrumentsOf(meter: Meter): Instruments {
  /** Instruments by name. Each bus needs all of them. */
  const made = new Map<string, unknown>();
  function once<T>({ name }: Definition, make: () => T): T {
    const instrument = made.has(name) ? made.get(name) : make();
    made.set(name, instrument);
    return instrument as T; // each name has one definition, and so one type
  }
  return {
    counter: (definition) =>
      once(definition, () => {
        const counter = meter.createCounter(definition.name, { description: definition.help });
        return { inc: (labels) => counter.add(1, labels) };
      }),
    gauge: (definition) => once(definition, () => levelIn(meter, definition)),
    histogram: (definition, buckets) =>
      once(definition, () => {
        const advice = { explicitBucketBoundaries: [...buckets] };
        const histogram = meter.createHistogram(definition.name, { description: definition.help, unit: 's', advice });
        return { observe: (labels, value) => histogram.record(value, labels) };
      }),
  };
}

/** A gauge of earlier versions of the API can only be observed, so the values are kept here. */
function levelIn(meter: Meter, { name, help: description }: Definition): ReturnType<Instruments['gauge']> {
  const values = new Map<string, { readonly labels: Labels; value: number }>();
  const of = (labels: Labels): { value: number } => {
    const key = JSON.stringify(labels);
    const found = values.get(key) ?? { labels, value: 0 };
    values.set(key, found);
    return found;
  };
  meter.createObservableGauge(name, { description }).addCallback((result) => {
    for (const { labels, value } of values.values()) result.observe(value, labels);
  });
  return {
    inc: (labels, by) => void (of(labels).value += by),
    set: (labels, value) => void (of(labels).value = value),
  };
}

function observe(meter: Meter, measurements: Measurements): void {
  const gauges = new Map<MeasuredDefinition, Observable<Attributes>>();
  for (const definition of Object.values(measured)) {
    const { name, help: description } = definition;
    gauges.set(definition, meter.createObservableGauge(name, { description }));
  }
  meter.addBatchObservableCallback(
    async (result) => {
      for (const [definition, samples] of await measurements.read()) {
        const gauge = gauges.get(definition);
        for (const { labels, value } of samples) if (gauge) result.observe(gauge, value, labels);
      }
    },
    [...gauges.values()],
  );
}
