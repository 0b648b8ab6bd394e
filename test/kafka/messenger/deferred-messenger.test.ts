/** The messenger of a bus that opens while the brokers are away: what works before they respond, and what heals. */
import { BusError } from '../../../src/base/errors';
import { openNotices } from '../../../src/base/notices';
import { buildBus } from '../../../src/bus/bus';
import { broadcast, defineModule, request, unchecked } from '../../../src/contract/contract';
import { openOrDefer } from '../../../src/kafka/messenger/deferred-messenger';
import { memoryWorld, virtualClock } from '../../../src/memory';
import type { Messenger } from '../../../src/ports/messenger';
import { memoryBusParts } from '../../../src/testing/parts';

const shop = defineModule('shop', {
  buy: request(unchecked<number>(), unchecked<number>()),
  shut: broadcast(unchecked<number>()),
});
const away = new BusError('Unreachable', 'no broker', { outcome: 'not-sent', waitedMs: 1, cause: 'ECONNREFUSED' });
const refusal = new BusError('Config', 'the inbox differs', { faults: [] }, undefined, 'Repair it.');

function scene() {
  const clock = virtualClock();
  const world = memoryWorld({ clock });
  const state = {
    /** Error of the next attempts, undefined while the brokers respond. */
    error: away as BusError | undefined,
    attemptMs: 10_000,
    hasResponded: false,
    attempts: 0,
    closed: 0,
  };

  function begin(name: string) {
    const process = world.process(name);
    const notices = openNotices();
    const { registry, messenger } = process;
    const parts = { clock: process.clock, notices, registry, hasResponded: () => state.hasResponded };
    async function open(signal: AbortSignal): Promise<Messenger> {
      state.attempts++;
      const { error, attemptMs } = state;
      await new Promise<void>((resolve) => {
        clock.after(attemptMs, resolve);
        signal.addEventListener('abort', () => resolve());
      });
      if (error) throw error;
      return { ...messenger, close: () => messenger.close().then(() => void state.closed++) };
    }
    return { process, notices, opening: openOrDefer({ ...parts, open }) };
  }
  /** Opens a bus on the messenger, after at most `withinMs`. */
  async function bus(name: string, withinMs = 2_000) {
    const { process, notices, opening } = begin(name);
    await clock.advance(withinMs);
    const { messenger, registry, idle } = await opening;
    const parts = memoryBusParts({ ...process, messenger, registry });
    const built = buildBus({ ...parts, notices, reached: 'broker' });
    await clock.advance(0);
    await built.opened;
    return { ...built.bus, process, idle };
  }
  /** Settles a call within `ms`. */
  async function settled<T>(call: Promise<T>, ms = 0): Promise<T | BusError> {
    const result = call.catch((error: unknown) => error as BusError);
    await clock.advance(ms);
    return result;
  }
  return { clock, world, state, begin, bus, settled };
}

describe('opening', () => {
  test('resolves when the messenger is open', async () => {
    const { clock, state, begin } = scene();
    Object.assign(state, { error: undefined, attemptMs: 500 });
    const { opening, process } = begin('web#1');
    await clock.advance(500);
    const { messenger, registry } = await opening;
    expect([messenger.address, registry]).toEqual([process.messenger.address, process.registry]);
  });

  test('waits for brokers that respond slowly', async () => {
    const { clock, state, begin } = scene();
    Object.assign(state, { error: undefined, attemptMs: 5_000, hasResponded: true });
    const { opening, process } = begin('web#1');
    await clock.advance(5_000);
    expect((await opening).messenger.address).toBe(process.messenger.address);
  });

  test('resolves after 2 s without brokers, or when the attempt has failed', async () => {
    const { clock, state, begin } = scene();
    const { opening } = begin('web#1');
    await clock.advance(2_000);
    expect((await opening).messenger.address).toBe('');
    Object.assign(state, { attemptMs: 3_000, hasResponded: true });
    const second = begin('web#2');
    await clock.advance(3_000);
    expect((await second.opening).messenger.address).toBe('');
  });

  test('rejects with an error of the brokers', async () => {
    const { state, settled, begin } = scene();
    state.error = refusal;
    state.attemptMs = 100;
    expect(await settled(begin('web#1').opening, 100)).toBe(state.error);
  });
});

describe('a bus whose brokers are away since the start', () => {
  test('rejects requests and broadcasts with Unreachable, and reports the reason in health', async () => {
    const { clock, bus, settled } = scene();
    const web = await bus('web#1');
    const unreachable = { code: 'Unreachable', details: { outcome: 'not-sent' } };
    expect(await settled(web.request(shop.buy, 1))).toMatchObject(unreachable);
    expect(await settled(web.requestAll(shop.buy, 1))).toMatchObject(unreachable);
    expect(await settled(web.broadcast(shop.shut, 1), 10_000)).toMatchObject(unreachable);
    expect(web.health()).toMatchObject({ live: true, ready: false, reasons: [{ part: 'messenger' }] });
    await clock.advance(20_000);
    expect(web.health().reasons[0]?.reason).toContain('away since the start: no broker');
  });

  test('is announced and answers when they respond, and is ready', async () => {
    const { clock, state, bus, settled } = scene();
    const server = await bus('shop#1');
    const heard: number[] = [];
    const serving = server.serve(shop, { buy: (n) => n + 1, shut: (n) => void heard.push(n) });
    state.error = undefined;
    state.attemptMs = 100;
    const web = await bus('web#1');
    expect(await settled(web.request(shop.buy, 1))).toMatchObject({ code: 'NoHandler' });
    await clock.advance(9_000); // the attempt of the server ends
    await settled(serving);
    expect(server.health()).toEqual({ live: true, ready: true, reasons: [] });
    expect(await settled(web.request(shop.buy, 1))).toBe(2);
    expect(await settled(server.request(shop.buy, 2))).toBe(3);
    await settled(web.broadcast(shop.shut, 4));
    expect(heard).toEqual([4]);
  });

  test('reports a refusal of the brokers, and tries again', async () => {
    const { clock, state, bus } = scene();
    const web = await bus('web#1');
    state.error = refusal;
    await clock.advance(20_000);
    expect(web.health().reasons[0]?.reason).toContain('the inbox differs');
    state.error = undefined;
    await clock.advance(30_000);
    expect(web.health()).toMatchObject({ ready: true });
  });

  test('announces again until the registry accepts it', async () => {
    const { clock, world, state, bus } = scene();
    const web = await bus('web#1');
    state.error = undefined;
    const conflict = new BusError('Conflict', 'the name is in use', { key: 'web#1' });
    world.faults = ({ call }) => (call === 'announce' ? { error: conflict, done: false } : undefined);
    await clock.advance(20_000);
    expect(web.health().reasons[0]?.reason).toContain('the name is in use');
    world.faults = undefined;
    await clock.advance(2_000);
    expect(web.health()).toMatchObject({ ready: true });
    expect(await settledNames(web.process.registry.all(), clock)).toEqual(['web#1']);
  });

  test('ends its attempt when it is closed, and closes a messenger that opens all the same', async () => {
    const { clock, state, bus } = scene();
    state.error = undefined;
    const web = await bus('web#1');
    const closing = web.close();
    await clock.advance(1_000);
    await closing;
    await web.idle();
    expect(state).toMatchObject({ attempts: 1, closed: 1 });
    await clock.advance(60_000);
    expect(state.attempts).toBe(1);
  });
});

async function settledNames(
  all: Promise<readonly { readonly name: string }[]>,
  clock: ReturnType<typeof virtualClock>,
) {
  await clock.advance(0);
  return (await all).map(({ name }) => name);
}
