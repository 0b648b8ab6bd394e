/** Turns the statistics of buses into samples of metrics. */
import type { Bus } from '../bus/types';
import { entriesMax } from './count';
import { measured, type Labels, type MeasuredDefinition } from './instruments';
import { boundedLabel } from './labels';

export type StatsSource = Pick<Bus, 'stats'>;
type Metric = keyof typeof measured;
/** One value of a metric. */
export interface Sample {
  readonly labels: Labels;
  readonly value: number;
}
export type Samples = ReadonlyMap<MeasuredDefinition, readonly Sample[]>;

/** Reads the statistics of several buses, once for all metrics that are read at the same time. */
export class Measurements {
  readonly #buses = new Set<StatsSource>();
  readonly #entry = boundedLabel(entriesMax);
  readonly #queue = boundedLabel(entriesMax);
  #reading: Promise<Samples> | undefined;

  /** Adds a bus. Returns a function that removes it. */
  add(bus: StatsSource): () => void {
    this.#buses.add(bus);
    return () => void this.#buses.delete(bus);
  }

  read(): Promise<Samples> {
    return (this.#reading ??= this.#read().finally(() => (this.#reading = undefined)));
  }

  async #read(): Promise<Samples> {
    const values = new Map<Metric, Map<string, Sample>>();
    const add = (metric: Metric, labels: Labels, value: number): void => {
      const its = values.get(metric) ?? new Map<string, Sample>();
      values.set(metric, its);
      const key = JSON.stringify(labels);
      const before = its.get(key)?.value ?? 0;
      its.set(key, { labels, value: measured[metric].across === 'sum' ? before + value : Math.max(before, value) });
    };
    // A bus that was closed rejects, and has no samples.
    await Promise.all(
      [...this.#buses].map((bus) =>
        bus.stats().then(
          (stats) => this.#measure(stats, add),
          () => undefined,
        ),
      ),
    );
    return new Map(Array.from(values, ([metric, its]) => [measured[metric], [...its.values()]]));
  }

  #measure(
    { queues, requests, pending, parked, spool }: Awaited<ReturnType<StatsSource['stats']>>,
    add: (metric: Metric, labels: Labels, value: number) => void,
  ): void {
    for (const { queue: name, waiting, oldestMs, entries } of queues) {
      const queue = this.#queue(name);
      add('waiting', { queue }, waiting);
      add('oldest', { queue }, (oldestMs ?? 0) / 1000);
      for (const { entry, running, limit, inBackoff } of entries) {
        const labels = { queue, entry: this.#entry(entry) };
        add('running', labels, running);
        add('limit', labels, limit);
        add('backoff', labels, inBackoff);
        add('parkedNow', labels, 0); // so that a queue without parked messages is 0, not missing
      }
    }
    for (const { queue, entry, count } of parked)
      add('parkedNow', { queue: this.#queue(queue), entry: this.#entry(entry) }, count);
    for (const { entry, running, limit, waiting } of requests) {
      const labels = { queue: '', entry: this.#entry(entry) };
      add('running', labels, running);
      add('limit', labels, limit);
      add('requestsWaiting', { entry: labels.entry }, waiting);
    }
    for (const { entry, count } of pending) add('pending', { entry: this.#entry(entry) }, count);
    if (!spool) return;
    add('spoolBytes', {}, spool.bytes);
    add('spoolLimit', {}, spool.limitBytes);
  }
}
