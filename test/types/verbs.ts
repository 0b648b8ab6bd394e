/** Arguments and results of the verbs of the bus: compiled by `npm run types`, never run. */
import {
  handler,
  isBusError,
  openBus,
  type Body,
  type Bus,
  type Call,
  type Handlers,
  type Input,
  type MessagePlace,
  type Middleware,
  type Output,
  type Request,
  type RequestCall,
} from 'busbar';
import { is, type Same } from './same';
import { shop } from './shop';

declare module 'busbar' {
  interface Baggage {
    tenant: string;
  }
}
const due = '2026-12-24';
const order = { id: 'o1', article: 'lamp', count: 1 };

export async function requests(bus: Bus) {
  await bus.request(shop.stock); // no input, so no argument
  await bus.request(shop.search);
  await bus.request(shop.search, { text: 'lamp' }, { timeoutMs: 100 });
  const made = await bus.request(
    shop.order,
    { article: 'lamp', count: 1, due },
    { waitForInstanceMs: 2_000, key: 'lamp' },
  );
  is<Same<typeof made, { id: string; article: string; count: number }>>();

  const result = await bus.tryRequest(shop.order, { article: 'lamp', count: 1, due });
  if (result.ok) return result.value.id;
  switch (result.error.code) {
    case 'SoldOut':
      return result.error.data.left;
    case 'Timeout':
      return result.error.details.reached;
    case 'Overloaded':
      return result.error.details.retryAfterMs;
    case 'Incompatible':
      return result.error.details.entry;
    case 'NoHandler':
    case 'ResponderLost':
    case 'Invalid':
    case 'TooLarge':
    case 'Cancelled':
    case 'HandlerFailed':
    case 'Unreachable':
    case 'NotAllowed':
    case 'Closed':
      return result.error.message;
    default:
      return result.error satisfies never; // all codes of a request are listed above
  }
}

export async function others(bus: Bus) {
  for (const answer of await bus.requestAll(shop.stock)) {
    if (answer.ok) is<Same<typeof answer.value, number>>();
    else console.log(answer.from.instance, answer.error.code);
  }
  const { id, reached, place } = await bus.submit(shop.pack, order, { until: 'broker' });
  is<Same<typeof id, string>>();
  is<Same<typeof reached, 'disk' | 'broker'>>();
  is<Same<typeof place, MessagePlace | undefined>>();
  await bus.submitAll(shop.pack, [order, order]);
  await bus.submit(shop.pack, order, { id: order.id });
  await bus.submitAll(shop.pack, [order], { id: (given, index) => `${given.id} ${index}` });
  await bus.publish(shop.sold, order, { id: order.id });
  await bus.publishAll(shop.sold, [order], { until: 'disk', id: ({ id }) => id });
  // @ts-expect-error a list needs an id for each of its messages
  await bus.submitAll(shop.pack, [order], { id: 'o1' });
  // @ts-expect-error an id is a string
  await bus.submit(shop.pack, order, { id: 7 });
  // @ts-expect-error a broadcast is not stored, so it has no id to be recognized by
  await bus.broadcast(shop.closeTill, { till: 3 }, { id: 'x' });
  await bus.broadcast(shop.closeTill, { till: 3 });
  await bus.publish(shop.sold, order);
  const places = await bus.flush();
  is<Same<typeof places, readonly MessagePlace[]>>();
  await bus.listen(shop.sold, (sold) => is<Same<typeof sold.article, string>>());
  const listening = await bus.listen(shop.sold, { as: 'books', attempts: 3 }, async (sold, { attempt, park }) => {
    if (attempt > 2) park(`no book takes ${sold.id}`);
  });
  await listening.close();
  await bus.listen(shop.sold, { as: 'audit', from: new Date(due) }, () => {});
  await bus.listen(shop.sold, { as: 'audit', from: 'start' }, () => {});
  await bus.with({ tenant: 'acme' }, () => bus.publish(shop.sold, order));
  await using served = await bus.serve(shop, all, { concurrency: { pack: 4 }, perSecond: { order: 10 } });
  void served;
}

