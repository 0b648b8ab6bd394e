/** Requests whose packets are lost: they are probed, and never started twice. */
import { sleep } from '../../src/base/clock';
import { buildBus, type BuiltBus } from '../../src/bus/bus';
import { defineModule, request, unchecked } from '../../src/contract/contract';
import { memoryWorld, virtualClock, type Operation } from '../../src/memory';
import { memoryBusParts } from '../../src/testing/parts';

const maths = defineModule('maths', {
  double: request(unchecked<number>(), unchecked<number>()),
  half: request(unchecked<number>(), unchecked<number>(), { idempotent: true }),
});
const half = (): number => 0;

function system(delayMs = 1) {
  const clock = virtualClock();
  const world = memoryWorld({ clock, delays: { minMs: delayMs, maxMs: delayMs } });
  const join = (module: string, n = 1): BuiltBus & { freeze(): void; thaw(): void; crash(): void } => {
    const process = world.process(`${module}#${n}`);
    const built = buildBus(memoryBusParts(process));
    return { ...built, freeze: () => process.freeze(), thaw: () => process.thaw(), crash: () => process.crash() };
  };
  return { clock, world, join };
}

/** Two connected instances. `lose` selects the packets that do not arrive. */
async function asked(lose: (operation: Operation) => boolean) {
  const { clock, world, join } = system();
  const [web, server] = [join('web'), join('maths')];
  const started: number[] = [];
  const serving = server.bus.serve(maths, {
    double: (n) => {
      started.push(n);
      return n * 2;
    },
    half,
  });
  await clock.advance(100);
  await serving;
  const first = web.bus.request(maths.double, 1);
  await clock.advance(100);
  expect(await first).toBe(2);
  world.faults = (operation) => (operation.call === 'send' && lose(operation) ? 'drop' : undefined);
  const second = web.bus.tryRequest(maths.double, 2);
  return { clock, web, server, started, second };
}

test('a request whose reply is lost is probed, but not started a second time', async () => {
  const { clock, started, second } = await asked(({ process, n }) => process === 'maths#1' && n === 2);
  await clock.advance(6_000);
  expect(await second).toMatchObject({ ok: false, error: { code: 'Timeout', details: { reached: 'answered' } } });
  expect(started).toEqual([1, 2]);
});

test('a call ends when its instance reports it unknown and no reply is under way', async () => {
  const lostReply = await asked(({ process, n }) => process === 'maths#1' && n === 2);
  await lostReply.clock.advance(2_000);
  expect(await lostReply.second).toMatchObject({ error: { code: 'Timeout', details: { reached: 'answered' } } });
  const passed = await asked(({ process, n }) => process === 'web#1' && n === 2);
  const third = passed.web.bus.tryRequest(maths.double, 3);
  await passed.clock.advance(2_000);
  expect(await third).toEqual({ ok: true, value: 6 });
  expect(await passed.second).toMatchObject({
    error: { code: 'Timeout', message: expect.stringContaining('the request or its answer was lost') },
  });
  expect(passed.started).toEqual([1, 3]);
});

test('an idempotent call whose reply was lost is sent to another instance', async () => {
  const { clock, world, join } = system();
  const web = join('web');
  const asked: number[] = [];
  const serving = [1, 2].map((n) =>
    join('maths', n).bus.serve(maths, { double: () => 0, half: () => asked.push(n) && n }),
  );
  await clock.advance(100);
  await Promise.all(serving);
  world.faults = ({ call, process }) => {
    const loses = call === 'send' && process !== 'web#1';
    if (loses) world.faults = () => undefined;
    return loses ? 'drop' : undefined;
  };
  const second = web.bus.tryRequest(maths.half, 1);
  await clock.advance(2_000);
  expect(await second).toMatchObject({ ok: true });
  expect(asked.toSorted((a, b) => a - b)).toEqual([1, 2]);
});

test('a reply whose asynchronous schema check is running does not count as lost', async () => {
  const { clock, join } = system();
  const slow = {
    '~standard': {
      version: 1 as const,
      vendor: 'test',
      validate: async (value: unknown) => {
        await sleep(clock, 3_000);
        return { value: Number(value) };
      },
    },
  };
  const checked = defineModule('checked', { double: request(unchecked<number>(), slow) });
  const [web, server] = [join('web'), join('maths')];
  const serving = server.bus.serve(checked, { double: (n) => n * 2 });
  await clock.advance(100);
  await serving;
  const asked = web.bus.tryRequest(checked.double, 2, { timeoutMs: 10_000 });
  await clock.advance(7_000);
  expect(await asked).toEqual({ ok: true, value: 4 });
});

test('a lost request is resent once its instance reports that it never arrived', async () => {
  const { clock, started, second } = await asked(({ process, n }) => process === 'web#1' && n === 2);
  await clock.advance(3_000);
  expect(await second).toEqual({ ok: true, value: 4 });
  expect(started).toEqual([1, 2]);
});

