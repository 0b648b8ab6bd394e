/** Behavior that only the Kafka messenger has: shared partitions, departures, the broker clock, and failures. */
import { BusError, isBusError } from '../../src/base/errors';
import { memoryWorld, type MemoryProcess } from '../../src/memory/world';
import { virtualClock } from '../../src/memory/clock';
import type { Transport } from '../../src/kafka/messenger/transport';
import type { Tail } from '../../src/ports/log';
import type { Instance } from '../../src/ports/registry';
import { waitIn } from '../support/memory-ports';
import { memoryTransport, openOn, type MessengerProcess } from '../support/kafka-messenger';

const nothing = new Uint8Array(0);

interface Ear extends MessengerProcess {
  readonly process: MemoryProcess;
  readonly lines: string[];
  readonly gone: string[];
}

function system() {
  const clock = virtualClock();
  const world = memoryWorld({ clock });
  const wait = waitIn(clock);
  async function open(
    name: string,
    more: { transport?: (own: Transport) => Transport; inboxPartitions?: number; aheadMs?: () => number } = {},
  ): Promise<Ear> {
    const process = world.process(name);
    const { transport = (own: Transport) => own, inboxPartitions = 1, aheadMs = () => 0 } = more;
    const now = (): number => process.clock.now() + aheadMs();
    const opened = await openOn(
      { ...process, clock: { ...process.clock, now } },
      { transport: transport(memoryTransport(process.log)), inboxPartitions },
    );
    const [lines, gone]: [string[], string[]] = [[], []];
    opened.messenger.receive({
      packet: ({ line }) => void lines.push(line),
      left: (address) => void gone.push(address),
    });
    return { ...opened, process, lines, gone };
  }
  return { clock, wait, open };
}
function announced({ messenger }: Ear, name: string, serves: readonly string[]): Instance {
  return {
    name,
    module: 'photos',
    address: messenger.address,
    incarnation: name,
    host: 'here',
    pid: 1,
    sinceMs: 0,
    version: '',
    serves: Object.fromEntries(serves.map((contract) => [contract, 'f'])),
    leaving: false,
  };
}

function answerAll({ messenger, lines, gone }: Ear): void {
  messenger.receive({
    packet({ line }, from) {
      lines.push(line);
      messenger.send(from, { line: `answer to ${line}`, body: nothing });
    },
    left: (address) => void gone.push(address),
  });
}

test('instances that share a partition receive only their own packets', async () => {
  const { wait, open } = system();
  const [a, b, c] = [await open('a'), await open('b'), await open('c')];
  a.messenger.send(b.messenger.address, { line: 'for b', body: nothing });
  a.messenger.send(c.messenger.address, { line: 'for c', body: nothing });
  await wait(() => b.lines.length + c.lines.length === 2, 1_000, 'both arrive');
  expect([a.lines, b.lines, c.lines]).toEqual([[], ['for b'], ['for c']]);
});

test('an instance receives no packet for the dead previous owner of its partition', async () => {
  const { wait, open } = system();
  const [a, b] = [await open('a'), await open('b')];
  const before = b.messenger.address;
  b.process.crash();
  const heir = await open('b again');
  a.messenger.send(before, { line: 'for the one before', body: nothing });
  a.messenger.send(heir.messenger.address, { line: 'for the heir', body: nothing });
  await wait(() => heir.lines.length > 0, 1_000, 'it arrives');
  expect(heir.lines).toEqual(['for the heir']);
});

