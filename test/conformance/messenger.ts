/** The rules for every implementation of the messenger: order per receiver, exact bytes, and reports of gone peers. */
import { isBusError } from '../../src/base/errors';
import { limits } from '../../src/base/limits';
import type { Packet } from '../../src/ports/messenger';
import {
  bytes,
  instanceOf,
  rejection,
  suite,
  text,
  type TestPorts,
  type TestProcess,
  type SuiteOptions,
} from '../support/conformance';

const packet = (line: string, body = ''): Packet => ({ line, body: bytes(body) });

/** Everything that one messenger received. */
interface Ear {
  readonly process: TestProcess;
  readonly address: string;
  readonly lines: string[];
  readonly bodies: (string | null)[];
  readonly from: string[];
  readonly gone: string[];
  /** The number of packets that had arrived at each report of a gone peer. */
  readonly before: number[];
}
function listen(one: TestProcess): Ear {
  const subscription: Ear = {
    process: one,
    address: one.messenger.address,
    lines: [],
    bodies: [],
    from: [],
    gone: [],
    before: [],
  };
  one.messenger.receive({
    packet({ line, body }, from) {
      subscription.lines.push(line);
      subscription.bodies.push(text(body));
      subscription.from.push(from);
    },
    left(address) {
      subscription.gone.push(address);
      subscription.before.push(subscription.lines.length);
    },
  });
  return subscription;
}