export function errors(error: unknown) {
  if (isBusError(error, 'Timeout', 'NoHandler')) {
    is<Same<typeof error.code, 'Timeout' | 'NoHandler'>>();
    return error.code === 'Timeout' ? error.details.timeoutMs : error.details.module;
  }
  if (isBusError(error, 'Unreachable', 'Closed') && error.details.outcome === 'unknown') {
    is<Same<typeof error.details.outcome, 'unknown'>>();
    return error.retryable;
  }
  if (isBusError(error, 'Unreachable') && error.details.outcome !== 'unknown') {
    is<Same<typeof error.details.outcome, 'not-sent'>>();
    return error.details.waitedMs;
  }
  if (isBusError(error, 'TooLarge')) {
    if (error.details.messages === undefined) is<Same<typeof error.details.limitBytes, number>>();
    else is<Same<typeof error.details.limitMessages, number>>();
    is<Same<typeof error.details.index, number | undefined>>();
  }
  return isBusError(error) ? error.remedy : undefined;
}

/** A common kind of wrapper: generic over entries, it keeps all types without a cast. */
export async function wrapped(bus: Bus) {
  const cached = <M extends Request>(entry: M, ...call: Call<Input<M>, RequestCall>): Promise<Output<M>> =>
    bus.request(entry, ...call);
  const made = await cached(shop.order, { article: 'lamp', count: 1, due });
  is<Same<typeof made.count, number>>();
  await cached(shop.stock);
}

// --- handlers

const take = handler(shop.order, async ({ article, count, due: until }, { fail, baggage }) => {
  is<Same<typeof until, Date>>();
  is<Same<typeof baggage.tenant, string | undefined>>();
  return count > 9 ? fail('SoldOut', { left: 9 }) : { id: 'o1', article, count };
});
is<Same<Parameters<typeof take>[0], Body<typeof shop.order>>>();
const all: Handlers<typeof shop> = {
  order: take,
  stock: () => 3,
  search: (query) => (query ? [order] : []),
  pack: ({ id }, { progress }) => progress(`packing ${id}`),
  closeTill: async () => {},
};
const guard: Middleware = async ({ context }, next) => {
  if (!context.baggage.tenant) throw new Error('no tenant');
  return next();
};
void openBus({ module: shop, incoming: [guard], drainMs: '5s', workConcurrency: 4 });
void openBus({ module: 'shop' });

// --- what must not compile

export function wrongVerbs(bus: Bus) {
  // @ts-expect-error a request is not submitted
  void bus.submit(shop.order, { article: 'lamp', count: 1, due });
  // @ts-expect-error work is not requested
  void bus.request(shop.pack, order);
  // @ts-expect-error an event has no reply
  void bus.tryRequest(shop.sold, order);
  // @ts-expect-error a broadcast has no replies
  void bus.requestAll(shop.closeTill, { till: 3 });
  // @ts-expect-error an event is published, not broadcast
  void bus.broadcast(shop.sold, order);
  // @ts-expect-error a broadcast is not published
  void bus.publish(shop.closeTill, { till: 3 });
  // @ts-expect-error a listener receives events, not broadcasts
  void bus.listen(shop.closeTill, () => {});
  // @ts-expect-error a listener receives events, not work
  void bus.listen(shop.pack, { as: 'spy' }, () => {});
}

export function wrongValues(bus: Bus) {
  // @ts-expect-error a field of another type
  void bus.submit(shop.pack, { ...order, count: 'one' });
  // @ts-expect-error an unknown field
  void bus.submit(shop.pack, { id: 'o1', article: 'lamp', count: 1, colour: 'red' });
  // @ts-expect-error a field is missing
  void bus.request(shop.order, { article: 'lamp', due });
  // @ts-expect-error a sender passes the string, not the date that the schema returns
  void bus.request(shop.order, { article: 'lamp', count: 1, due: new Date() });
  // @ts-expect-error the input is required
  void bus.request(shop.order);
  // @ts-expect-error the entry has no input
  void bus.request(shop.stock, 'all');
  // @ts-expect-error a misspelled option of a call
  void bus.request(shop.stock, undefined, { timeoutMS: 5 });
  // @ts-expect-error broadcasts take no options
  void bus.broadcast(shop.closeTill, { till: 3 }, { timeoutMs: 5 });
  // @ts-expect-error work is stored on a disk or at a broker only
  void bus.submit(shop.pack, order, { until: 'tape' });
  // @ts-expect-error flush waits for all entries
  void bus.flush(shop.pack);
  // @ts-expect-error a list is a list
  void bus.submitAll(shop.pack, order);
  // @ts-expect-error a durable listener has a name
  void bus.listen(shop.sold, { attempts: 3 }, () => {});
  // @ts-expect-error a start that does not exist
  void bus.listen(shop.sold, { as: 'audit', from: 'now' }, () => {});
  // @ts-expect-error a listener of something else
  void bus.listen(shop.sold, (sold: { price: number }) => console.log(sold.price));
  // @ts-expect-error a plain listener cannot park, since it is not retried
  void bus.listen(shop.sold, (_sold, { park }) => park('no'));
  // @ts-expect-error unknown baggage
  bus.with({ tenat: 'acme' }, () => {});
  // @ts-expect-error a bus requires a module
  void openBus({});
  // @ts-expect-error a misspelled option of the bus
  void openBus({ module: shop, drainMS: 5 });
  // @ts-expect-error a port is a number
  void openBus({ module: shop, healthPort: true });
}

