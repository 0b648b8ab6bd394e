/** Contract, arguments and reports of the processes of the outage. */
import { z } from 'zod';
import { defineModule, work } from '../../src/index';
import type { BusGiven } from '../../src/options';

export const steps = defineModule('steps', {
  step: work(z.object({ key: z.string(), n: z.number() }), { key: ({ key }) => key }),
});

export interface PublisherGiven {
  readonly bus: BusGiven;
  /** A name that no other publisher has. It is part of its keys. */
  readonly name: string;
  /** File to which it appends `key n` for each accepted event. */
  readonly ledger: string;
  readonly perSecond: number;
  readonly keys: number;
}
/** Counts of a publisher. Durations are those of calls since the brokers were killed. */
export interface PublisherReport {
  readonly accepted: number;
  readonly rejected: Readonly<Record<string, number>>;
  /** Durations of every tenth call. */
  readonly tookMs: readonly number[];
  readonly maxMs: number;
  readonly memoryBytes: number;
}
/** Received numbers by key, in the order of the handlers. */
export type ReceivedReport = ReadonlyMap<string, readonly number[]>;
