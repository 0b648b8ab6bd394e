/** The contract of the processes in these tests. */
import { z } from 'zod';
import { broadcast, defineModule, event, request, work } from '../../src/index';

export const shop = defineModule('shop', {
  who: request(z.void(), z.string()),
  twice: request(z.object({ n: z.number() }), z.number(), { idempotent: true }),
  hang: request(z.object({ file: z.string() }), z.void(), { timeoutMs: 20_000 }),
  hangAgain: request(z.object({ file: z.string() }), z.string(), { timeoutMs: 20_000, idempotent: true }),
  slow: request(z.object({ ms: z.number() }), z.string()),
  slowAgain: request(z.object({ ms: z.number() }), z.string(), { idempotent: true }),
  /** Returns the most CPU time, in ms, between two event loop ticks since the last call. */
  busiest: request(z.void(), z.number()),
  die: request(z.void(), z.void()),
  pack: work(z.object({ order: z.string(), n: z.number() }), { key: (job) => job.order, backoffMs: 50 }),
  shut: broadcast(z.object({ n: z.number() })),
  sold: event(z.object({ order: z.string() }), { key: (sale) => sale.order }),
});
