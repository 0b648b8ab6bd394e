/** Mistakes that the compiler would find: each is rejected immediately with the names involved. */
import { broadcast, defineModule, event, request, unchecked, work } from '../../src/contract/contract';
import type { Bus } from '../../src/bus/types';
import { openBus } from '../../src/index';
import { testBus, type TestBus } from '../../src/testing';

const Any = unchecked<unknown>();
const m = defineModule('m', { r: request(Any, Any), w: work(Any), b: broadcast(Any), e: event(Any) });

/** The verbs as untyped JavaScript calls them. */
type Loose = { readonly [verb in keyof Bus]: (...given: readonly unknown[]) => Promise<unknown> };
let bus: TestBus;
let loose: Loose;
beforeEach(() => {
  bus = testBus(m);
  loose = bus as unknown as Loose;
});
afterEach(() => bus.close());

const wrongEntries: readonly [unknown, RegExp][] = [
  [undefined, /: the entry is undefined: a name that the contract does not have, or two files that import each other$/],
  [null, /: the entry is null: /],
  ['m.r', /: 'm\.r' is not an entry\. Pass one of a contract, such as photos\.add$/],
  [{}, /: a value of type object is not an entry\. /],
  [
    request(Any, Any),
    /the entry belongs to no contract\. Pass the entry of the contract that defineModule returned$|: use bus\./,
  ],
];
describe.each(['request', 'requestAll', 'submit', 'submitAll', 'broadcast', 'publish', 'publishAll'] as const)(
  'bus.%s',
  (verb) => {
    test.each(wrongEntries)('with the entry %p rejects with Config and the given value', async (entry, message) => {
      await expect(loose[verb](entry, [])).rejects.toMatchObject({
        code: 'Config',
        message: expect.stringMatching(message),
      });
    });
  },
);

test('tryRequest without an entry returns a Config error', async () => {
  expect(await loose.tryRequest(undefined)).toMatchObject({ ok: false, error: { code: 'Config' } });
});

test.each([
  ['request', m.r, { timeout: 3 }, "bus.request(m.r): 'timeout' is not an option; did you mean timeoutMs?"],
  [
    'request',
    m.r,
    { colour: 3 },
    "bus.request(m.r): 'colour' is not an option; the options are timeoutMs, signal, key, to, waitForInstanceMs",
  ],
  ['request', m.r, { timeoutMs: 'x' }, "bus.request(m.r): timeoutMs is 'x'; it must be a number of ms, 0 or more"],
  ['request', m.r, { timeoutMs: NaN }, 'bus.request(m.r): timeoutMs is NaN; it must be a number of ms, 0 or more'],
  [
    'request',
    m.r,
    { waitForInstanceMs: -1 },
    'bus.request(m.r): waitForInstanceMs is -1; it must be a number of ms, 0 or more',
  ],
  ['request', m.r, { key: 7 }, 'bus.request(m.r): key is 7; it must be a string'],
  ['request', m.r, { signal: {} }, 'bus.request(m.r): signal is of type object; it must be an AbortSignal'],
  ['requestAll', m.r, { to: 'm#1' }, "bus.requestAll(m.r): 'to' is not an option; the options are timeoutMs, signal"],
  ['submit', m.w, { until: 'x' }, "bus.submit(m.w): until is 'x'; it must be 'disk' or 'broker'"],
  ['submit', m.w, { untill: 'disk' }, "bus.submit(m.w): 'untill' is not an option; did you mean until?"],
  ['submit', m.w, { id: 7 }, 'bus.submit(m.w): id is 7; it must be a string'],
  ['submitAll', m.w, { id: 'x' }, "bus.submitAll(m.w): id is 'x'; it must be a function"],
  ['publishAll', m.e, { id: 'x' }, "bus.publishAll(m.e): id is 'x'; it must be a function"],
  ['publish', m.e, { timeoutMs: -5 }, 'bus.publish(m.e): timeoutMs is -5; it must be a number of ms, 0 or more'],
  ['publish', m.e, { to: 'm#1' }, "bus.publish(m.e): 'to' is not an option; the options are until, timeoutMs, id"],
  ['broadcast', m.b, { until: 'disk' }, "bus.broadcast(m.b): 'until' is not an option"],
] as const)('bus.%s of %p rejects the options %p', async (verb, entry, options, message) => {
  await expect(loose[verb](entry, 1, options)).rejects.toMatchObject({ code: 'Config', message });
});

test('an option that is undefined counts as absent', async () => {
  await bus.serve(m, { r: (n) => n, w: () => undefined, b: () => undefined });
  expect(await loose.request(m.r, 1, { timeoutMs: undefined, signal: undefined })).toBe(1);
});

describe('serve', () => {
  const all = { r: () => 1, w: () => undefined, b: () => undefined };

  test.each([
    [[undefined, {}], /^bus\.serve: the contract is undefined\. Do two files import each other\?$/],
    [['m', {}], /^bus\.serve: the value is not a contract\. Pass the contract that defineModule returned$/],
    [[m, undefined], /^serve\(m\) has no handlers$/],
    [
      [m, { ...all, ww: () => 1 }],
      /^serve\(m\) has a handler 'ww', which the contract does not have; did you mean w\?$/,
    ],
    [[m, { ...all, e: () => 1 }], /^serve\(m\) has a handler of the event 'e'\. Use bus\.listen$/],
    [[m, all, { concurency: 2 }], /^serve\(m\): 'concurency' is not an option; did you mean concurrency\?$/],
    [[m, all, { concurrency: NaN }], /^serve\(m\): concurrency is NaN; it must be a whole number from 1 to 10000$/],
    [[m, all, { concurrency: { w: 1.5 } }], /^serve\(m\), w: concurrency is 1\.5; it must be a whole number from 1 /],
    [[m, all, { perSecond: { w: 0 } }], /^serve\(m\), w: perSecond is 0; it must be a number above 0$/],
    [[m, all, { perSecond: { x: 1 } }], /^serve\(m\) limits 'x', which it does not handle$/],
  ])('rejects the arguments %p', async (given, message) => {
    await expect(loose.serve(...given)).rejects.toMatchObject({
      code: 'Config',
      message: expect.stringMatching(message),
    });
  });

  test('a class instance can have more methods than handlers', async () => {
    class Handlers {
      r = () => this.more();
      w = () => undefined;
      b = () => undefined;
      more = () => 5;
    }
    await bus.serve(m, new Handlers());
    expect(await bus.request(m.r, 0)).toBe(5);
  });
});

describe('listen', () => {
  test('rejects a call without a handler', async () => {
    await expect(loose.listen(m.e, { as: 'x' })).rejects.toMatchObject({ code: 'Config' });
  });

  test('rejects a second listener of the same name until the first has closed', async () => {
    const nothing = () => undefined;
    const first = await bus.listen(m.e, { as: 'x' }, nothing);
    await bus.listen(m.e, { as: 'y' }, nothing);
    await expect(bus.listen(m.e, { as: 'x' }, nothing)).rejects.toMatchObject({
      code: 'Config',
      message: "this instance already listens to m.e as 'x'",
    });
    await first.close();
    await bus.listen(m.e, { as: 'x' }, nothing);
  });
});

test.each([undefined, {}, { module: undefined }, { module: {} }])(
  'openBus(%p) rejects and requests a module',
  async (options) => {
    const opening = (openBus as (options: unknown) => Promise<Bus>)(options);
    await expect(opening).rejects.toMatchObject({
      code: 'Config',
      message: 'configuration: module (openBus) is missing',
    });
  },
);
