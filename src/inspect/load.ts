/** Sums the rates, handlers and conditions that the instances of a queue report. */
import type { Spread } from '../delivery/durations';
import { statusesOf, type QueueStatus } from './instances';
import type { InstanceView } from './types';

/** Rates and handlers of a queue. Rates are per second; null means that no instance reports it. */
export interface Rates {
  readonly running: number;
  readonly limit: number | null;
  readonly inPerSecond: number | null;
  readonly outPerSecond: number | null;
  readonly handlerMs: Spread | null;
  readonly queueMs: Spread | null;
}
/** One instance of a queue, with what it reports about it. */
export interface Consumer {
  readonly instance: InstanceView;
  readonly status: QueueStatus;
}

/** Time that counts must cover to be used as rates, in ms. */
const windowMsMin = 10_000;

export function consumersOf(queue: string, instances: readonly InstanceView[]): readonly Consumer[] {
  return Array.from(statusesOf(queue, instances), ([instance, status]) => ({ instance, status }));
}

export function ratesOf(consumers: readonly Consumer[]): Rates {
  const rates = consumers.flatMap((one) => rateOf(one) ?? []);
  const limits = consumers.flatMap(({ status }) => status.limits ?? []);
  const counts = consumers.flatMap((one) => countsOf(one));
  const sum = (of: (one: { in: number; out: number }) => number): number | null =>
    rates.length === 0 ? null : rates.reduce((total, one) => total + of(one), 0);
  return {
    running: consumers.reduce((total, { status }) => total + status.running.length, 0),
    limit: limits.length === 0 ? null : limits.reduce((total, { concurrency }) => total + concurrency, 0),
    inPerSecond: sum((one) => one.in),
    outPerSecond: sum((one) => one.out),
    handlerMs: together(counts.map((one) => [one.handlerMs, one.done + one.failed + one.parked])),
    queueMs: together(counts.map((one) => [one.queueMs, one.in])),
  };
}

/** Returns the counts of the entries that an instance handles from this queue. */
export function countsOf({ instance, status }: Consumer) {
  return (instance.status?.entries ?? []).filter(({ entry }) => status.entries.includes(entry));
}

/** Returns the rates of one instance. One that has just started reports what it received instead of what arrived. */
function rateOf(consumer: Consumer): { in: number; out: number } | undefined {
  const { load } = consumer.status;
  if (!load) return undefined;
  if (load.windowMs >= windowMsMin) {
    return { in: (load.in / load.windowMs) * 1_000, out: (load.out / load.windowMs) * 1_000 };
  }
  const rates = countsOf(consumer).map((one) => ({
    in: (one.in / one.windowMs) * 1_000,
    out: ((one.done + one.parked) / one.windowMs) * 1_000,
  }));
  return rates.reduce((all, one) => ({ in: all.in + one.in, out: all.out + one.out }), { in: 0, out: 0 });
}

/** Combines percentiles: the mean of the medians by their counts, and the largest 99th percentile. */
export function together(all: readonly (readonly [Spread | null, number])[]): Spread | null {
  const known = all.flatMap(([spread, count]) => (spread ? { spread, weight: Math.max(1, count) } : []));
  const weight = known.reduce((total, one) => total + one.weight, 0);
  if (weight === 0) return null;
  const p50Ms = known.reduce((total, one) => total + one.spread.p50Ms * one.weight, 0) / weight;
  return { p50Ms, p99Ms: Math.max(...known.map(({ spread }) => spread.p99Ms)) };
}
