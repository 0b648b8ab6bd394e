/** A system with problems: slow handlers, slow replies, a module without an instance, and two contracts. */
import { defineModule, openBus, request, work, type Bus } from 'busbar';
import { z } from 'zod';

const mail = defineModule('mail', { send: work(z.object({ to: z.string() }), { key: ({ to }) => to }) });
const bank = defineModule('bank', { settle: request(z.number(), z.string()) });
const store = defineModule('store', { read: request(z.string(), z.string(), { timeoutMs: 300 }) });
const before = defineModule('billing', { charge: work(z.object({ amount: z.string() })) });
const after = defineModule('billing', { charge: work(z.object({ amount: z.number() })) });

const later = <T>(ms: number, value: T): Promise<T> => new Promise((resolve) => setTimeout(() => resolve(value), ms));

async function main(): Promise<void> {
  const open = (module: string): Promise<Bus> => openBus({ module, version: '1.0.0', log: false });
  const shop = await open('shop');
  await (await open('mail')).serve(mail, { send: () => later(3_000, undefined) }, { concurrency: 4 });
  await (await open('store')).serve(store, { read: () => later(1_000, '') }, { concurrency: 2 });
  await (await open('billing')).serve(after, { charge: () => {} });
  await shop.submit(before.charge, { amount: '12' });
  let n = 0;
  setInterval(() => {
    const jobs = Array.from({ length: 25 }, () => ({ to: `user${n++}` }));
    void shop.submitAll(mail.send, jobs).catch(() => undefined);
    void shop.request(store.read, 'a').catch(() => undefined);
    void shop.request(bank.settle, 1).catch(() => undefined);
  }, 1_000);
  process.send?.('ready');
}

if (require.main === module) void main();
