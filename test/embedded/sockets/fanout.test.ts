/** The waits of a broadcast, on outlets that the test drains, in virtual time. */
import { BusError } from '../../../src/base/errors';
import { openNotices } from '../../../src/base/notices';
import { Fanout, type Outlet } from '../../../src/embedded/sockets/fanout';
import { virtualClock } from '../../../src/memory';
import { heavy } from '../../heavy';

class FakeOutlet implements Outlet {
  readonly frames: { readonly line: string; readonly bytes: number }[] = [];
  framesPut = 0;
  framesTaken = 0;
  get queuedBytes(): number {
    return this.frames.reduce((sum, { bytes }) => sum + bytes, 0);
  }
}

function system() {
  const virtual = virtualClock();
  const clock = { ...virtual, skipMs: 0, mono: (): number => virtual.mono() + clock.skipMs };
  const notices = openNotices();
  const dropped: string[] = [];
  notices.watch((notice) => notice.type === 'dropped' && dropped.push(notice.reason));
  const outlets = new Map<string, FakeOutlet>();
  const dead = new Set<string>();
  const taken: string[] = [];
  /** Addresses whose frames are taken before `put` returns. */
  const quick = new Set<string>();
  const fanout: Fanout<FakeOutlet> = new Fanout({
    clock,
    notices,
    outletTo(address) {
      if (dead.has(address)) throw new BusError('Unreachable', address, { outcome: 'not-sent', waitedMs: 0 });
      const outlet = outlets.get(address) ?? new FakeOutlet();
      outlets.set(address, outlet);
      return outlet;
    },
    put(outlet, line, body) {
      outlet.frames.push({ line, bytes: body.length });
      outlet.framesPut++;
      const [address = ''] = [...outlets].find(([, one]) => one === outlet) ?? [];
      if (quick.has(address)) take(address, 1);
    },
  });
  /** The kernel takes frames of this receiver. */
  function take(address: string, count: number): void {
    const outlet = outlets.get(address);
    if (!outlet) return;
    const frames = outlet.frames.splice(0, count);
    outlet.framesTaken += frames.length;
    taken.push(...frames.map(({ line }) => `${address} ${line}`));
    fanout.taken(address, outlet);
  }
  /** Sends a broadcast; `handedOver` is set when it resolves. */
  function send(line: string, to: readonly string[], bytes = 10): { handedOver: number | undefined } {
    const result: { handedOver: number | undefined } = { handedOver: undefined };
    const destinations = to.map((address) => ({ address, name: `web#${address}` }));
    void fanout.send(destinations, line, new Uint8Array(bytes)).then((count) => (result.handedOver = count));
    return result;
  }
  return { virtual, clock, fanout, dropped, outlets, dead, quick, taken, take, send };
}

test('a broadcast resolves when the last receiver has it', async () => {
  const { clock, take, send } = system();
  const sent = send('x', ['a', 'b']);
  take('a', 1);
  await clock.advance(0);
  expect(sent.handedOver).toBeUndefined();
  take('b', 1);
  await clock.advance(0);
  expect(sent.handedOver).toBe(2);
});

test('a broadcast without receivers resolves at once, and unreachable receivers are not counted', async () => {
  const { clock, dead, send, take, dropped } = system();
  dead.add('b');
  const [none, one] = [send('x', []), send('y', ['a', 'b'])];
  take('a', 1);
  await clock.advance(0);
  expect([none.handedOver, one.handedOver, dropped]).toEqual([0, 1, []]);
});

test('frames that are taken before they are put are counted, and keep their order', async () => {
  const { clock, quick, send, take, taken } = system();
  const first = Array.from({ length: 10 }, (_, n) => send(`${n}`, ['a'], 200_000));
  quick.add('a');
  take('a', 1);
  const last = send('10', ['a']);
  take('a', 100);
  await clock.advance(0);
  expect([...first, last].map(({ handedOver }) => handedOver)).toEqual(Array(11).fill(1));
  expect(taken).toEqual(Array.from({ length: 11 }, (_, n) => `a ${n}`));
});

test('a broadcast waits for a receiver that takes a frame within each second', async () => {
  const { clock, send, take } = system();
  const all = Array.from({ length: 60 }, (_, n) => send(`${n}`, ['a'], 300_000));
  for (let n = 0; n < 59; n++) {
    await clock.advance(900);
    expect(all.at(-1)?.handedOver).toBeUndefined();
    take('a', 1);
  }
  take('a', 1);
  await clock.advance(0);
  expect(all.map(({ handedOver }) => handedOver)).toEqual(Array(60).fill(1));
});

test('broadcasts do not wait for a receiver that has taken nothing for a second', async () => {
  const { clock, send, take, outlets, dropped } = system();
  const first = send('0', ['a', 'b']);
  take('b', 1);
  await clock.advance(700);
  expect(first.handedOver).toBeUndefined();
  await clock.advance(600);
  expect(first.handedOver).toBe(2);
  const second = send('1', ['a', 'b']);
  take('b', 1);
  await clock.advance(0);
  expect(second.handedOver).toBe(2);
  take('a', 1);
  const third = send('2', ['a']);
  await clock.advance(500);
  expect(third.handedOver).toBeUndefined();
  take('a', 2);
  await clock.advance(0);
  expect([third.handedOver, outlets.get('a')?.framesTaken, dropped]).toEqual([1, 3, []]);
});

test('a receiver does not count as stuck while its sender stalls', async () => {
  const { virtual, clock, send, take } = system();
  const sent = send('0', ['a']);
  // Simulates turns of the event loop that take ten seconds each, without the checks in between.
  for (let n = 0; n < 3; n++) {
    clock.skipMs += 10_000;
    await virtual.advance(250);
  }
  expect([virtual.mono() + clock.skipMs > 30_000, sent.handedOver]).toEqual([true, undefined]);
  take('a', 1);
  await virtual.advance(0);
  expect(sent.handedOver).toBe(1);
});

