import { AsyncLocalStorage } from 'node:async_hooks';
import { sleep } from '../../src/base/clock';
import { BusError, isBusError } from '../../src/base/errors';
import { promisesRunOut, seededRandom, virtualClock } from '../../src/memory/clock';
import type { Fault, Operation } from '../../src/memory/faults';
import { memoryWorld, type MemoryProcess, type MemoryWorld } from '../../src/memory/world';
import { PartitionLostError, type OwnedPartition } from '../../src/ports/log';
import { bytes, instanceOf, rejection, text } from '../support/conformance';
import { Ledger, Worker } from '../conformance/worker';
import { heavy } from '../heavy';

const max = { messages: 100, bytes: 1_000_000 };
const record = (value: string) => ({ partition: 0, key: null, value: bytes(value), headers: {} });

/** Applies the fault to the first such call. */
function once(world: MemoryWorld, call: string, fault: Fault): void {
  let left = 1;
  world.faults = (operation) => (`${operation.port}.${operation.call}` === call && left-- > 0 ? fault : undefined);
}
async function openLog(partitions = 1) {
  const clock = virtualClock();
  const world = memoryWorld({ clock });
  const one = world.process('a');
  await one.log.ensure({ name: 't', partitions, compacted: false, keepMs: null });
  const values = async (): Promise<(string | null)[]> => {
    const found = await world.process('reader').log.peek('t', { partition: 0, offset: 0 }, max);
    return found.map(({ value }) => text(value));
  };
  return { clock, world, one, log: one.log, values };
}
async function hears(promise: Promise<unknown>): Promise<boolean> {
  let heard = false;
  const hear = (): void => void (heard = true);
  void promise.then(hear, hear);
  await promisesRunOut();
  return heard;
}

describe('a scripted fault of the log', () => {
  it('drops a call, which has no effect and rejects with Unreachable', async () => {
    const { world, log, values } = await openLog();
    once(world, 'log.append', 'drop');
    expect(isBusError(await rejection(log.append('t', [record('a')])), 'Unreachable')).toBe(true);
    expect(await values()).toEqual([]);
  });

  it('loses the acknowledgment of a call that had an effect', async () => {
    const { world, log, values } = await openLog();
    once(world, 'log.append', {
      error: new BusError('Unreachable', 'no answer', { outcome: 'not-sent', waitedMs: 5 }),
      done: true,
    });
    expect(isBusError(await rejection(log.append('t', [record('a')])), 'Unreachable')).toBe(true);
    expect(await values()).toEqual(['a']);
  });

  it('fails a call without effect, with the given error', async () => {
    const { world, log, values } = await openLog();
    const error = new BusError('Overloaded', 'enough', { retryAfterMs: 5 });
    once(world, 'log.append', { error, done: false });
    expect(await rejection(log.append('t', [record('a')]))).toBe(error);
    expect(await values()).toEqual([]);
  });

  it('repeats a call, as a resend does', async () => {
    const { world, log, values } = await openLog();
    once(world, 'log.append', 'double');
    expect(await log.append('t', [record('a')])).toEqual([{ partition: 0, offset: 0 }]);
    expect(await values()).toEqual(['a', 'a']);
  });

  it('crashes the process before or after a call takes effect, and the call never settles', async () => {
    const { world, values } = await openLog();
    for (const fault of ['crash-before', 'crash-after'] as const) {
      const victim = world.process('victim');
      once(world, 'log.append', fault);
      expect(await hears(victim.log.append('t', [record(fault)]))).toBe(false);
      expect(victim.state).toBe('crashed');
      expect(await hears(victim.log.append('t', [record('from the grave')]))).toBe(false);
    }
    expect(await values()).toEqual(['crash-after']);
  });

  it('delays a call, and the calls behind it', async () => {
    const { clock, world, log, values } = await openLog();
    once(world, 'log.append', { delayMs: 100 });
    const appends = Promise.all([log.append('t', [record('a')]), log.append('t', [record('b')])]);
    await clock.advance(99);
    expect(await values()).toEqual([]);
    await clock.advance(1);
    await appends;
    expect(await values()).toEqual(['a', 'b']);
  });

  it('ends the session of a live process, which loses its partitions and rejoins', async () => {
    const { world, log } = await openLog(2);
    const worker = new Worker('a', new Ledger());
    await log.join('g', 't', worker);
    await promisesRunOut();
    const [first] = worker.ever;
    once(world, 'log.commit', 'disconnect');
    expect(isBusError(await rejection(first!.commit({ offset: 1, state: bytes('') })), 'Unreachable')).toBe(true);
    await promisesRunOut();
    expect(first!.lost.aborted).toBe(true);
    expect(await rejection(first!.commit({ offset: 1, state: bytes('') }))).toBeInstanceOf(PartitionLostError);
    expect([worker.ever.length, worker.jobs.size]).toEqual([4, 2]);
    expect(worker.ledger.faults).toEqual([]);
  });

  it('leaves no member whose join took effect but failed', async () => {
    const { world, log } = await openLog(2);
    const [a, b] = [new Worker('a', new Ledger()), new Worker('b', new Ledger())];
    once(world, 'log.join', {
      error: new BusError('Unreachable', 'no answer', { outcome: 'not-sent', waitedMs: 5 }),
      done: true,
    });
    expect(isBusError(await rejection(log.join('g', 't', a)), 'Unreachable')).toBe(true);
    await log.join('g', 't', b);
    await promisesRunOut();
    expect([a.jobs.size, b.jobs.size]).toEqual([0, 2]);
  });

  it('leaves no partition without an owner when a release is lost', async () => {
    const { world, log } = await openLog(2);
    const ledger = new Ledger();
    const [a, b] = [new Worker('a', ledger), new Worker('b', ledger)];
    await log.join('g', 't', a);
    once(world, 'log.release', 'drop');
    await world.process('b').log.join('g', 't', b);
    await promisesRunOut();
    expect([a.jobs.size, b.jobs.size, ledger.faults]).toEqual([1, 1, []]);
  });

  it('moves every partition on rebalance', async () => {
    const { world, log } = await openLog(4);
    const ledger = new Ledger();
    await log.join('g', 't', new Worker('a', ledger));
    await world.process('b').log.join('g', 't', new Worker('b', ledger));
    await promisesRunOut();
    const before = new Map(ledger.owners);
    world.rebalance('g', 't');
    await promisesRunOut();
    const others = [...before].map(([partition, owner]) => [partition, owner === 'a' ? 'b' : 'a'] as const);
    expect(ledger.owners).toEqual(new Map(others));
    expect(ledger.faults).toEqual([]);
  });

  it('is called with the process, the call, its topic and its number', async () => {
    const { world, one } = await openLog();
    const asked: Operation[] = [];
    world.faults = (operation) => void asked.push(operation);
    await one.log.append('t', [record('a')]);
    await one.log.append('t', [record('b')]);
    await one.settings.get('k');
    expect(asked).toEqual([
      { process: 'a', port: 'log', call: 'append', topic: 't', n: 1 },
      { process: 'a', port: 'log', call: 'append', topic: 't', n: 2 },
      { process: 'a', port: 'settings', call: 'get', topic: 'k', n: 1 },
    ]);
  });
});

