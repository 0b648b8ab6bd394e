import { z } from 'zod';
import { defineModule, request, unchecked, work } from '../../src/contract/contract';
import { fingerprint } from '../../src/contract/fingerprint';
import type { InspectorParts } from '../../src/inspect/types';
import { inspectedBuses } from '../support/inspected-buses';

const before = defineModule('billing', {
  charge: work(z.object({ amount: z.string() })),
  total: request(z.object({}), z.number()),
});
const after = defineModule('billing', {
  charge: work(z.object({ amount: z.number() })),
  total: request(z.object({}), z.number()),
  list: request(z.object({}), z.array(z.string())),
});
const handlers = { charge: () => {}, total: () => 0 };

/** Two senders and one instance that serves the newer contract. */
async function opened() {
  const buses = inspectedBuses();
  const [shop, web] = [await buses.open('shop'), await buses.open('web')];
  const billing = await buses.open('billing');
  await billing.serve(after, { ...handlers, list: () => [] });
  return { ...buses, shop, web };
}

test('instances of one module with different contracts are a warning with the difference', async () => {
  const { open, inspector, soon, clock } = await opened();
  await clock.advance(60_000);
  const look = await inspector();
  expect((await soon(look.status())).alarms).toEqual([]);
  await (await open('billing')).serve(before, handlers);
  await clock.advance(5_000);
  expect((await soon(look.status())).alarms).toEqual([
    {
      severity: 'warning',
      about: 'billing',
      what: 'drift',
      forMs: 5_000,
      message:
        `its instances serve 2 contracts: billing#1 (1.2.3) ${fingerprint(after)}, billing#2 (1.2.3) ${fingerprint(before)}; ` +
        'billing.charge input amount: number, now string, billing.list removed',
      next: 'busbar instances billing',
    },
  ]);
});

test('a sender with another contract is a warning that names both fingerprints and what changed', async () => {
  const { inspector, soon, shop, web, clock } = await opened();
  await shop.submit(before.charge, { amount: '12' });
  await web.submit(after.charge, { amount: 12 });
  await clock.advance(1_000);
  const { alarms } = await soon((await inspector()).status());
  expect(alarms.filter(({ what }) => what === 'drift')).toEqual([
    {
      severity: 'warning',
      about: 'billing',
      what: 'drift',
      forMs: null,
      message:
        `shop#1 (1.2.3) calls billing.charge with contract ${fingerprint(before)}, billing#1 (1.2.3) has ${fingerprint(after)}; ` +
        'billing.charge input amount: string, now number',
      next: 'busbar instances billing',
    },
  ]);
});

test('a sender with another contract is no alarm while the entries that it uses are equal', async () => {
  const { inspector, soon, shop } = await opened();
  await soon(shop.request(before.total, {}));
  expect((await soon((await inspector()).status())).alarms).toEqual([]);
  const partial = defineModule('billing', { total: request(z.object({}), unchecked<number>()) });
  await soon(shop.request(partial.total, {}));
  expect((await soon((await inspector()).status())).alarms).toEqual([]);
});

test('the difference is unknown when an instance does not describe its contract', async () => {
  const { inspector, soon, shop, ports } = await opened();
  await shop.submit(before.charge, { amount: '12' });
  const { bus } = (await inspector()).parts;
  const request = (...call: Parameters<typeof bus.request>) =>
    call[0].name === 'busbar.contract' ? Promise.reject(new Error('unknown')) : bus.request(...call);
  // The verb is generic; this one only passes its arguments on.
  const look = await inspector({ bus: { self: bus.self, request } as InspectorParts['bus'], ...ports('tool') });
  const drift = (await soon(look.status())).alarms.find(({ what }) => what === 'drift');
  expect(drift?.message).toMatch(/; the difference is not known, because an instance does not describe its contract$/);
});
