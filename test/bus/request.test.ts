import { z } from 'zod';
import { broadcast, defineModule, isBusError, request, type RequestCall } from '../../src/index';
import { testBus, type TestBus } from '../../src/testing';

const maths = defineModule('maths', {
  add: request(z.object({ a: z.number(), b: z.number() }), z.number()),
  divide: request(z.object({ a: z.number(), b: z.number() }), z.number(), {
    failures: { ByZero: z.object({ a: z.number() }) },
  }),
  slow: request(z.object({ ms: z.number() }), z.string(), { timeoutMs: 1_000 }),
  echo: request(z.unknown(), z.unknown(), { idempotent: true }),
  when: request(z.object({ day: z.string().transform((day) => new Date(day)) }), z.object({ year: z.number() })),
  ping: request(z.void(), z.string()),
  drop: broadcast(z.object({})),
});

type Handlers = Parameters<typeof serve>[1];
const serve = (bus: TestBus, more: Partial<Parameters<typeof bus.serve<typeof maths>>[1]> = {}, options = {}) =>
  bus.serve(
    maths,
    {
      add: ({ a, b }) => a + b,
      divide: ({ a, b }, { fail }) => (b === 0 ? fail('ByZero', { a }) : a / b),
      slow: () => new Promise<string>(() => {}),
      echo: (body) => body,
      when: ({ day }) => ({ year: day.getUTCFullYear() }),
      ping: () => 'pong',
      drop: () => {},
      ...more,
    },
    options,
  );
const open = async (more?: Handlers, options?: object): Promise<TestBus> => {
  const bus = testBus(maths);
  await serve(bus, more, options);
  return bus;
};
const codeOf = async (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'ok',
    (error: unknown) => (isBusError(error) ? error.code : String(error)),
  );

test('a request returns the reply of the only serving instance', async () => {
  const bus = await open();
  expect(await bus.as('web').request(maths.add, { a: 2, b: 3 })).toBe(5);
});

test('a request without input is sent without a body argument', async () => {
  const bus = await open();
  expect(await bus.as('web').request(maths.ping)).toBe('pong');
});

test('a handler receives the input transformed once by its schema', async () => {
  const bus = await open();
  expect(await bus.as('web').request(maths.when, { day: '2026-11-22' })).toEqual({ year: 2026 });
});

test('a declared failure is thrown by request and returned by tryRequest', async () => {
  const bus = await open();
  const web = bus.as('web');
  await expect(web.request(maths.divide, { a: 1, b: 0 })).rejects.toMatchObject({
    name: 'Failure',
    code: 'ByZero',
    data: { a: 1 },
  });
  expect(await web.tryRequest(maths.divide, { a: 1, b: 0 })).toMatchObject({ ok: false, error: { code: 'ByZero' } });
  expect(await web.tryRequest(maths.divide, { a: 6, b: 3 })).toEqual({ ok: true, value: 2 });
});

test('input that breaks the schema is Invalid at the sender and names the field', async () => {
  const bus = await open();
  const sent = bus.as('web').request(maths.add, { a: 'x', b: 1 } as never);
  await expect(sent).rejects.toMatchObject({ code: 'Invalid', details: { side: 'input', issues: [{ path: ['a'] }] } });
  expect(bus.sent(maths.add)).toHaveLength(0);
});

test('a reply that breaks the schema is Invalid at the caller', async () => {
  const bus = await open({ add: () => 'five' as never });
  await expect(bus.as('web').request(maths.add, { a: 2, b: 3 })).rejects.toMatchObject({
    code: 'Invalid',
    details: { side: 'reply' },
  });
});

test('an error of the handler is HandlerFailed and names the instance', async () => {
  const bus = await open({
    add: () => {
      throw new Error('no numbers today');
    },
  });
  await expect(bus.as('web').request(maths.add, { a: 2, b: 3 })).rejects.toMatchObject({
    code: 'HandlerFailed',
    details: { handlerError: 'no numbers today', instance: bus.self.instance },
  });
});

test('a BusError thrown inside a handler is HandlerFailed for the caller', async () => {
  const bus = testBus(maths);
  const nobody = defineModule('nobody', { ping: request(z.void(), z.string()) });
  await serve(bus, { ping: () => bus.request(nobody.ping) });
  await expect(bus.as('web').request(maths.ping)).rejects.toMatchObject({ code: 'HandlerFailed' });
});

test('a request without a serving instance is NoHandler immediately', async () => {
  const bus = testBus('web');
  await expect(bus.request(maths.ping)).rejects.toMatchObject({ code: 'NoHandler', details: { module: 'maths' } });
});

