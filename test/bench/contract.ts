/** Contract and body of the benchmarks: about 100 bytes, checked by zod at both ends. */
import { broadcast, defineModule, request, work } from 'busbar';
import { z } from 'zod';

export const Order = z.object({ id: z.string(), amount: z.number(), note: z.string() });

export const bench = defineModule('bench', {
  echo: request(Order, Order),
  job: work(Order, { key: (order) => order.id }),
  tell: broadcast(z.object({ n: z.number(), sentNs: z.bigint() })),
});
export const order = { id: 'order-123456', amount: 4200, note: 'x'.repeat(60) };
