/** Origins in errors: the causes, the instance, both contracts, and the line of the caller. */
import { z } from 'zod';
import { BusError, isBusError, type AnyBusError, type BusCode } from '../../src/base/errors';
import { deferred } from '../../src/base/lifecycle';
import { defineModule, request } from '../../src/contract/contract';
import { fingerprint } from '../../src/contract/fingerprint';
import type { Context } from '../../src/delivery/context';
import { testBus, type TestBus } from '../../src/testing';
import { calls } from './calls';
import { shop } from './callsshop';

/** A newer version of the module, in which an item has a weight. */
const newShop = defineModule('shop', {
  price: request(z.object({ item: z.string(), grams: z.number() }), z.number()),
  slow: shop.slow,
  pack: shop.pack,
  closing: shop.closing,
  sold: shop.sold,
});
const refused = (): never => {
  throw new TypeError('fetch failed', {
    cause: new AggregateError([new Error('connect ECONNREFUSED ::1:9'), new Error('connect ECONNREFUSED 127.0.0.1:9')]),
  });
};
const buses: TestBus[] = [];
const join = (of: Parameters<typeof testBus>[0]): TestBus => {
  const bus = testBus(of);
  buses.push(bus);
  return bus;
};
afterEach(async () => {
  await Promise.all(buses.splice(0).map((bus) => bus.close()));
});