test('waitForInstanceMs waits for a first instance', async () => {
  const bus = testBus('web');
  const asked = bus.request(maths.ping, undefined, { waitForInstanceMs: 2_000 });
  await bus.clock.advance(1_000);
  await serve(bus.as(maths));
  expect(await asked).toBe('pong');
});

test('waitForInstanceMs ends in NoHandler when no instance starts', async () => {
  const bus = testBus('web');
  const asked = codeOf(bus.request(maths.ping, undefined, { waitForInstanceMs: 2_000 }));
  await bus.clock.advance(2_000);
  expect(await asked).toBe('NoHandler');
});

test('a deadline ends in Timeout with the state that the request reached', async () => {
  const bus = await open(undefined, { concurrency: { slow: 1 } });
  const web = bus.as('web');
  const running = web.tryRequest(maths.slow, { ms: 1 });
  const waiting = web.tryRequest(maths.slow, { ms: 1 });
  await bus.clock.advance(1_000);
  expect(await running).toMatchObject({
    error: { code: 'Timeout', details: { reached: 'running', timeoutMs: 1_000 } },
  });
  expect(await waiting).toMatchObject({ error: { code: 'Timeout', details: { reached: 'waiting' } } });
});

test('the deadline aborts the signal of the handler', async () => {
  const reasons: unknown[] = [];
  const bus = await open({
    slow: (_body, { signal }) =>
      new Promise((_resolve, reject) =>
        signal.addEventListener('abort', () => {
          reasons.push(signal.reason);
          reject(new Error('aborted'));
        }),
      ),
  });
  const asked = bus.as('web').tryRequest(maths.slow, { ms: 1 });
  await bus.clock.advance(1_000);
  await asked;
  expect(reasons).toMatchObject([{ code: 'Timeout' }]);
});

test("cancelling a request aborts the handler's signal and rejects with Cancelled", async () => {
  const reasons: unknown[] = [];
  const bus = await open({
    slow: (_body, { signal }) => new Promise(() => signal.addEventListener('abort', () => reasons.push(signal.reason))),
  });
  const stop = new AbortController();
  const asked = codeOf(bus.as('web').request(maths.slow, { ms: 1 }, { signal: stop.signal }));
  await bus.clock.advance(10);
  stop.abort('changed my mind');
  expect(await asked).toBe('Cancelled');
  await bus.clock.advance(0);
  expect(reasons).toMatchObject([{ code: 'Cancelled' }]);
});

test('a request inside a handler inherits the deadline of the handler', async () => {
  const bus = testBus(maths);
  const deadlines: number[] = [];
  await serve(bus, {
    slow: async (_body, { deadline }) => {
      deadlines.push(deadline);
      return bus.request(maths.echo, 'x', { timeoutMs: 60_000 }) as Promise<string>;
    },
    echo: (body, { deadline }) => {
      deadlines.push(deadline);
      return body;
    },
  });
  await bus.as('web').request(maths.slow, { ms: 1 }, { timeoutMs: 700 });
  expect(deadlines).toEqual([bus.clock.now() + 700, bus.clock.now() + 700]);
});

test('a request made after its handler ended has a deadline of its own', async () => {
  const bus = testBus(maths);
  let later: Promise<unknown> | undefined;
  let goOn = (): void => {};
  const wait = new Promise<void>((resolve) => (goOn = resolve));
  await serve(bus, {
    slow: () => {
      later = wait.then(() => bus.request(maths.echo, 'later'));
      return 'done';
    },
  });
  await bus.as('web').request(maths.slow, { ms: 1 }, { timeoutMs: 500 });
  await bus.clock.advance(10_000);
  goOn();
  expect(await later).toBe('later');
});

test('requests use several instances, and those with one key always the same', async () => {
  const bus = testBus('web');
  const hits = new Map<string, number>();
  for (const name of ['one', 'two', 'three']) {
    await serve(bus.as(maths), { ping: () => name });
  }
  const count = async (options?: RequestCall): Promise<void> => {
    const who = await bus.request(maths.ping, undefined, options ?? {});
    hits.set(who, (hits.get(who) ?? 0) + 1);
  };
  for (let i = 0; i < 60; i++) await count();
  expect(hits.size).toBe(3);
  hits.clear();
  for (let i = 0; i < 20; i++) await count({ key: 'alps' });
  expect([...hits.values()]).toEqual([20]);
});

