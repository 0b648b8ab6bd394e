/** Contract and arguments of the workers that are killed. */
import { z } from 'zod';
import { defineModule, work } from '../../src/index';
import type { BusGiven } from '../../src/options';

export const steady = defineModule('steady', {
  step: work(z.object({ key: z.string(), n: z.number() }), { key: ({ key }) => key }),
});

/** Default of the option `commitMs`. */
export const commitMs = 500;

export interface WorkerGiven {
  readonly bus: BusGiven;
  /** File to which it appends `begin` and `end` with the number, the attempt and the time. */
  readonly ledger: string;
  readonly concurrency: number;
  readonly handlerMs: number;
}
