/** The process that tests of the command inspect: a module whose jobs do what their bodies specify, until `end` is sent. */
import { broadcast, defineModule, event, openBus, request, work } from 'busbar';
import { z } from 'zod';

const Job = z.object({ key: z.string(), do: z.enum(['done', 'park', 'fail', 'hang']), big: z.bigint().optional() });
export type Job = z.input<typeof Job>;
export const shop = defineModule('shop', {
  price: request(z.object({ item: z.string() }), z.object({ cents: z.number() }), {
    failures: { SoldOut: z.object({ item: z.string(), until: z.date() }) },
  }),
  slow: request(z.object({}), z.string(), { timeoutMs: 60_000 }),
  stats: request(z.undefined(), z.string()),
  pack: work(Job, { key: (job) => job.key, attempts: 2, backoffMs: 50 }),
  bill: work(z.object({ amount: z.number() }), { queue: 'bills' }),
  closing: broadcast(z.object({ minutes: z.number() })),
  sold: event(z.object({ item: z.string(), at: z.date().optional() }), {
    key: (sale) => sale.item,
    keepMs: 7_200_000,
  }),
});

async function main(): Promise<void> {
  const bus = await openBus({ log: false, module: 'shop', version: '1.8.0' });
  const heard: string[] = [];
  await bus.serve(shop, {
    price: ({ item }, { fail }) => {
      if (item === 'nothing') fail('SoldOut', { item, until: new Date(0) });
      if (item === 'heard') return { cents: heard.length };
      return { cents: 100 * item.length };
    },
    slow: () => new Promise(() => {}),
    stats: () => 'open',
    async pack({ do: what }, { park, progress, signal }) {
      const mended = process.env['SHOP_MENDED'] === 'yes';
      if (what === 'park' && !mended) park('address unknown');
      if (what === 'fail' && !mended) throw new Error('connect ECONNREFUSED store:443');
      progress('packing');
      if (what === 'hang') await new Promise((resolve) => signal.addEventListener('abort', resolve));
    },
    bill: () => {},
    closing: ({ minutes }) => void heard.push(`closing ${minutes}`),
  });
  await bus.listen(shop.sold, { as: 'index' }, ({ item }) => void heard.push(`sold ${item}`));
  process.on('message', (message: 'end' | 'ask' | Job[]) => {
    if (message === 'end') void bus.close().then(() => process.exit(0));
    else if (message === 'ask') void bus.request(shop.slow, {}).catch(() => undefined);
    else void bus.submitAll(shop.pack, message).then((sent) => process.send?.(sent.map(({ id }) => id)));
  });
  process.send?.('ready');
}

if (require.main === module) void main();