describe('a scripted fault of the messenger', () => {
  function pair() {
    const clock = virtualClock();
    const world = memoryWorld({ clock });
    const [a, b] = [world.process('a'), world.process('b')];
    const heard: string[] = [];
    const told: string[] = [];
    b.messenger.receive({ packet: ({ line }) => heard.push(line), left: () => heard.push('gone') });
    a.messenger.receive({ packet: () => undefined, left: (address) => told.push(address) });
    const send = (line: string): void => a.messenger.send(b.messenger.address, { line, body: bytes('') });
    return { clock, world, a, b, heard, told, send };
  }

  it('drops, repeats and delays packets, and keeps the order of the others', async () => {
    const { clock, world, heard, send } = pair();
    const faults: Record<string, Fault> = { 2: 'drop', 3: 'double', 4: { delayMs: 50 } };
    world.faults = ({ n }) => faults[n];
    for (let n = 1; n <= 5; n++) send(`${n}`);
    await clock.advance(49);
    expect(heard).toEqual(['1', '3', '3']);
    await clock.advance(1);
    expect(heard).toEqual(['1', '3', '3', '4', '5']);
  });

  it('disconnects two live processes: the sender gets gone, and only later packets arrive', async () => {
    const { clock, world, b, heard, told, send } = pair();
    once(world, 'messenger.send', 'disconnect');
    send('lost');
    await clock.advance(0);
    expect([heard, told]).toEqual([[], [b.messenger.address]]);
    send('again');
    await clock.advance(0);
    expect(heard).toEqual(['again']);
  });

  it('crashes the sender before or after the packet is sent', async () => {
    for (const [fault, expected] of [
      ['crash-before', []],
      ['crash-after', ['x', 'gone']],
    ] as const) {
      const { clock, world, heard, send } = pair();
      once(world, 'messenger.send', fault);
      send('x');
      await clock.advance(0);
      expect(heard).toEqual(expected);
    }
  });

  it('throws Overloaded for more packets than can wait for one receiver', async () => {
    const clock = virtualClock();
    const world = memoryWorld({ clock, packetsMax: 10 });
    const [a, b] = [world.process('a').messenger, world.process('b').messenger];
    let heard = 0;
    b.receive({ packet: () => heard++, left: () => undefined });
    const sendAll = (): void => {
      for (let n = 0; n < 11; n++) a.send(b.address, { line: '', body: bytes('') });
    };
    expect(sendAll).toThrow(expect.objectContaining({ code: 'Overloaded' }));
    await clock.advance(0);
    expect(heard).toBe(10);
    a.send(b.address, { line: '', body: bytes('') });
  });

  it('delivers in the async context of the receiver, not of the sender', async () => {
    const { clock, world, a } = pair();
    const context = new AsyncLocalStorage<string>();
    const c = world.process('c');
    let seen: string | undefined = 'nothing';
    context.run('receiver', () =>
      c.messenger.receive({ packet: () => (seen = context.getStore()), left: () => undefined }),
    );
    context.run('sender', () => a.messenger.send(c.messenger.address, { line: '', body: bytes('') }));
    await clock.advance(0);
    expect(seen).toBe('receiver');
  });
});