test('a departure is reported only after the packets that the dead instance had sent', async () => {
  const { wait, open } = system();
  let hold: (() => void) | undefined;
  const held = new Promise<void>((resolve) => (hold = resolve));
  let holding = false;
  // The inbox is read with a delay: the reply is in the log, and its sender is dead.
  const slow = (own: Transport): Transport => ({
    ...own,
    async tail(topic, partition, via) {
      const tail = await own.tail(topic, partition, via);
      return {
        ...tail,
        async read(max) {
          const records = await tail.read(max);
          if (holding) await held;
          return records;
        },
      };
    },
  });
  const [a, b] = [await open('a', { transport: slow }), await open('b')];
  const order: string[] = [];
  a.messenger.receive({ packet: ({ line }) => void order.push(line), left: () => void order.push('gone') });
  await b.registry.announce(announced(b, 'b', ['photos']));
  await a.registry.watch('photos', () => undefined);
  a.messenger.send(b.messenger.address, { line: 'ask', body: nothing });
  await wait(() => b.lines.length === 1, 1_000, 'it is asked');
  holding = true;
  b.messenger.send(a.messenger.address, { line: 'answer', body: nothing });
  await wait(async () => (await b.process.log.bounds('test.inbox'))[0]?.end !== 0, 1_000, 'the answer is in the log');
  b.process.crash();
  for (let turns = 0; turns < 50; turns++) await new Promise((resolve) => setImmediate(resolve));
  expect(order).toEqual([]);
  hold?.();
  await wait(() => order.length === 2, 5_000, 'both are told');
  expect(order).toEqual(['answer', 'gone']);
});

test('an instance that stops serving a watched contract is not reported as gone', async () => {
  const { wait, open } = system();
  const [a, b] = [await open('a'), await open('b')];
  await b.registry.announce(announced(b, 'b', ['photos', 'busbar']));
  let seen = 0;
  await a.registry.watch('photos', (instances) => void (seen = instances.length));
  a.messenger.send(b.messenger.address, { line: 'one', body: nothing });
  await b.registry.announce(announced(b, 'b', ['busbar']));
  await wait(() => seen === 0, 1_000, 'it is seen to be gone from there');
  a.messenger.send(b.messenger.address, { line: 'two', body: nothing });
  await wait(() => b.lines.length === 2, 1_000, 'it is still reached');
  expect(a.gone).toEqual([]);
});

/** Loses the answers to liveness probes, as a process that stands still does. */
const dumb = (own: Transport): Transport => ({
  ...own,
  append: (topic, partition, record, withinMs) =>
    record.headers['post'] === 'here' ? Promise.resolve() : own.append(topic, partition, record, withinMs),
});

test('an instance that lost its announcement is reported as gone only when it dies', async () => {
  const { clock, wait, open } = system();
  const [a, b] = [await open('a'), await open('b')];
  answerAll(b);
  await b.registry.announce(announced(b, 'b', ['photos']));
  let seen = 0;
  await a.registry.watch('photos', (instances) => void (seen = instances.length));
  a.messenger.send(b.messenger.address, { line: 'one', body: nothing });
  await b.registry.withdraw();
  await wait(() => seen === 0, 5_000, 'it is seen to be gone from there');
  await clock.advance(60_000);
  expect(a.gone).toEqual([]);
  a.messenger.send(b.messenger.address, { line: 'two', body: nothing });
  await wait(() => a.lines.length === 2, 1_000, 'it is answered');
  b.process.crash();
  await wait(() => a.gone.length === 1, 5_000, 'its end is told');
});

test('the deadline of a liveness probe begins when a broker has accepted the probe', async () => {
  const { clock, wait, open } = system();
  const slow = (own: Transport): Transport => ({
    ...own,
    async append(topic, partition, record, withinMs) {
      if (record.headers['post'] === 'ask') await new Promise<void>((resolve) => clock.after(800, resolve));
      return own.append(topic, partition, record, withinMs);
    },
  });
  const [a, b] = [await open('a', { transport: slow }), await open('b')];
  await b.registry.announce(announced(b, 'b', ['photos']));
  await a.registry.watch('photos', () => undefined);
  a.messenger.send(b.messenger.address, { line: 'one', body: nothing });
  await wait(() => b.lines.length === 1, 1_000, 'it arrives');
  await b.registry.withdraw();
  await clock.advance(60_000);
  expect(a.gone).toEqual([]);
});

