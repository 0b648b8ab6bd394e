/** The messenger over real sockets and processes: delivery, order, and the end of a peer. */
import fs from 'node:fs';
import path from 'node:path';
import { isBusError } from '../../src/base/errors';
import type { Embedded } from '../../src/embedded/open';
import { livedMs } from '../elapsed';
import { instance } from './instance';
import { cleanUp, freshDirectory, keptNotices, openBus, startChild, until } from '../support/embedded-buses';

afterEach(cleanUp);

interface Heard {
  readonly lines: string[];
  readonly bodies: Buffer[];
  readonly from: string[];
  readonly gone: string[];
}
/** Receives packets and keeps copies. */
function listenOn({ messenger }: Embedded): Heard {
  const heard: Heard = { lines: [], bodies: [], from: [], gone: [] };
  messenger.receive({
    packet({ line, body }, from) {
      heard.lines.push(line);
      heard.bodies.push(Buffer.from(body));
      heard.from.push(from);
    },
    left: (address) => heard.gone.push(address),
  });
  return heard;
}
const text = (line: string, body = ''): { line: string; body: Uint8Array } => ({ line, body: Buffer.from(body) });

function sendUnlessGone({ messenger }: Embedded, to: string, body: Buffer): void {
  try {
    messenger.send(to, { line: 'x', body });
  } catch (error) {
    if (!isBusError(error, 'Unreachable', 'Overloaded')) throw error;
  }
}

/** Blocks the event loop until `holds` returns true, or until `withinMs` have passed. */
function spin(holds: () => boolean, withinMs: number): void {
  const start = performance.now();
  while (!holds() && performance.now() - start < withinMs);
}

describe('between two buses', () => {
  test('a packet arrives with its line, its body and its sender', async () => {
    const dir = freshDirectory();
    const [a, b] = [await openBus(dir), await openBus(dir)];
    const heard = listenOn(b);
    a.messenger.send(b.messenger.address, { line: 'größer 鍵 line', body: Buffer.from([0, 255, 10]) });
    await until(() => heard.lines.length === 1);
    expect(heard.lines).toEqual(['größer 鍵 line']);
    expect(heard.bodies).toEqual([Buffer.from([0, 255, 10])]);
    expect(heard.from).toEqual([a.messenger.address]);
  });
  test('100,000 packets of many sizes arrive in the order in which they were sent', async () => {
    const dir = freshDirectory();
    const [a, b] = [await openBus(dir), await openBus(dir)];
    const sizes: number[] = [];
    let wrong = 0;
    b.messenger.receive({
      packet({ line, body }) {
        const at = sizes.length;
        if (line !== String(at) || !Buffer.alloc(sizeOf(at), at & 255).equals(body)) wrong++;
        sizes.push(body.length);
      },
      left: () => undefined,
    });
    const sizeOf = (at: number): number => (at % 997 === 0 ? 300_000 : at % 300);
    for (let at = 0; at < 100_000; at++) {
      a.messenger.send(b.messenger.address, { line: String(at), body: Buffer.alloc(sizeOf(at), at & 255) });
      if (at % 5_000 === 0) await until(() => sizes.length > at - 20_000);
    }
    await until(() => sizes.length === 100_000);
    expect(wrong).toBe(0);
  });
  test('both send at the same moment, and the order of each is kept', async () => {
    const dir = freshDirectory();
    const [a, b] = [await openBus(dir), await openBus(dir)];
    const [atA, atB] = [listenOn(a), listenOn(b)];
    for (let round = 0; round < 20; round++) {
      a.messenger.send(b.messenger.address, text(`${round}`));
      b.messenger.send(a.messenger.address, text(`${round}`));
      if (round === 10) await until(() => atA.lines.length === 11 && atB.lines.length === 11);
    }
    await until(() => atA.lines.length === 20 && atB.lines.length === 20);
    const all = Array.from({ length: 20 }, (_, round) => `${round}`);
    expect(atA.lines).toEqual(all);
    expect(atB.lines).toEqual(all);
  });
  test('a bus delivers to itself in a later turn, with a copy of the body', async () => {
    const a = await openBus(freshDirectory());
    const heard = listenOn(a);
    const body = Buffer.from('before');
    a.messenger.send(a.messenger.address, { line: 'self', body });
    body.write('AFTER!');
    expect(heard.lines).toEqual([]);
    await until(() => heard.lines.length === 1);
    expect(heard.bodies.map(String)).toEqual(['before']);
    expect(heard.from).toEqual([a.messenger.address]);
  });
});