test('a broadcast beyond the limit of a reading receiver is Overloaded and sent to none', async () => {
  const { clock, fanout, send, outlets, take } = system();
  for (let n = 0; n < 68; n++) send(`${n}`, ['a'], 1_000_000);
  const to = ['b', 'a'].map((address) => ({ address, name: `web#${address}` }));
  expect(() => fanout.send(to, 'x', new Uint8Array(1_000_000))).toThrow(
    expect.objectContaining({ code: 'Overloaded', message: expect.stringContaining('broadcasts to web#a') }),
  );
  expect(outlets.has('b')).toBe(false);
  for (let n = 0; n < 100; n++) take('a', 1);
  const after = send('after', ['a']);
  take('a', 1);
  await clock.advance(0);
  expect(after.handedOver).toBe(1);
});

test('broadcasts beyond the limit of a stuck receiver are dropped for it, with a notice', async () => {
  const { clock, send, take, dropped } = system();
  for (let n = 0; n < 68; n++) send(`${n}`, ['a'], 1_000_000);
  await clock.advance(1_300);
  const sent = send('x', ['a', 'b'], 1_000_000);
  take('b', 1);
  await clock.advance(0);
  expect([sent.handedOver, dropped]).toEqual([
    1,
    [expect.stringMatching(/^to web#a: it has read nothing for 1000 ms or longer, .*67000000 of 67108864 bytes/)],
  ]);
});

heavy('stuck receivers leave half of the whole buffer to reading ones', async () => {
  const { clock, send, dropped, take } = system();
  const stuck = ['a', 'b', 'c', 'd', 'e', 'f'];
  for (const address of stuck) send('first', [address]);
  await clock.advance(1_300);
  for (const address of stuck) for (let n = 0; n < 66; n++) send(`${n}`, [address], 1_000_000);
  expect(dropped.length).toBeGreaterThan(250);
  const reading = Array.from({ length: 60 }, (_, n) => send(`${n}`, ['reads'], 1_000_000));
  for (let n = 0; n < 60; n++) take('reads', 1);
  await clock.advance(0);
  expect(reading.map(({ handedOver }) => handedOver)).toEqual(Array(60).fill(1));
});

test('waiting broadcasts end when their receiver has left, with a notice unless it died', async () => {
  const { clock, fanout, outlets, send, dropped } = system();
  const ends = ['dead', 'alive'].map((address) => [send('put', [address], 600_000), send('waits', [address], 10)]);
  for (const [address, outlet] of outlets) fanout.ended(address, outlet);
  await clock.advance(0);
  expect(ends.flat().map(({ handedOver }) => handedOver)).toEqual(Array(4).fill(undefined));
  fanout.receiverLeft('dead', true);
  fanout.receiverLeft('alive', false);
  await clock.advance(0);
  expect(ends.flat().map(({ handedOver }) => handedOver)).toEqual(Array(4).fill(0));
  expect(dropped).toEqual(Array(2).fill('to web#alive: its connection ended'));
});

test('closing drops waiting broadcasts with a notice, and leaves no timer', async () => {
  const { clock, fanout, send, dropped } = system();
  const sent = send('x', ['a']);
  fanout.close();
  await clock.advance(0);
  expect([sent.handedOver, dropped]).toEqual([0, ['to web#a: this bus was closed']]);
  expect(clock.nextDueMs).toBeUndefined();
});

test('a broadcast to 300 reading receivers is accepted for all of them or rejected', async () => {
  const { clock, fanout, send, take, dropped, outlets } = system();
  const to = Array.from({ length: 300 }, (_, n) => `r${n}`);
  const accepted = [send('0', to, 1_000_000), send('1', to, 1_000_000)];
  const destinations = to.map((address) => ({ address, name: `web#${address}` }));
  expect(() => fanout.send(destinations, 'x', new Uint8Array(1_000_000))).toThrow(
    expect.objectContaining({ code: 'Overloaded', message: expect.stringContaining('of 268435456 bytes in all') }),
  );
  for (let n = 0; n < 2; n++) for (const address of to) take(address, 1);
  await clock.advance(0);
  expect(accepted.map(({ handedOver }) => handedOver)).toEqual([300, 300]);
  expect(dropped).toEqual([]);
  // There is room for each receiver, but not for all of them together.
  const after = [send('2', to, 600_000), send('3', to, 600_000)];
  expect(() => fanout.send(destinations, 'x', new Uint8Array(600_000))).toThrow(
    expect.objectContaining({
      message: expect.stringMatching(
        /^broadcasts to 300 instances: .*\(300 of 1000000 packets, 180000000 of 268435456/,
      ),
    }),
  );
  for (let n = 0; n < 2; n++) for (const address of to) take(address, 1);
  await clock.advance(0);
  expect([...after.map(({ handedOver }) => handedOver), outlets.get('r299')?.framesTaken]).toEqual([300, 300, 4]);
});

heavy('Overloaded names the limit that is reached, also the one for all receivers together', () => {
  const { fanout, send } = system();
  for (const address of ['a', 'b', 'c', 'd']) for (let n = 0; n < 68; n++) send(`${n}`, [address], 1_000_000);
  expect(() => fanout.send([{ address: 'f', name: 'web#f' }], 'x', new Uint8Array(1_000_000))).toThrow(
    expect.objectContaining({
      message: expect.stringMatching(/^broadcasts to web#f: .* of 268435456 bytes in all\)$/),
      details: expect.objectContaining({ limitBytes: 268_435_456 }),
    }),
  );
});