/** Delays the result of each read of this inbox until `held` resolves. */
function reading(held: () => Promise<unknown> | undefined): (own: Transport) => Transport {
  return (own) => ({
    ...own,
    async tail(topic, partition, via) {
      const tail = await own.tail(topic, partition, via);
      return {
        ...tail,
        async read(max) {
          const records = await tail.read(max);
          await held();
          return records;
        },
      };
    },
  });
}

test('an instance whose answer waits in a delayed inbox is not reported as gone', async () => {
  const { clock, open } = system();
  let held: Promise<void> | undefined;
  const [a, b] = [await open('a', { transport: reading(() => held) }), await open('b')];
  await b.registry.announce(announced(b, 'b', ['photos']));
  await a.registry.watch('photos', () => undefined);
  a.messenger.send(b.messenger.address, { line: 'one', body: nothing });
  await clock.advance(100);
  for (let round = 0; round < 10; round++) {
    let goOn: (() => void) | undefined;
    held = new Promise((resolve) => (goOn = resolve));
    if (round === 0) await b.registry.withdraw();
    await clock.advance(2_000);
    held = undefined;
    goOn?.();
    await clock.advance(1);
  }
  expect(a.gone).toEqual([]);
});

test('an instance that reads probes slowly is not reported as gone while its packets arrive', async () => {
  const { clock, open } = system();
  let held: Promise<void> | undefined;
  let goOn: (() => void) | undefined;
  const [a, b] = [await open('a'), await open('b', { transport: reading(() => held) })];
  await b.registry.announce(announced(b, 'b', ['photos']));
  await a.registry.watch('photos', () => undefined);
  a.messenger.send(b.messenger.address, { line: 'one', body: nothing });
  await clock.advance(100);
  held = new Promise((resolve) => (goOn = resolve));
  await b.registry.withdraw();
  for (let n = 0; n < 50; n++) {
    b.messenger.send(a.messenger.address, { line: 'a refusal', body: nothing });
    await clock.advance(100);
  }
  expect(a.gone).toEqual([]);
  held = undefined;
  goOn?.();
  await clock.advance(10_000);
  expect(a.gone).toEqual([]);
});

test('an instance answers a liveness probe before it handles packets read with it', async () => {
  const { clock, open } = system();
  let held: Promise<void> | undefined;
  let goOn: (() => void) | undefined;
  let handled = 0;
  const handledBefore: number[] = [];
  const transport = (own: Transport): Transport => ({
    ...reading(() => held)(own),
    append(topic, partition, record, withinMs) {
      if (record.headers['post'] === 'here') handledBefore.push(handled);
      return own.append(topic, partition, record, withinMs);
    },
  });
  const [a, b] = [await open('a'), await open('b', { transport })];
  b.messenger.receive({ packet: () => void handled++, left: () => undefined });
  await b.registry.announce(announced(b, 'b', ['photos']));
  await a.registry.watch('photos', () => undefined);
  a.messenger.send(b.messenger.address, { line: 'first', body: nothing });
  await clock.advance(100);
  held = new Promise((resolve) => (goOn = resolve));
  a.messenger.send(b.messenger.address, { line: 'one that is being read', body: nothing });
  await clock.advance(10);
  const before = handled;
  for (let n = 0; n < 100; n++) a.messenger.send(b.messenger.address, { line: `${n}`, body: nothing });
  await b.registry.withdraw();
  await clock.advance(50);
  held = undefined;
  goOn?.();
  await clock.advance(1_000);
  expect([handled - before, handledBefore[0]]).toEqual([101, before + 1]);
});

test('a departure is reported within 500 ms of its registry change, despite an earlier one', async () => {
  const { clock, open } = system();
  const [a, b, c] = [await open('a'), await open('b'), await open('c')];
  for (const [name, subscription] of Object.entries({ b, c })) {
    await subscription.registry.announce(announced(subscription, name, ['photos']));
    a.messenger.send(subscription.messenger.address, { line: 'one', body: nothing });
  }
  await a.registry.watch('photos', () => undefined);
  await clock.advance(100);
  await b.registry.withdraw();
  b.process.crash();
  await clock.advance(200);
  await c.registry.withdraw();
  c.process.crash();
  await clock.advance(250);
  expect(a.gone).toEqual([b.messenger.address]);
  await clock.advance(250);
  expect(a.gone).toEqual([b.messenger.address, c.messenger.address]);
});