describe('a broadcast', () => {
  test('reaches every announced instance of the module, including the sender, and no other instance', async () => {
    const dir = freshDirectory();
    const [a, b, other] = [await openBus(dir), await openBus(dir), await openBus(dir)];
    const [atA, atB, atOther] = [listenOn(a), listenOn(b), listenOn(other)];
    await a.registry.announce(instance(a.messenger.address, 'web'));
    await b.registry.announce(instance(b.messenger.address, 'web'));
    await other.registry.announce(instance(other.messenger.address, 'photos'));
    expect(await a.messenger.broadcast('web', text('drop'))).toBe(2);
    expect(await other.messenger.broadcast('web', text('drop it'))).toBe(2);
    await until(() => atA.lines.length === 2 && atB.lines.length === 2);
    expect(atOther.lines).toEqual([]);
    expect(await other.messenger.broadcast('nobody', text('drop'))).toBe(0);
  });
  test('reaches exactly the instances that are announced when it is sent', async () => {
    const dir = freshDirectory();
    const [a, b] = [await openBus(dir), await openBus(dir)];
    listenOn(b);
    await b.registry.announce(instance(b.messenger.address, 'web'));
    expect(await a.messenger.broadcast('web', text('drop'))).toBe(1);
    await b.registry.withdraw();
    expect(await a.messenger.broadcast('web', text('drop'))).toBe(0);
  });
});

