import { z } from 'zod';
import { describeContracts } from '../../src/bus/self-described';
import { defineModule, event, request, unchecked, work } from '../../src/contract/contract';
import { entriesOf } from '../../src/contract/contract';
import type { AnyContract, Schema } from '../../src/contract/types';
import { differences } from '../../src/inspect/difference';

function textOf(contract: AnyContract) {
  const { served } = describeContracts('billing', entriesOf(contract).values(), []);
  if (!served) throw new Error('the contract has entries of billing');
  return served;
}
const between = (from: AnyContract, to: AnyContract): readonly string[] => differences(textOf(from), textOf(to));
const charge = (schema: Schema): AnyContract => defineModule('billing', { charge: work(schema) });

test.each([
  [z.object({ amount: z.string() }), z.object({ amount: z.number() }), ['amount: string, now number']],
  [z.object({}), z.object({ tenant: z.string() }), ['tenant: added, required']],
  [z.object({ note: z.string().optional() }), z.object({}), ['note: removed']],
  [z.object({ note: z.string() }), z.object({ note: z.string().optional() }), ['note: no longer required']],
  [
    z.object({ to: z.object({ iban: z.string() }) }),
    z.object({ to: z.object({ iban: z.number() }) }),
    ['to.iban: string, now number'],
  ],
  [z.object({ n: z.number().min(1) }), z.object({ n: z.number().min(2) }), ['n: minimum 1, now 2']],
  [z.array(z.string()), z.array(z.number()), ['[]: string, now number']],
])('describes the difference of two schemas %#', (from, to, expected) => {
  expect(between(charge(from), charge(to))).toEqual(expected.map((what) => `billing.charge input ${what}`));
});

test('describes entries, kinds, replies and failures', () => {
  const Sum = z.object({ cents: z.number() });
  const from = defineModule('billing', {
    charge: request(Sum, Sum, { failures: { Declined: Sum } }),
    refund: work(Sum),
    paid: event(Sum),
  });
  const to = defineModule('billing', {
    charge: request(Sum, z.object({ cents: z.string() }), { failures: { Expired: Sum } }),
    refund: request(Sum, Sum),
    list: request(Sum, Sum),
  });
  expect(between(from, to)).toEqual([
    'billing.charge reply cents: number, now string',
    'billing.charge failure Declined removed',
    'billing.charge failure Expired added',
    'billing.refund is a request, before a work',
    'billing.paid removed',
    'billing.list added',
  ]);
});

test('describes no difference of equal contracts, nor of schemas that their library does not describe', () => {
  expect(between(charge(z.object({ n: z.number() })), charge(z.object({ n: z.number() })))).toEqual([]);
  expect(between(charge(unchecked()), charge(z.object({ n: z.number() })))).toEqual([]);
});
