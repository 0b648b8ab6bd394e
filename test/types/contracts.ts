/** Valid and invalid contracts: compiled by `npm run types`, never run. */
import {
  broadcast,
  defineModule,
  event,
  request,
  unchecked,
  work,
  type Body,
  type Contract,
  type FailureOf,
  type Input,
  type Output,
  type Reply,
} from 'busbar';
import { type } from 'arktype';
import * as v from 'valibot';
import { z } from 'zod';
import { is, type Same } from './same';
import { shop } from './shop';

// --- types of schemas, in three libraries and in none

const mixed = defineModule('mixed', {
  a: request(v.object({ n: v.number() }), type({ s: 'string' }), {
    failures: { Full: v.object({ left: v.number() }) },
  }),
  b: work(type({ image: 'string' }), { key: (job) => job.image, keepMs: 60_000 }),
  c: request(unchecked<{ old: string }>(), unchecked<number>()),
  d: event(v.pipe(v.string(), v.transform(Number)), { keepMs: 60_000 }),
  e: broadcast(type('string.numeric.parse')),
});
is<Same<Input<typeof mixed.a>, { n: number }>>();
is<Same<Output<typeof mixed.a>, { s: string }>>();
is<Same<FailureOf<typeof mixed.a>['code'], 'Full'>>();
is<Same<FailureOf<typeof mixed.a>['data'], { left: number }>>();
is<Same<FailureOf<typeof mixed.c>, never>>();
is<Same<Body<typeof mixed.b>, { image: string }>>();
is<Same<Input<typeof mixed.c>, { old: string }>>();
is<Same<Reply<typeof mixed.c>, number>>();
is<Same<Input<typeof mixed.d>, string>>();
is<Same<Body<typeof mixed.d>, number>>();
is<Same<Input<typeof mixed.e>, string>>();
is<Same<Body<typeof mixed.e>, number>>();

// A sender passes the input of the schema, a handler receives its output.
is<Same<Input<typeof shop.order>, { article: string; count: number; note?: string | undefined; due: string }>>();
is<Same<Body<typeof shop.order>, { article: string; count: number; note: string; due: Date }>>();

// An older body in the log: the union converts it, and the handler receives only the new form.
const V1 = z.object({ id: z.string() });
const V2 = V1.extend({ width: z.number() });
const lifted = defineModule('lifted', {
  resize: work(z.union([V2, V1.transform((old) => ({ ...old, width: 200 }))])),
});
is<Same<Body<typeof lifted.resize>['width'], number>>();

// Contracts are assignable to the general type.
const some: Contract[] = [shop as Contract, mixed as Contract];
void some;

// --- what must not compile

// @ts-expect-error a failure must not have the name of a code of the bus
request(z.string(), z.string(), { failures: { Timeout: z.object({}) } });
// @ts-expect-error not even among other failures
request(z.string(), z.string(), { failures: { Mine: z.object({}), Closed: z.object({}) } });
// @ts-expect-error a request has a reply
request(z.string());
// @ts-expect-error a schema is not a type
request(String, z.string());
// @ts-expect-error timeouts are numbers
request(z.string(), z.string(), { timeoutMs: '3s' });
// @ts-expect-error an option that requests do not have
request(z.string(), z.string(), { attempts: 3 });
// @ts-expect-error a request is not kept
request(z.string(), z.string(), { keepMs: 60_000 });
// @ts-expect-error the key is computed from the body
work(z.object({ a: z.string() }), { key: (job) => job.b });
// @ts-expect-error keys are strings
work(z.object({ a: z.number() }), { key: (job) => job.a });
// @ts-expect-error messages of a key wait or do not; there is no third option
work(z.string(), { retry: 'never' });
// @ts-expect-error a misspelled option
work(z.string(), { atempts: 3 });
// @ts-expect-error broadcasts have no options
broadcast(z.string(), { key: String });
// @ts-expect-error an entry named `then` would make the contract a thenable
// oxlint-disable-next-line unicorn/no-thenable -- that is the point
defineModule('x', { then: broadcast(z.string()) });
// @ts-expect-error an entry named `constructor` cannot be a method
defineModule('x', { fine: work(z.string()), constructor: work(z.string()) });
// @ts-expect-error `open` belongs to the class of a module
defineModule('x', { open: request(z.string(), z.string()) });
// @ts-expect-error `close` belongs to the class of a module
defineModule('x', { close: event(z.string()) });
// @ts-expect-error entries are made by request, work, broadcast and event
defineModule('x', { add: z.string() });
// @ts-expect-error a contract is read-only
shop.order = mixed.a;
// @ts-expect-error an entry is read-only
shop.order.options = {};
// @ts-expect-error an entry that is not in the contract
void shop.orders;
// @ts-expect-error a work entry has no output
type NoOutput = Output<typeof shop.pack>;
void (undefined as unknown as NoOutput);