describe('when a peer ends', () => {
  test('a process killed with -9 is reported as gone within 250 ms', async () => {
    const dir = freshDirectory();
    const a = await openBus(dir);
    const heard = listenOn(a);
    const child = startChild('echo', dir);
    const address = String(await child.next());
    a.messenger.send(address, text('hello'));
    await until(() => heard.lines.length === 1);
    await child.kill();
    expect(await livedMs(until(() => heard.gone.includes(address)))).toBeLessThan(250);
  });
  test('a packet to an ended bus reports it as gone, the next one throws Unreachable', async () => {
    const dir = freshDirectory();
    const [a, b] = [await openBus(dir), await openBus(dir)];
    const heard = listenOn(a);
    await b.close();
    a.messenger.send(b.messenger.address, text('late'));
    await until(() => heard.gone.length === 1);
    expect(heard.gone).toEqual([b.messenger.address]);
    expect(() => a.messenger.send(b.messenger.address, text('later'))).toThrow(
      expect.objectContaining({ code: 'Unreachable' }),
    );
    expect(() => a.messenger.send('../../etc', text('x'))).toThrow(expect.objectContaining({ code: 'Unreachable' }));
  });
  test('packets that were sent just before closing arrive', async () => {
    const dir = freshDirectory();
    const [a, b] = [await openBus(dir), await openBus(dir)];
    const heard = listenOn(b);
    for (let at = 0; at < 200; at++)
      a.messenger.send(b.messenger.address, { line: `${at}`, body: Buffer.alloc(100_000) });
    await a.close();
    await until(() => heard.gone.length === 1);
    expect(heard.lines).toHaveLength(200);
  });
  test('all packets sent before closing arrive, also while the peer keeps sending', async () => {
    const dir = freshDirectory();
    const [a, b] = [await openBus(dir), await openBus(dir)];
    const order: string[] = [];
    a.messenger.receive({ packet: ({ line }) => order.push(line), left: () => order.push('gone') });
    b.messenger.receive({ packet: () => undefined, left: () => undefined });
    const body = Buffer.alloc(50_000);
    // Both connect in the same turn, so each sends on its own connection.
    for (let at = 0; at < 100; at++) {
      a.messenger.send(b.messenger.address, { line: 'x', body });
      b.messenger.send(a.messenger.address, { line: `${at}`, body });
    }
    const closing = b.messenger.close();
    while (!order.includes('gone')) {
      for (let at = 0; at < 10; at++) sendUnlessGone(a, b.messenger.address, body);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await closing;
    expect(order).toEqual([...Array.from({ length: 100 }, (_, at) => `${at}`), 'gone']);
  });
  test('packets of a closing peer arrive, also when this bus writes to it before reading', async () => {
    const dir = freshDirectory();
    const a = await openBus(dir);
    const heard = listenOn(a);
    const child = startChild('farewell', dir);
    const address = String(await child.next());
    a.messenger.send(address, text('hello'));
    await until(() => heard.lines.pop() === 'hello');
    child.process.kill('SIGSTOP');
    a.messenger.send(address, text('go'));
    await new Promise((resolve) => setImmediate(resolve));
    // This process blocks until the other one has closed, and then writes before it reads: after the callback of a file,
    // the turn ends and packets are sent.
    await fs.promises.readFile(__filename);
    child.process.kill('SIGCONT');
    const socket = path.join(dir, 's', address);
    spin(() => !fs.existsSync(socket), 30_000);
    spin(() => false, 50);
    a.messenger.send(address, text('too late'));
    await until(() => heard.gone.length === 1);
    expect(heard.lines).toEqual(Array.from({ length: 20 }, (_, at) => `${at}`));
  });
  test('a bus that exchanged only doorbells with it is not notified', async () => {
    const dir = freshDirectory();
    const [a, b, c] = [await openBus(dir), await openBus(dir), await openBus(dir)];
    const [atA, , atC] = [listenOn(a), listenOn(b), listenOn(c)];
    await b.registry.announce(instance(b.messenger.address, 'web'));
    await c.registry.announce(instance(c.messenger.address, 'web'));
    b.messenger.send(a.messenger.address, text('hello'));
    await until(() => atA.lines.length === 1);
    await b.close();
    await until(() => atA.gone.length === 1);
    await until(async () => (await c.registry.all()).length === 1);
    expect(atC.gone).toEqual([]);
  });
  test('a closed messenger rejects packets, and closing twice is allowed', async () => {
    const a = await openBus(freshDirectory());
    await Promise.all([a.messenger.close(), a.messenger.close()]);
    expect(() => a.messenger.send(a.messenger.address, text('x'))).toThrow(expect.objectContaining({ code: 'Closed' }));
  });
});

describe('bounds', () => {
  test('packets to a stopped receiver throw Overloaded at the limit, without affecting other buses', async () => {
    const dir = freshDirectory();
    const [a, b] = [await openBus(dir), await openBus(dir)];
    const [atA, atB] = [listenOn(a), listenOn(b)];
    const child = startChild('count', dir);
    const address = String(await child.next());
    a.messenger.send(address, text('hello'));
    child.tell('tell');
    await child.next();
    child.process.kill('SIGSTOP');
    const before = process.memoryUsage().rss;
    let sent = 1;
    const body = Buffer.alloc(10_000);
    const fill = (): void => {
      for (; sent < 20_000; sent++) a.messenger.send(address, { line: 'x', body });
    };
    expect(fill).toThrow(expect.objectContaining({ code: 'Overloaded', retryable: true }));
    expect(sent).toBeGreaterThan(6_000);
    expect(process.memoryUsage().rss - before).toBeLessThan(100 * 1024 * 1024);
    b.messenger.send(a.messenger.address, text('still'));
    a.messenger.send(b.messenger.address, text('here'));
    await until(() => atA.lines.length === 1 && atB.lines.length === 1);
    child.process.kill('SIGCONT');
    await until(() => {
      child.tell('tell');
      return (child.said() as { packets: number }).packets === sent;
    });
    a.messenger.send(address, text('again'));
  });
  test('at most 100,000 small packets wait for a stopped receiver', async () => {
    const dir = freshDirectory();
    const a = await openBus(dir);
    const child = startChild('count', dir);
    const address = String(await child.next());
    child.process.kill('SIGSTOP');
    const fill = (): void => {
      for (let sent = 0; sent < 110_000; sent++) a.messenger.send(address, text('x'));
    };
    expect(fill).toThrow(/^packets to .*: the queue has no room for more \(100000 of 100000 packets, .* bytes\)$/);
  });
  test('packets that wait in the buffer are not overwritten by later ones', async () => {
    const dir = freshDirectory();
    const a = await openBus(dir);
    const heard = listenOn(a);
    const child = startChild('echo', dir);
    const address = String(await child.next());
    child.process.kill('SIGSTOP');
    const bodies = [1, 2, 3].map((byte) => Buffer.alloc(700_000, byte));
    for (const body of bodies) {
      a.messenger.send(address, { line: 'x', body });
      await new Promise((resolve) => setImmediate(resolve));
    }
    child.process.kill('SIGCONT');
    await until(() => heard.bodies.length === 3);
    expect(heard.bodies.map((body, at) => body.equals(bodies[at] ?? Buffer.alloc(0)))).toEqual([true, true, true]);
  });
  test('a line or a body above the limit throws TooLarge at the sender', async () => {
    const dir = freshDirectory();
    const [a, b] = [await openBus(dir), await openBus(dir)];
    const tooLarge = expect.objectContaining({ code: 'TooLarge' });
    expect(() => a.messenger.send(b.messenger.address, text('x'.repeat(8_193)))).toThrow(tooLarge);
    expect(() => a.messenger.send(b.messenger.address, text('鍵'.repeat(3_000)))).toThrow(tooLarge);
    expect(() => a.messenger.send(b.messenger.address, { line: '', body: Buffer.alloc(1_100_000) })).toThrow(tooLarge);
    const heard = listenOn(b);
    a.messenger.send(b.messenger.address, { line: 'x'.repeat(8_192), body: Buffer.alloc(1_000_000) });
    await until(() => heard.lines.length === 1);
  });
  test('a receiver that throws loses only that packet, which is reported', async () => {
    const dir = freshDirectory();
    const { notices, kept } = keptNotices();
    const [a, b] = [await openBus(dir), await openBus(dir, 'b', notices)];
    const lines: string[] = [];
    b.messenger.receive({
      packet({ line }) {
        if (line === 'bomb') throw new Error('boom');
        lines.push(line);
      },
      left: () => undefined,
    });
    for (const line of ['one', 'bomb', 'two']) a.messenger.send(b.messenger.address, text(line));
    await until(() => lines.length === 2);
    expect(kept).toContainEqual({ type: 'dropped', what: 'packet', reason: 'its receiver threw: boom' });
  });
});