export function wrongHandlers(bus: Bus) {
  const { order: _order, ...rest } = all;
  const { pack: _pack, ...noPack } = all;
  // @ts-expect-error a handler is missing
  void bus.serve(shop, rest);
  // @ts-expect-error a misspelled handler
  void bus.serve(shop, { ...noPack, pakc: () => {} });
  // @ts-expect-error an event has no handler in its own module
  void bus.serve(shop, { ...rest, order: take, sold: () => {} });
  // @ts-expect-error a reply of another type
  void bus.serve(shop, { ...all, stock: () => 'three' });
  // @ts-expect-error a reply that lacks a field
  void bus.serve(shop, { ...all, order: async () => ({ id: 'o1' }) });
  // @ts-expect-error a reply is required
  void bus.serve(shop, { ...all, stock: () => {} });
  // @ts-expect-error an undeclared failure
  void bus.serve(shop, { ...all, order: (_body, { fail }) => fail('TooMany', {}) });
  // @ts-expect-error a declared failure with other data
  void bus.serve(shop, { ...all, order: (_body, { fail }) => fail('SoldOut', { rest: 1 }) });
  // @ts-expect-error the entry declares no failure
  void bus.serve(shop, { ...all, stock: (_body: void, { fail }) => fail('SoldOut', { left: 1 }) });
  // @ts-expect-error a request is answered, not parked
  void bus.serve(shop, { ...all, stock: (_body: void, { park }) => park('later') });
  // @ts-expect-error work has no caller, so no failures
  void bus.serve(shop, { ...all, pack: (_body, { fail }) => fail('SoldOut', { left: 1 }) });
  // @ts-expect-error a handler that accepts less than the contract allows
  void bus.serve(shop, { ...all, closeTill: (_m: { till: 1 | 2 }) => {} });
  // @ts-expect-error a handler that requires more than the body has
  void bus.serve(shop, { ...all, closeTill: (_m: { till: number; floor: number }) => {} });
  // @ts-expect-error a third argument, which is never passed
  void bus.serve(shop, { ...all, pack: (_body: unknown, _context: unknown, _more: number) => {} });
  // @ts-expect-error limits require a handled entry
  void bus.serve(shop, all, { concurrency: { sold: 1 } });
  // @ts-expect-error a misspelled entry among the limits
  void bus.serve(shop, all, { perSecond: { pakc: 1 } });
  // @ts-expect-error events have no handler in their module
  handler(shop.sold, () => {});
  // @ts-expect-error the body has the type of the entry
  handler(shop.pack, (body: { weight: number }) => console.log(body.weight));
}

export async function wrongUse(bus: Bus) {
  const result = await bus.tryRequest(shop.stock);
  // @ts-expect-error a value exists only on success
  console.log(result.value);
  // @ts-expect-error details belong to one code
  if (!result.ok) console.log(result.error.details.reached);
  // @ts-expect-error no such code
  isBusError(result, 'Timedout');
  // @ts-expect-error the middleware does not return the outcome
  const forgets: Middleware = async (_delivery, next) => {
    await next();
  };
  // @ts-expect-error only `next` can return the outcome
  const invents: Middleware = async () => ({ ok: true });
  void [forgets, invents];
}