describe('a frozen process', () => {
  it('handles no packet or timer until it thaws, and then handles all in order', async () => {
    const clock = virtualClock();
    const world = memoryWorld({ clock });
    const [a, b] = [world.process('a'), world.process('b')];
    const trace: string[] = [];
    a.messenger.receive({ packet: ({ line }) => trace.push(line), left: () => undefined });
    a.clock.after(10, () => trace.push('timer'));
    a.clock.after(20, () => trace.push('taken back while it stood still')).cancel();
    a.freeze();
    b.messenger.send(a.messenger.address, { line: 'first', body: bytes('') });
    await clock.advance(100);
    b.messenger.send(a.messenger.address, { line: 'last', body: bytes('') });
    await clock.advance(100);
    expect(trace).toEqual([]);
    a.thaw();
    expect(trace).toEqual(['first', 'timer', 'last']);
  });

  it('is dropped from the registry after its session, and listed again after it thaws', async () => {
    const clock = virtualClock();
    const world = memoryWorld({ clock, sessionMs: 3_000 });
    const [a, b] = [world.process('a'), world.process('b')];
    await a.registry.announce(instanceOf(a as never, 'photos#a', 'photos'));
    const counts: number[] = [];
    await b.registry.watch('photos', (instances) => counts.push(instances.length));
    a.freeze();
    await clock.advance(2_999);
    a.thaw(); // before its session ends
    a.freeze();
    await clock.advance(3_000);
    expect(counts).toEqual([1, 0]);
    a.thaw();
    await clock.advance(0);
    expect(counts).toEqual([1, 0, 1]);
  });
});

describe('a world with a seed', () => {
  /** Runs workers on a log under delays, crashes and lost calls, and returns every event in order. */
  async function run(seed: number): Promise<string[]> {
    const random = seededRandom(seed);
    const clock = virtualClock();
    const world = memoryWorld({ clock, random, delays: { minMs: 0, maxMs: 10 }, crashNoticedMs: 200 });
    const trace: string[] = [];
    const ledger = new Ledger();
    let processes = 0;
    const start = async (): Promise<void> => {
      const process: MemoryProcess = world.process(`p${processes++}`);
      const worker = new Worker(process.name, ledger);
      clock.after(300 + random.next() * 600, () => {
        worker.die();
        process.crash();
        void start();
      });
      await process.log.join('g', 't', {
        onAssigned(owned: OwnedPartition) {
          trace.push(`${clock.mono()} ${process.name} takes ${owned.partition}`);
          worker.onAssigned(owned);
        },
        onRevoked: (partition) => worker.onRevoked(partition),
      });
    };
    const feeder = world.process('feeder');
    void feeder.log.ensure({ name: 't', partitions: 3, compacted: false, keepMs: null });
    await clock.advance(100);
    world.faults = ({ process, call }) =>
      process !== 'feeder' && call === 'commit' && random.next() < 0.1 ? 'crash-after' : undefined;
    for (let n = 0; n < 2; n++) void start();
    void (async () => {
      for (let n = 0; n < 100; n++) {
        await sleep(feeder.clock, 20);
        await feeder.log.append('t', [{ ...record(`${n}`), partition: n % 3 }]);
        trace.push(`${clock.mono()} ${n} is in the log`);
      }
    })();
    expect(await clock.runUntil(() => ledger.handled.size === 100, 60_000)).toBe(true);
    expect(ledger.faults.filter((fault) => !fault.includes('while'))).toEqual([]);
    return trace;
  }

  heavy('gives the same events for the same seed, and other events for another seed', async () => {
    const first = await run(1);
    expect(await run(1)).toEqual(first);
    expect(await run(2)).not.toEqual(first);
  });
});