test('an address that was reported as gone accepts packets after it is announced again', async () => {
  const { wait, open } = system();
  const [a, b] = [await open('a'), await open('b', { transport: dumb })];
  await b.registry.announce(announced(b, 'b', ['photos']));
  await a.registry.watch('photos', () => undefined);
  a.messenger.send(b.messenger.address, { line: 'one', body: nothing });
  await wait(() => b.lines.length === 1, 1_000, 'it arrives');
  await b.registry.withdraw();
  await wait(() => a.gone.length === 1, 5_000, 'it is told');
  expect(() => a.messenger.send(b.messenger.address, { line: 'no', body: nothing })).toThrow(
    /no instance has the address/,
  );
  await b.registry.announce(announced(b, 'b', ['photos']));
  const sent = (): boolean => {
    try {
      a.messenger.send(b.messenger.address, { line: 'two', body: nothing });
      return true;
    } catch (error) {
      if (isBusError(error, 'Unreachable')) return false;
      throw error;
    }
  };
  await wait(sent, 5_000, 'it can be sent to');
  await wait(() => b.lines.includes('two'), 1_000, 'it arrives');
});

test('a caller that only lost its announcement is answered as soon as its packet arrives', async () => {
  const { clock, wait, open } = system();
  const [a, b] = [await open('a', { transport: dumb }), await open('b')];
  answerAll(b);
  await a.registry.announce(announced(a, 'a', ['photos']));
  await b.registry.watch('photos', () => undefined);
  a.messenger.send(b.messenger.address, { line: 'one', body: nothing });
  await wait(() => a.lines.length === 1, 1_000, 'it is answered');
  await a.registry.withdraw();
  await wait(() => b.gone.length === 1, 5_000, 'it seems dead');
  expect(() => b.messenger.send(a.messenger.address, { line: 'no', body: nothing })).toThrow(
    /no instance has the address/,
  );
  a.messenger.send(b.messenger.address, { line: 'two', body: nothing });
  await wait(() => a.lines.length === 2, 1_000, 'it is answered again');
  expect(b.heard).toEqual([]);
  await clock.advance(5_000);
  expect(b.gone).toHaveLength(1);
});

test('an unknown caller without an announcement is answered, and reported as gone when it dies', async () => {
  const { clock, wait, open } = system();
  const [a, b] = [await open('a'), await open('b')];
  await a.registry.announce(announced(a, 'a', ['photos']));
  await b.registry.watch('photos', () => undefined);
  await a.registry.withdraw();
  await clock.advance(1_000);
  expect(b.gone).toEqual([]); // they never exchanged a packet
  answerAll(b);
  a.messenger.send(b.messenger.address, { line: 'one', body: nothing });
  await wait(() => a.lines.length === 1, 1_000, 'it is answered');
  expect(a.lines).toEqual(['answer to one']);
  await clock.advance(60_000);
  expect(b.gone).toEqual([]);
  a.process.crash();
  await wait(() => b.gone.length === 1, 5_000, 'its end is told');
});

test.each([
  ['is lost', () => Promise.resolve()],
  ['is rejected', () => Promise.reject(new Error('refused'))],
])('a departure is reported although a loopback packet %s', async (_how, failing) => {
  const { clock, wait, open } = system();
  let fails = false;
  const faulty = (own: Transport): Transport => ({
    ...own,
    append: (topic, partition, record, withinMs) =>
      fails && record.headers['post'] === 'echo' ? failing() : own.append(topic, partition, record, withinMs),
  });
  const [a, b, c] = [await open('a', { transport: faulty }), await open('b'), await open('c')];
  await b.registry.announce(announced(b, 'b', ['photos']));
  await c.registry.announce(announced(c, 'c', ['photos']));
  await a.registry.watch('photos', () => undefined);
  for (const { messenger } of [b, c]) a.messenger.send(messenger.address, { line: 'x', body: nothing });
  fails = true;
  b.process.crash();
  await clock.advance(60_000);
  expect(a.gone).toEqual([]);
  fails = false;
  c.process.crash();
  // A session timeout, and the timeout of a lost loopback packet.
  await wait(() => a.gone.length === 2, 30_000, 'both are told');
});