export function conformsToMessenger(
  name: string,
  openPorts: () => Promise<TestPorts>,
  options: SuiteOptions = {},
): void {
  const testMs = options.testMs ?? 60_000;
  suite(`${name}: messenger`, openPorts, options, (run) => {
    const test = (title: string, run: () => Promise<void>): void => it(title, run, testMs);
    const subscriptions = async (count: number): Promise<Ear[]> => (await run.processes(count)).map(listen);

    test('delivers each packet once, byte for byte, with its sender', async () => {
      const [a, b] = await subscriptions(2);
      const line = 'une ligne é 漢 🚌';
      const body = Uint8Array.from({ length: 256 }, (_, n) => n);
      let got: number[] = [];
      const c = await run.process();
      c.messenger.receive({ packet: (one) => (got = [...one.body]), left: () => undefined });
      a!.process.messenger.send(b!.address, packet(line));
      a!.process.messenger.send(c.messenger.address, { line, body });
      await run.wait(() => b!.lines.length === 1 && got.length > 0, 'both arrive');
      expect(b).toMatchObject({ lines: [line], bodies: [''], from: [a!.address] });
      expect(got).toEqual([...body]);
    });

    test('keeps the order of each sender to each receiver, with large and small packets', async () => {
      const [a, b, c] = await subscriptions(3);
      for (let n = 0; n < 300; n++) {
        a!.process.messenger.send(c!.address, packet(`a${n}`, n % 100 === 50 ? 'x'.repeat(500_000) : 'x'));
        b!.process.messenger.send(c!.address, packet(`b${n}`));
        a!.process.messenger.send(b!.address, packet(`a${n}`));
      }
      await run.wait(() => c!.lines.length === 600 && b!.lines.length === 300, 'all arrive');
      for (const who of ['a', 'b']) {
        const mine = c!.lines.filter((line) => line.startsWith(who));
        expect(mine).toEqual(Array.from({ length: 300 }, (_, n) => `${who}${n}`));
      }
      expect(b!.lines).toEqual(Array.from({ length: 300 }, (_, n) => `a${n}`));
    });

    test('delivers the body as of send when it changes afterwards', async () => {
      const [a, b] = await subscriptions(2);
      const body = bytes('before');
      a!.process.messenger.send(b!.address, { line: 'x', body });
      body.fill(0);
      await run.wait(() => b!.lines.length === 1, 'it arrives');
      expect(b!.bodies).toEqual(['before']);
    });

    test('delivers packets in both directions, and to the sender itself', async () => {
      const [a, b] = await subscriptions(2);
      a!.process.messenger.send(b!.address, packet('ask'));
      await run.wait(() => b!.lines.length === 1, 'the question arrives');
      b!.process.messenger.send(b!.from[0]!, packet('answer'));
      a!.process.messenger.send(a!.address, packet('myself'));
      await run.wait(() => a!.lines.length === 2, 'the answer arrives');
      expect([...a!.lines].sort()).toEqual(['answer', 'myself']);
    });

    test('delivers the largest allowed message, and throws TooLarge for a larger one', async () => {
      const [a, b] = await subscriptions(2);
      const body = new Uint8Array(limits.messageBytesMax).fill(7);
      a!.process.messenger.send(b!.address, { line: 'x'.repeat(limits.envelopeBytesMax), body });
      for (const tooLarge of [
        { line: 'x'.repeat(limits.envelopeBytesMax + 1), body: bytes('') },
        { line: '', body: new Uint8Array(2_000_000) },
      ]) {
        expect(
          isBusError(
            thrown(() => a!.process.messenger.send(b!.address, tooLarge)),
            'TooLarge',
          ),
        ).toBe(true);
      }
      a!.process.messenger.send(b!.address, packet('after'));
      await run.wait(() => b!.lines.length === 2, 'both arrive');
      expect(b!.bodies[0]).toHaveLength(limits.messageBytesMax);
    });

    test('reports a dead process once to each peer that exchanged packets with it, only', async () => {
      const [a, b, c, d] = await subscriptions(4);
      a!.process.messenger.send(b!.address, packet('to b'));
      b!.process.messenger.send(c!.address, packet('to c'));
      await run.wait(() => b!.lines.length === 1 && c!.lines.length === 1, 'both arrive');
      await b!.process.crash();
      await run.wait(() => a!.gone.length > 0 && c!.gone.length > 0, 'both are notified');
      a!.process.messenger.send(c!.address, packet('still here'));
      await run.wait(() => c!.lines.length === 2, 'others are still reached');
      expect([a!.gone, c!.gone, d!.gone]).toEqual([[b!.address], [b!.address], []]);
    });

    test('throws Unreachable or reports gone for a packet to a dead address', async () => {
      const [a, b, c] = await subscriptions(3);
      b!.process.messenger.send(a!.address, packet('hello'));
      await run.wait(() => a!.lines.length === 1, 'it arrives');
      await b!.process.crash();
      await c!.process.crash();
      for (const dead of [b!, c!]) {
        const error = thrown(() => a!.process.messenger.send(dead.address, packet('too late')));
        if (error === undefined) await run.wait(() => a!.gone.includes(dead.address), 'it is reported');
        else expect(isBusError(error, 'Unreachable')).toBe(true);
      }
      await run.wait(() => a!.gone.includes(b!.address), 'the first one is reported in any case');
      expect(
        isBusError(
          thrown(() => a!.process.messenger.send(b!.address, packet('known'))),
          'Unreachable',
        ),
      ).toBe(true);
    });

    test('broadcasts to every announced instance of the module, including the sender, and no other', async () => {
      const [module, other] = [run.name('photos'), run.name('web')];
      const [a, b, c, d, e] = await subscriptions(5);
      await Promise.all([a!, b!, e!].map((subscription) => subscription.process.messenger.join(module)));
      await c!.process.messenger.join(other);
      await Promise.all([
        a!.process.registry.announce(instanceOf(a!.process, `${module}#a`, module)),
        b!.process.registry.announce(instanceOf(b!.process, `${module}#b`, module)),
        c!.process.registry.announce(instanceOf(c!.process, `${other}#c`, other)),
        e!.process.registry.announce(instanceOf(e!.process, `${module}#e`, module, { serves: {}, leaving: true })),
      ]);
      const counts = await Promise.all([
        a!.process.messenger.broadcast(module, packet('from a', 'body')),
        d!.process.messenger.broadcast(module, packet('from d')),
      ]);
      for (const count of counts) expect([3, undefined]).toContain(count);
      await run.wait(() => [a, b, e].every((subscription) => subscription!.lines.length === 2), 'it reaches all');
      for (const subscription of [a!, b!, e!]) expect([...subscription.lines].sort()).toEqual(['from a', 'from d']);
      expect([c!.lines, d!.lines]).toEqual([[], []]);
      expect([0, undefined]).toContain(await d!.process.messenger.broadcast(run.name('nobody'), packet('x')));
    });

    test('keeps the order of the broadcasts of one sender', async () => {
      const module = run.name('photos');
      const [a, b] = await subscriptions(2);
      await a!.process.messenger.join(module);
      await a!.process.registry.announce(instanceOf(a!.process, `${module}#a`, module));
      await Promise.all(Array.from({ length: 100 }, (_, n) => b!.process.messenger.broadcast(module, packet(`${n}`))));
      await run.wait(() => a!.lines.length === 100, 'all arrive');
      expect(a!.lines).toEqual(Array.from({ length: 100 }, (_, n) => `${n}`));
    });

    test('delivers resolved broadcasts, although their sender crashes right after the last one', async () => {
      const module = run.name('photos');
      const [a, b] = await subscriptions(2);
      await a!.process.messenger.join(module);
      await a!.process.registry.announce(instanceOf(a!.process, `${module}#a`, module));
      for (let n = 0; n < 200; n++) await b!.process.messenger.broadcast(module, packet(`${n}`, 'x'.repeat(2_000)));
      await b!.process.crash();
      await run.wait(() => a!.lines.length === 200, 'all arrive');
      expect(a!.lines).toEqual(Array.from({ length: 200 }, (_, n) => `${n}`));
    });

    test('delivers all sent packets when closed, then reports gone, and rejects later calls', async () => {
      for (let round = 0; round < 5; round++) {
        const [a, b] = await subscriptions(2);
        a!.process.messenger.send(b!.address, packet('hello'));
        await run.wait(() => b!.lines.length === 1, 'it arrives');
        for (let n = 0; n < 50; n++) b!.process.messenger.send(a!.address, packet(`last ${n}`));
        await b!.process.messenger.close();
        await run.wait(() => a!.gone.length === 1, 'the other one is notified');
        expect(a!.lines).toEqual(Array.from({ length: 50 }, (_, n) => `last ${n}`));
        expect([a!.gone, a!.before]).toEqual([[b!.address], [50]]);
        expect(
          isBusError(
            thrown(() => b!.process.messenger.send(a!.address, packet('x'))),
            'Closed',
          ),
        ).toBe(true);
        expect(isBusError(await rejection(b!.process.messenger.broadcast('x', packet('x'))), 'Closed')).toBe(true);
        expect(isBusError(await rejection(b!.process.messenger.join('x')), 'Closed')).toBe(true);
        expect(b!.gone).toEqual([]);
      }
    });
  });
}

function thrown(run: () => void): unknown {
  try {
    run();
  } catch (error) {
    return error;
  }
  return undefined;
}