test('requestAll returns one reply or error for each running instance', async () => {
  const bus = testBus('web');
  await serve(bus.as(maths), { ping: () => 'one' });
  await serve(bus.as(maths), {
    ping: () => {
      throw new Error('ill');
    },
  });
  const answers = await bus.requestAll(maths.ping);
  expect(answers.map((answer) => (answer.ok ? answer.value : answer.error.code)).toSorted()).toEqual([
    'HandlerFailed',
    'one',
  ]);
});

test('an oversized body is TooLarge at the sender, an oversized reply at the caller', async () => {
  const bus = await open({ echo: () => 'x'.repeat(1_100_000) });
  const web = bus.as('web');
  await expect(web.request(maths.echo, 'x'.repeat(1_100_000))).rejects.toMatchObject({
    code: 'TooLarge',
    details: { limitBytes: 1_000_000 },
  });
  await expect(web.request(maths.echo, 'x')).rejects.toMatchObject({ code: 'TooLarge' });
});

test('a verb that does not fit the kind rejects and names the right verb', async () => {
  const bus = await open();
  await expect(bus.request(maths.drop as never, {} as never)).rejects.toMatchObject({
    code: 'Config',
    message: expect.stringContaining('bus.broadcast') as string,
  });
});

test('serve names all missing handlers in one error', async () => {
  const bus = testBus(maths);
  await expect(bus.serve(maths, { add: () => 1 } as never)).rejects.toMatchObject({
    code: 'Config',
    details: {
      faults: expect.arrayContaining([
        expect.stringContaining("'divide'"),
        expect.stringContaining("'ping'"),
      ]) as string[],
    },
  });
});

test('handlers are called as methods, so a class instance keeps its this', async () => {
  class Maths {
    readonly offset = 100;
    add({ a, b }: { a: number; b: number }): number {
      return a + b + this.offset;
    }
    divide(): number {
      return 1;
    }
    slow(): string {
      return '';
    }
    echo(body: unknown): unknown {
      return body;
    }
    when(): { year: number } {
      return { year: 1 };
    }
    ping(): string {
      return 'pong';
    }
    drop(): void {}
  }
  const bus = testBus(maths);
  await bus.serve(maths, new Maths());
  expect(await bus.as('web').request(maths.add, { a: 1, b: 1 })).toBe(102);
});

test('a closed bus rejects requests with Closed', async () => {
  const bus = await open();
  await bus.close();
  expect(await codeOf(bus.request(maths.ping))).toBe('Closed');
});

test('a leaving instance finishes running requests and releases waiting ones', async () => {
  const bus = testBus('web');
  const first = bus.as(maths);
  let finish = (): void => {};
  const started: string[] = [];
  await serve(
    first,
    {
      echo: (body) => {
        started.push('first');
        return new Promise((resolve) => (finish = () => resolve(body)));
      },
    },
    { concurrency: { echo: 1 } },
  );
  const running = bus.request(maths.echo, 'running');
  const waiting = bus.request(maths.echo, 'waiting');
  await bus.clock.advance(1);
  await serve(bus.as(maths), {
    echo: (body) => {
      started.push('second');
      return body;
    },
  });
  const closing = first.close();
  await bus.clock.advance(100);
  expect(await waiting).toBe('waiting');
  finish();
  expect(await running).toBe('running');
  await bus.clock.advance(1_000);
  await closing;
  expect(started).toEqual(['first', 'second']);
});

test('baggage reaches the handler and the messages that it sends', async () => {
  const bus = testBus(maths);
  const seen: unknown[] = [];
  await serve(bus, {
    slow: async (_body, { baggage }) => {
      seen.push(baggage);
      return (await bus.request(maths.echo, 'x')) as string;
    },
    echo: (body, { baggage }) => {
      seen.push(baggage);
      return body;
    },
  });
  const web = bus.as('web');
  await web.with({ tenant: 'acme' } as object, () => web.request(maths.slow, { ms: 1 }));
  expect(seen).toEqual([{ tenant: 'acme' }, { tenant: 'acme' }]);
  const [, echo] = [bus.sent(maths.slow)[0], bus.sent(maths.echo)[0]];
  expect(echo?.baggage).toEqual({ tenant: 'acme' });
});

test('a trace is sent with a message and the messages that it causes', async () => {
  const bus = testBus(maths);
  const seen: unknown[] = [];
  await serve(bus, {
    slow: async (_body, { traceparent }) => {
      seen.push(traceparent);
      return (await bus.request(maths.echo, 'x')) as string;
    },
    echo: (body, { traceparent }) => {
      seen.push(traceparent);
      return body;
    },
  });
  const trace = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
  const web = bus.as('web');
  await web.with({}, () => web.request(maths.slow, { ms: 1 }), trace);
  expect(seen).toEqual([trace, trace]);
  expect(() => web.with({}, () => 1, 'not a trace')).toThrow(expect.objectContaining({ code: 'Invalid' }));
});