test('the broker clock estimates the skew from a loopback packet at opening', async () => {
  const { open } = system();
  const ahead = (own: Transport): Transport => ({
    ...own,
    async tail(topic, partition, via) {
      const tail = await own.tail(topic, partition, via);
      const later = (records: Awaited<ReturnType<typeof tail.read>>) =>
        records.map((record) => ({ ...record, timeMs: record.timeMs + 3_600_000 }));
      return { ...tail, read: async (max) => later(await tail.read(max)) };
    },
  });
  expect((await open('a', { transport: ahead })).messenger.skewMs).toBe(3_600_000);
  expect((await open('b')).messenger.skewMs).toBe(0);
});

test('the skew follows a changed local clock immediately, so that deadlines hold', async () => {
  const { clock, open } = system();
  let aheadMs = 0;
  const a = await open('a', { aheadMs: () => aheadMs });
  expect(a.messenger.skewMs).toBe(0);
  aheadMs = 30_000;
  expect(a.messenger.skewMs).toBe(-30_000);
  aheadMs = -30_000;
  expect(a.messenger.skewMs).toBe(30_000);
  await clock.advance(2_000);
  a.messenger.send(a.messenger.address, { line: 'it measures again', body: nothing });
  await clock.advance(100);
  expect(a.messenger.skewMs).toBe(30_000);
});

test('the first packet after a suspension corrects the skew', async () => {
  const { clock, open } = system();
  let sleptMs = 0;
  // The monotonic clock of the machine stood still; the clock of the brokers did not.
  const brokers = (own: Transport): Transport => ({
    ...own,
    async tail(topic, partition, via) {
      const tail = await own.tail(topic, partition, via);
      const later = (records: Awaited<ReturnType<typeof tail.read>>) =>
        records.map((record) => ({ ...record, timeMs: record.timeMs + sleptMs }));
      return { ...tail, read: async (max) => later(await tail.read(max)) };
    },
  });
  const a = await open('a', { transport: brokers, aheadMs: () => sleptMs });
  await clock.advance(2_000);
  sleptMs = 3_600_000;
  a.messenger.send(a.messenger.address, { line: 'one', body: nothing });
  await clock.advance(100);
  expect(Math.abs(a.messenger.skewMs ?? NaN)).toBeLessThan(10);
});

test('reports why packets are delayed: no broker accepts them, or the inbox has no leader', async () => {
  const { clock, open } = system();
  let stuck = false;
  let led = true;
  const troubled = (own: Transport): Transport => ({
    ...own,
    append: (...given) => (stuck ? new Promise(() => {}) : own.append(...given)),
    isLed: () => led,
  });
  const [a, b] = [await open('a', { transport: troubled }), await open('b')];
  a.messenger.send(b.messenger.address, { line: 'one', body: nothing });
  await clock.advance(200);
  expect(a.messenger.whyDelayed?.(b.messenger.address)).toBeUndefined();
  stuck = true;
  a.messenger.send(b.messenger.address, { line: 'two', body: nothing });
  expect(a.messenger.whyDelayed?.(b.messenger.address)).toBeUndefined();
  await clock.advance(200);
  expect(a.messenger.whyDelayed?.(b.messenger.address)).toContain('no broker acknowledged the packet for partition 0');
  [stuck, led] = [false, false];
  const other = await open('c', { transport: troubled });
  other.messenger.send(b.messenger.address, { line: 'three', body: nothing });
  expect(other.messenger.whyDelayed?.(b.messenger.address)).toContain('where answers arrive');
});

