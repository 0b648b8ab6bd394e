/** Contract, arguments and reports of the processes of the producer simulation. */
import { z } from 'zod';
import { defineModule, work } from '../../src/index';
import type { BusGiven } from '../../src/options';
import type { Probed } from './disk-probe';
import { Bytes } from './numbered';
import type { Tick } from './schedule';

export const endless = defineModule('endless', {
  event: work(z.object({ n: z.number(), bytes: Bytes }), { key: ({ n }) => `e${n}` }),
});

/** The author's cases with a plain producer. */
export interface PlainCase {
  readonly clientId: string;
  readonly topic: string;
  /** Time for which the caller of a send waits. */
  readonly getMs: number;
  /** Calls after a failed or late one: waits between them. Empty for none. */
  readonly retriesMs: readonly number[];
}
export interface PlainGiven {
  readonly brokers: readonly string[];
  readonly cases: readonly PlainCase[];
  readonly ticks: readonly Tick[];
  readonly bytes: number;
  readonly speed: number;
}
/** Counts of one plain case. */
export interface PlainReport {
  readonly scheduled: number;
  /** Events of which at least one call succeeded. */
  readonly confirmed: number;
  /** Calls of send, with retries. */
  readonly calls: number;
  /** Calls that found no room in the buffer. */
  readonly exhausted: number;
  readonly failed: number;
}

export interface PublisherGiven {
  readonly bus: BusGiven;
  /** Folder of the spool, whose disk is measured beside it. */
  readonly dir: string;
  readonly ticks: readonly Tick[];
  readonly bytes: number;
  /** Calls count as throttled from the first tick on that has more events. */
  readonly unthrottledPerTickMax: number;
}
/** Counts of a publisher, at any time. */
export interface PublisherReport {
  readonly scheduled: number;
  readonly accepted: number;
  readonly rejected: Readonly<Record<string, number>>;
  /** Durations of the calls below and above the rate that the quota allows. */
  readonly beforeMs: readonly number[];
  readonly throttledMs: readonly number[];
  /** Durations of the disk and of the event loop meanwhile. */
  readonly probed: Probed;
  readonly memoryBytes: number;
}
/** Counts of a consumer, at any time. */
export interface ConsumerReport {
  readonly received: number;
  readonly different: number;
}