test('fault makes the next sends fail with the given code', async () => {
  const bus = await open();
  bus.fault(maths.ping, 'Unreachable', { outcome: 'not-sent', waitedMs: 1 }, 2);
  expect(await codeOf(bus.request(maths.ping))).toBe('Unreachable');
  expect(await bus.tryRequest(maths.ping)).toMatchObject({ ok: false, error: { code: 'Unreachable' } });
  expect(await bus.request(maths.ping)).toBe('pong');
});

test('unusual errors of a handler are answered: broken surrogates, huge texts, no prototype', async () => {
  const thrown: unknown[] = [
    new Error('bad title: 😀'.slice(0, -1)),
    new Error('x'.repeat(2_000_000)),
    Object.create(null),
  ];
  const bus = await open({
    echo: () => {
      throw thrown.shift();
    },
  });
  const web = bus.as('web');
  for (let n = 0; n < 3; n++) expect(await codeOf(web.request(maths.echo, n))).toBe('HandlerFailed');
});

test('a failure of another module inside a handler is HandlerFailed', async () => {
  const shelf = defineModule('shelf', {
    take: request(z.void(), z.void(), { failures: { ByZero: z.object({ at: z.string() }) } }),
  });
  const bus = testBus(maths);
  await bus.as(shelf).serve(shelf, { take: (_body, { fail }) => fail('ByZero', { at: 'shelf' }) });
  await serve(bus, { divide: async () => (await bus.request(shelf.take), 1) });
  expect(await codeOf(bus.as('web').request(maths.divide, { a: 1, b: 0 }))).toBe('HandlerFailed');
});

test('closing one of two contracts of an instance leaves the other one served', async () => {
  const other = defineModule('other', { ping: request(z.void(), z.string()) });
  const bus = await open();
  const served = await bus.serve(other, { ping: () => 'other' });
  const web = bus.as('web');
  expect([await web.request(maths.ping), await web.request(other.ping)]).toEqual(['pong', 'other']);
  await served.close();
  await bus.settled();
  expect(await web.request(maths.ping)).toBe('pong');
});

test('a waiting request is a retryable NoHandler when the last instance leaves', async () => {
  const bus = await open({ slow: () => new Promise<string>(() => {}) }, { concurrency: { slow: 1 } });
  const web = bus.as('web');
  const [, waiting] = [web.tryRequest(maths.slow, { ms: 1 }), web.tryRequest(maths.slow, { ms: 1 })];
  await bus.clock.advance(1);
  void bus.close();
  await bus.clock.advance(1);
  expect(await waiting).toMatchObject({ error: { code: 'NoHandler', retryable: true } });
});

test('a handler that hangs blocks no other entry of its instance', async () => {
  const bus = await open(undefined, { concurrency: { slow: 1 } });
  const web = bus.as('web');
  const all = Array.from({ length: 300 }, () => web.tryRequest(maths.slow, { ms: 1 }));
  await bus.clock.advance(1_001);
  await Promise.all(all);
  expect(await web.request(maths.ping)).toBe('pong');
});

test('timeoutMs can be a fraction or infinite, and a negative one is rejected', async () => {
  const bus = await open();
  const web = bus.as('web');
  expect(await web.request(maths.ping, undefined, { timeoutMs: 1_000 / 3 })).toBe('pong');
  expect(await web.request(maths.ping, undefined, { timeoutMs: Infinity })).toBe('pong');
  await expect(web.request(maths.ping, undefined, { timeoutMs: -1 })).rejects.toMatchObject({
    code: 'Config',
    message: expect.stringContaining('timeoutMs') as string,
  });
});

test('a limit of 0 is rejected immediately', async () => {
  await expect(open(undefined, { concurrency: { slow: 0 } })).rejects.toMatchObject({ code: 'Config' });
  await expect(open(undefined, { concurrency: 0 })).rejects.toMatchObject({ code: 'Config' });
  await expect(open(undefined, { perSecond: { slow: 0 } })).rejects.toMatchObject({ code: 'Config' });
});

test('a request is aborted when its caller closes', async () => {
  const aborted: unknown[] = [];
  const bus = await open({
    slow: (_body, { signal }) => new Promise(() => signal.addEventListener('abort', () => aborted.push(signal.reason))),
  });
  const web = bus.as('web');
  void web.tryRequest(maths.slow, { ms: 1 });
  await bus.clock.advance(1);
  await web.close();
  await bus.clock.advance(1);
  expect(aborted).toMatchObject([{ code: 'Cancelled' }]);
});