test('rejects packets with Overloaded when 62 MB wait for a stuck partition', async () => {
  const { open } = system();
  let stuck = false;
  const troubled = (own: Transport): Transport => ({
    ...own,
    append: (...given) => (stuck ? new Promise(() => {}) : own.append(...given)),
  });
  const [a, b] = [await open('a', { transport: troubled }), await open('b')];
  stuck = true;
  const body = new Uint8Array(1_000_000);
  let taken = 0;
  const fill = (): void => {
    for (; taken < 1_000; taken++) a.messenger.send(b.messenger.address, { line: 'x', body });
  };
  expect(fill).toThrow(expect.objectContaining({ code: 'Overloaded' }));
  expect(taken).toBe(62); // 4 MiB less than the producer's limit of 64 MiB
});

test('stuck partitions leave room for packets of other partitions', async () => {
  const { clock, open } = system();
  const stuck = new Set<number>();
  const troubled = (own: Transport): Transport => ({
    ...own,
    append: (topic, partition, record, withinMs) =>
      stuck.has(partition) ? new Promise(() => {}) : own.append(topic, partition, record, withinMs),
  });
  const a = await open('a', { transport: troubled, inboxPartitions: 4 });
  const mine = Number(a.messenger.address.split(':')[0]);
  const others = [0, 1, 2, 3].filter((partition) => partition !== mine);
  for (const partition of others) stuck.add(partition);
  const body = new Uint8Array(1_000_000);
  const overloaded = expect.objectContaining({ code: 'Overloaded' });
  for (const partition of others) {
    const fill = (): void => a.messenger.send(`${partition}:0123456789abcdef`, { line: 'x', body });
    fill();
    await clock.advance(200);
    for (let n = 0; n < 14; n++) fill();
    expect(fill).toThrow(overloaded);
  }
  for (let n = 0; n < 10; n++) a.messenger.send(a.messenger.address, { line: `${n}`, body });
  await clock.advance(100);
  expect(a.lines).toHaveLength(10);
});

test('a messenger opens in an inbox partition that has a leader', async () => {
  const { open } = system();
  const led = (own: Transport): Transport => ({
    ...own,
    isLed: (_topic, partition) => partition === 5,
    append: (topic, partition, record, withinMs) =>
      partition === 5 ? own.append(topic, partition, record, withinMs) : new Promise(() => {}),
  });
  for (const name of ['a', 'b', 'c', 'd'])
    expect((await open(name, { transport: led, inboxPartitions: 8 })).messenger.address).toMatch(/^5:/);
});

test('opening rejects with Unreachable when no packet returns', async () => {
  const { clock, open } = system();
  const deaf = (own: Transport): Transport => ({ ...own, append: () => new Promise(() => {}) });
  const opening = open('a', { transport: deaf }).catch((error: unknown) => error);
  await clock.advance(20_000);
  expect(await opening).toMatchObject({ code: 'Unreachable' });
});

test('an unreadable inbox is reported in one state notice, and its recovery in another', async () => {
  const { clock, wait, open } = system();
  let refuses = false;
  const transport = (own: Transport): Transport => ({
    ...own,
    async tail(...args) {
      const tail = await own.tail(...args);
      const read: Tail['read'] = async (max) => {
        if (refuses) throw new BusError('NotAllowed', 'no right to read', { what: 'reading' });
        return tail.read(max);
      };
      return { ...tail, read };
    },
  });
  const [a, b] = [await open('a', { transport }), await open('b')];
  refuses = true;
  b.messenger.send(a.messenger.address, { line: 'first', body: nothing });
  await clock.advance(30_000);
  const states = () =>
    a.heard.flatMap((notice) => (notice.type === 'state' ? [`${notice.part} ${notice.ok ? 'works' : 'fails'}`] : []));
  expect(states()).toEqual(['tail of test.inbox fails']);
  refuses = false;
  b.messenger.send(a.messenger.address, { line: 'second', body: nothing });
  await wait(() => a.lines.includes('second'), 5_000, 'it is read again');
  expect(states()).toEqual(['tail of test.inbox fails', 'tail of test.inbox works']);
  await Promise.all([a.messenger.close(), b.messenger.close()]);
});
