/** The contract of the type cases: all four kinds, a transform, a declared failure, an empty input. */
import { broadcast, defineModule, event, request, work } from 'busbar';
import { z } from 'zod';

const NewOrder = z.object({
  article: z.string(),
  count: z.number(),
  note: z.string().default(''),
  due: z.coerce.date<string>(),
});
const Order = z.object({ id: z.string(), article: z.string(), count: z.number() });

export const shop = defineModule('shop', {
  order: request(NewOrder, Order, { failures: { SoldOut: z.object({ left: z.number() }) }, timeoutMs: 3_000 }),
  stock: request(z.void(), z.number()),
  search: request(z.object({ text: z.string() }).optional(), z.array(Order)),
  pack: work(Order, { key: (order) => order.id, attempts: 3, retry: 'aside' }),
  closeTill: broadcast(z.object({ till: z.number() })),
  sold: event(Order, { key: (order) => order.article }),
});