test('several late unknown reports resend a lost request only once', async () => {
  const { clock, server, started, second } = await asked(({ process, n }) => process === 'web#1' && n === 2);
  server.freeze();
  await clock.advance(3_500);
  server.thaw();
  await clock.advance(500);
  expect(await second).toEqual({ ok: true, value: 4 });
  expect(started).toEqual([1, 2]);
});

test('a call whose responder died is ResponderLost when no other instance answers in time', async () => {
  const { clock, join } = system();
  const [web, server] = [join('web'), join('maths')];
  const serving = server.bus.serve(maths, { double: () => 0, half: () => new Promise<never>(() => {}) });
  await clock.advance(100);
  await serving;
  const lost = web.bus.tryRequest(maths.half, 1, { timeoutMs: 5_000, waitForInstanceMs: 60_000 });
  await clock.advance(2_000); // a probe has reported that it is running
  server.crash();
  await clock.advance(3_000);
  expect(await lost).toMatchObject({ error: { code: 'ResponderLost', details: { instance: 'maths#1' } } });
});

test('a refusal by another instance does not make a possibly executed request retryable', async () => {
  const { clock, world, join } = system();
  const web = join('web');
  const done: number[] = [];
  const serving = join('maths', 1).bus.serve(maths, { double: () => 0, half: (n) => done.push(n) });
  // The older version of the module does not know the entry.
  const old = defineModule('maths', { double: maths.double });
  const older = join('maths', 2).bus.serve(old, { double: () => 0 });
  await clock.advance(100);
  await Promise.all([serving, older]);
  world.faults = ({ call, process }) =>
    call === 'send' && process === 'maths#1' && done.length === 1 ? 'drop' : undefined;
  const asked = web.bus.tryRequest(maths.half, 1);
  await clock.advance(500);
  world.faults = undefined;
  await clock.advance(9_000);
  expect(done).toEqual([1]);
  expect(await asked).toMatchObject({ error: { code: 'Timeout', retryable: false } });
});

test('closing a bus ends open requests as Closed with unknown outcome, later ones unsent', async () => {
  const { clock, join } = system();
  const [web, server] = [join('web'), join('maths')];
  const serving = server.bus.serve(maths, { double: () => new Promise<never>(() => {}), half });
  await clock.advance(100);
  await serving;
  const open = web.bus.tryRequest(maths.double, 1, { timeoutMs: 60_000 });
  await clock.advance(100);
  const closing = web.bus.close();
  await clock.advance(10_000);
  await closing;
  expect(await open).toMatchObject({ error: { code: 'Closed', details: { outcome: 'unknown' } } });
  expect(await web.bus.tryRequest(maths.double, 1)).toMatchObject({
    error: { code: 'Closed', details: { outcome: 'not-sent' } },
  });
});

/** A caller with one answered request, and an instance that will leave. */
async function leaving() {
  const { clock, world, join } = system();
  const [web, server] = [join('web'), join('maths')];
  const serving = server.bus.serve(maths, { double: (n) => n * 2, half });
  await clock.advance(100);
  await serving;
  const first = web.bus.tryRequest(maths.double, 1);
  await clock.advance(100);
  expect(await first).toEqual({ ok: true, value: 2 });
  const startMs = clock.mono();
  const close = async (): Promise<number> => {
    await server.bus.close();
    server.freeze(); // as if it had ended
    return clock.mono() - startMs;
  };
  return { clock, world, web, close };
}

test('a request on its way to a leaving instance is answered despite slow packets', async () => {
  const { clock, world, web, close } = await leaving();
  world.faults = ({ call }) => (call === 'send' ? { delayMs: 1_500 } : undefined);
  const asked = web.bus.tryRequest(maths.double, 2, { timeoutMs: 30_000 });
  const closed = close();
  await clock.advance(30_000);
  expect(await asked).toEqual({ ok: true, value: 4 });
  expect(await closed).toBeLessThan(5_000);
});

test('a leaving instance waits five seconds for a frozen caller', async () => {
  const { clock, web, close } = await leaving();
  web.freeze();
  const closed = close();
  await clock.advance(30_000);
  const tookMs = await closed;
  expect(tookMs).toBeGreaterThanOrEqual(5_000);
  expect(tookMs).toBeLessThan(6_000);
});

test('an idempotent request whose instance died is of unknown outcome when its bus closes', async () => {
  const { clock, join } = system();
  const [web, server] = [join('web'), join('maths')];
  const serving = server.bus.serve(maths, { double: (n) => n * 2, half: () => new Promise<number>(() => undefined) });
  await clock.advance(100);
  await serving;
  const asked = web.bus.tryRequest(maths.half, 1, { timeoutMs: 600_000, waitForInstanceMs: 600_000 });
  await clock.advance(100);
  server.crash();
  await clock.advance(10_000);
  const closing = web.bus.close();
  await clock.advance(10_000);
  await closing;
  expect(await asked).toMatchObject({
    ok: false,
    error: { code: 'Closed', details: { outcome: 'unknown' }, retryable: false },
  });
});
