/** Requests on Kafka with suspended machines, changed clocks and slow brokers: none starts after its deadline. */
import { buildBus } from '../../../src/bus/bus';
import { defineModule, request, unchecked } from '../../../src/contract/contract';
import type { Transport } from '../../../src/kafka/messenger/transport';
import { memoryWorld, virtualClock } from '../../../src/memory';
import { memoryBusParts } from '../../../src/testing/parts';
import { memoryTransport, openOn } from '../../support/kafka-messenger';

const shop = defineModule('shop', { buy: request(unchecked<number>(), unchecked<number>()) });

/** Offsets of the clocks of one machine. */
class Machine {
  /** Offset of its wall clock. `lostMs` is the time for which its monotonic clock stood still. */
  setMs = 0;
  lostMs = 0;
  #asleep: Promise<void> | undefined;
  #wake = (): void => undefined;
  /** Stops its reads until `wake`. */
  sleep(): void {
    this.#asleep = new Promise((resolve) => (this.#wake = resolve));
  }
  wake(): void {
    this.#asleep = undefined;
    this.#wake();
  }
  transport = (own: Transport): Transport => ({
    ...own,
    tail: async (topic, partition, via) => {
      const tail = await own.tail(topic, partition, via);
      const read: typeof tail.read = async (max) => {
        const records = await tail.read(max);
        if (!this.#asleep) return records;
        await this.#asleep;
        return [...records, ...(await tail.read(max))];
      };
      return { ...tail, read };
    },
  });
}

function system() {
  const clock = virtualClock();
  const world = memoryWorld({ clock, delays: { minMs: 1, maxMs: 1 } });
  async function join(module: string, machine = new Machine(), change = machine.transport) {
    const process = world.process(`${module}#1`);
    const own = {
      ...process.clock,
      now: () => process.clock.now() + machine.setMs,
      mono: () => process.clock.mono() - machine.lostMs,
    };
    const transport = change(memoryTransport(process.log));
    const opening = openOn({ ...process, clock: own }, { transport, inboxPartitions: 1 });
    await clock.runUntil(() => false, 10_000);
    const { messenger, registry } = await opening;
    const parts = memoryBusParts({ ...process, clock: own, messenger, registry });
    const built = buildBus({ ...parts, reached: 'broker' });
    await clock.advance(100);
    await built.opened;
    return built.bus;
  }
  /** Opens a shop on `machine` and a caller. `started` collects the requests that the shop has started. */
  async function scene(machine: Machine, change?: (own: Transport) => Transport) {
    const seller = await join('shop', machine, change);
    const buyer = await join('web');
    const started: number[] = [];
    const serving = seller.serve(shop, { buy: (n) => started.push(n) && n });
    await clock.advance(100);
    await serving;
    async function buy(n: number, timeoutMs: number, withinMs = timeoutMs) {
      const asked = buyer.tryRequest(shop.buy, n, { timeoutMs });
      await clock.advance(withinMs);
      return asked;
    }
    return { started, buy, buyer };
  }
  return { clock, join, scene };
}
const ok = (value: number) => ({ ok: true, value });
const timeout = { ok: false, error: { code: 'Timeout' } };

test.each([
  ['was suspended', 0],
  ['stood still with all its clocks', -60_000],
])('a request received while the machine %s is started only before its deadline', async (_how, setMs) => {
  const { clock, scene } = system();
  const machine = new Machine();
  const { started, buy, buyer } = await scene(machine);
  expect(await buy(1, 3_000)).toEqual(ok(1));
  machine.sleep();
  expect(await buy(2, 3_000, 59_000)).toMatchObject(timeout);
  const asked = buyer.tryRequest(shop.buy, 3, { timeoutMs: 3_000 });
  await clock.advance(1_000);
  [machine.lostMs, machine.setMs] = [60_000, setMs];
  machine.wake();
  await clock.advance(1_900);
  expect(await asked).toEqual(ok(3));
  expect(started).toEqual([1, 3]);
});

test.each([30_000, -30_000])('requests are answered after a clock change of %d ms', async (setMs) => {
  const { scene } = system();
  const machine = new Machine();
  const { started, buy } = await scene(machine);
  expect(await buy(1, 3_000, 100)).toEqual(ok(1));
  machine.setMs = setMs;
  expect(await buy(2, 3_000, 2_000)).toEqual(ok(2)); // after at most one probe
  machine.setMs = 0;
  expect(await buy(3, 3_000, 2_000)).toEqual(ok(3));
  expect(started).toEqual([1, 2, 3]);
});

test('a skew measured on slow brokers is measured again when they are fast', async () => {
  const { clock, scene } = system();
  let slow = true;
  const slowly = (own: Transport): Transport => ({
    ...own,
    async append(topic, partition, record, ...more) {
      if (slow) await new Promise<void>((resolve) => clock.after(3_000, resolve));
      return own.append(topic, partition, record, ...more);
    },
  });
  void clock.runUntil(() => false, 9_500).then(() => (slow = false));
  const { started, buy } = await scene(new Machine(), slowly);
  for (const n of [1, 2, 3]) {
    await clock.advance(2_000);
    expect(await buy(n, 1_000)).toEqual(ok(n));
  }
  expect(started).toEqual([1, 2, 3]);
});

test('a request states its remaining time by the clock at the time of sending', async () => {
  const { clock, join } = system();
  const machine = new Machine();
  const [seller, buyer] = [await join('shop'), await join('web', machine)];
  const asked = buyer.tryRequest(shop.buy, 1, { timeoutMs: 10_000, waitForInstanceMs: 10_000 });
  await clock.advance(1_000);
  machine.setMs = -600_000;
  void buyer.tryRequest(shop.buy, 0, { to: 'nobody' }); // sending makes the caller measure its skew
  await clock.advance(4_000);
  const left: number[] = [];
  const serving = seller.serve(shop, { buy: (n, { deadline }) => left.push(deadline - clock.now()) && n });
  await clock.advance(100);
  await serving;
  expect(await asked).toEqual(ok(1));
  expect(left[0]).toBeGreaterThan(4_900);
  expect(left[0]).toBeLessThanOrEqual(5_000);
});

test('a lost request is answered after a probe although its caller set the clock back', async () => {
  const { clock, join } = system();
  const machine = new Machine();
  let loses = false;
  const lossy = (own: Transport): Transport => ({
    ...own,
    append: (...given) => (loses ? Promise.resolve() : own.append(...given)),
  });
  const [seller, buyer] = [await join('shop'), await join('web', machine, lossy)];
  const serving = seller.serve(shop, { buy: (n) => n });
  await clock.advance(100);
  await serving;
  const first = buyer.tryRequest(shop.buy, 1);
  await clock.advance(100);
  expect(await first).toEqual(ok(1));
  loses = true;
  const asked = buyer.tryRequest(shop.buy, 2);
  await clock.advance(100);
  [loses, machine.setMs] = [false, -600_000];
  await clock.advance(2_000);
  expect(await asked).toEqual(ok(2));
});
