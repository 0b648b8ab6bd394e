/** A contract with an entry of each kind, for calls that fail. */
import { z } from 'zod';
import { broadcast, defineModule, event, request, work } from '../../src/contract/contract';

export const shop = defineModule('shop', {
  price: request(z.object({ item: z.string() }), z.number()),
  slow: request(z.object({}), z.number(), { timeoutMs: 10_000 }),
  pack: work(z.object({ item: z.string() }), { attempts: 1 }),
  closing: broadcast(z.object({ minutes: z.number() })),
  sold: event(z.object({ item: z.string() })),
});