interface Handlers {
  price?: (body: unknown, context: Context) => number;
  slow?: (body: unknown, context: Context) => Promise<number>;
  pack?: () => void;
}
async function shopOf(contract: typeof shop, { price = () => 1, slow = async () => 1, pack = refused }: Handlers = {}) {
  const bus = join(contract);
  await bus.serve(contract, { price, slow, pack, closing: () => {} });
  return bus;
}
async function caught<C extends BusCode>(code: C, promise: Promise<unknown>): Promise<AnyBusError<C>> {
  try {
    await promise;
  } catch (error) {
    if (isBusError(error, code)) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

describe('causes', () => {
  const line =
    /fetch failed; cause: AggregateError; cause: .*ECONNREFUSED ::1:9; cause: .*ECONNREFUSED 127\.0\.0\.1:9$/;

  test("HandlerFailed has the causes of the handler's error", async () => {
    const bus = await shopOf(shop, { price: refused });
    const error = await caught('HandlerFailed', bus.request(shop.price, { item: 'a' }));
    expect(error.message).toMatch(line);
    expect(error.details).toMatchObject({
      handlerError: expect.stringMatching(line),
      cause: { errors: [{ message: 'connect ECONNREFUSED ::1:9' }, { message: 'connect ECONNREFUSED 127.0.0.1:9' }] },
    });
    const { cause } = error.cause as Error; // as it was sent
    expect(cause).toBeInstanceOf(AggregateError);
    expect((cause as AggregateError).errors).toMatchObject([{ message: 'connect ECONNREFUSED ::1:9' }, {}]);
  });

  test('attempts of a parked message have the causes of their errors', async () => {
    const bus = await shopOf(shop);
    await bus.submit(shop.pack, { item: 'a' });
    await bus.settled();
    expect(bus.parked(shop.pack)).toMatchObject([{ reason: expect.stringMatching(line) }]);
  });
});

describe('Invalid and HandlerFailed', () => {
  const prints = { caller: fingerprint(shop), responder: fingerprint(newShop) };

  async function twoVersions(handlers: Handlers = {}) {
    const server = join(newShop);
    const [price, slow] = [handlers.price ?? (() => 1), handlers.slow ?? (async () => 1)];
    await server.serve(newShop, { price, slow, pack: () => {}, closing: () => {} });
    return { server, web: server.as('web') };
  }

  test('name instance, entry and both contracts when the responder rejects the input', async () => {
    const { server, web } = await twoVersions();
    const error = await caught('Invalid', web.request(shop.price, { item: 'a' }));
    const { instance } = server.self;
    expect(error.details).toMatchObject({ side: 'input', entry: 'shop.price', instance, contracts: prints });
    expect(error.message).toMatch(
      `; answered by ${instance}; the caller has contract ${prints.caller}, ${instance} has ${prints.responder}`,
    );
  });

  test('name instance, entry and contract when the handler throws', async () => {
    const { server, web } = await twoVersions({ slow: async () => refused() });
    const { instance } = server.self;
    const error = await caught('HandlerFailed', web.request(shop.slow, {}));
    // The entry belongs to the newer contract, since both share it here.
    expect(error.details).toMatchObject({ entry: 'shop.slow', instance, contracts: { responder: prints.responder } });
  });

  test("name instance, entry and both contracts when the reply breaks the caller's contract", async () => {
    const { server, web } = await twoVersions();
    const texts = defineModule('shop', { ...shop, slow: request(z.object({}), z.string()) });
    const { instance } = server.self;
    const error = await caught('Invalid', web.request(texts.slow, {}));
    const contracts = { caller: fingerprint(texts), responder: prints.responder };
    expect(error.details).toMatchObject({ side: 'reply', entry: 'shop.slow', instance, contracts });
  });

  test("name the entry and the caller's contract when nothing was sent", async () => {
    const { web } = await twoVersions();
    const error = await caught('Invalid', web.request(shop.price, { item: 3 } as never));
    expect(error.details).toMatchObject({ entry: 'shop.price', contracts: { caller: prints.caller } });
    expect(error.details.instance).toBeUndefined();
  });
});

describe('the abort reason of a caller', () => {
  async function reasonAtHandler(abort: (caller: AbortController) => void): Promise<AnyBusError<'Cancelled'>> {
    let told: unknown;
    const started = deferred<void>();
    const bus = await shopOf(shop, {
      slow: (_, { signal }) =>
        new Promise((resolve) => {
          signal.addEventListener('abort', () => resolve(((told = signal.reason), 1)));
          started.resolve();
        }),
    });
    const caller = new AbortController();
    const asked = bus.request(shop.slow, {}, { signal: caller.signal });
    await started.promise;
    abort(caller);
    await caught('Cancelled', asked);
    await bus.settled();
    return told as AnyBusError<'Cancelled'>;
  }

  test.each<[string, unknown, unknown]>([
    ['a text', 'the user left', 'the user left'],
    ['a value', { why: 'left', at: new Date(5) }, { why: 'left', at: new Date(5) }],
    ['a function', () => 1, expect.stringContaining('thrown:')],
  ])("is the reason of the handler's signal: %s", async (_what, given, arrives) => {
    const reason = await reasonAtHandler((caller) => caller.abort(given));
    expect(reason).toBeInstanceOf(BusError);
    expect(reason.details.reason).toEqual(arrives);
  });

  test('keeps the name and the causes of an error', async () => {
    const reason = await reasonAtHandler((caller) =>
      caller.abort(new RangeError('too far', { cause: new Error('no road') })),
    );
    expect(reason.message).toMatch(/its caller aborted it: too far; cause: no road$/);
    expect(reason.details.reason).toMatchObject({ name: 'RangeError', message: 'too far' });
    expect((reason.cause as Error).cause).toMatchObject({ message: 'no road' });
  });

  test('is an AbortError when none was given', async () => {
    const reason = await reasonAtHandler((caller) => caller.abort());
    expect(reason.details.reason).toMatchObject({ name: 'AbortError' });
  });
});

const untilAborted = (_body: unknown, { signal }: Context): Promise<number> =>
  new Promise((resolve) => signal.addEventListener('abort', () => resolve(1)));

describe('the stack of an error has the line of the caller', () => {
  const verbs = Object.keys(calls) as (keyof typeof calls)[]; // the keys of an object of functions

  test.each(verbs)('%s', async (verb) => {
    const bus = await shopOf(shop, { price: refused, slow: untilAborted });
    const ended = Promise.resolve(calls[verb](bus)).catch((thrown: unknown) => thrown);
    await bus.clock.advance(10);
    const error = await ended;
    expect(error).toBeInstanceOf(BusError);
    const { stack = '' } = error as BusError;
    expect(stack.split('bus/calls.ts')).toHaveLength(2);
  });
});
