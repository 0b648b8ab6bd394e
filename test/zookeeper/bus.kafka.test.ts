/** Buses that start without ZooKeeper, meet a server that never answers, or lose their session: each reports it and recovers. */
import net from 'node:net';
import { z } from 'zod';
import { defineModule, isBusError, openBus, request, type Bus, type BusError } from '../../src/index';
import { systemClock } from '../../src/base/clock';
import type { BusGiven } from '../../src/options';
import { openToLook } from '../../src/open';
import { connect as connectTo } from '../../src/zookeeper/session/connection';
import type { Session } from '../../src/zookeeper/session/session';
import { shop } from '../bus/contract';
import { openScene, type Scene } from '../bus/processes';
import { kafkaSuite } from '../cluster/suite';
import { livedMs } from '../elapsed';
import { until } from '../support/zookeeper-sessions';
import { zookeeperSuite } from './suite';

/** The session of buses that must not lose it. */
const sessionMs = 6_000;
/** The session of buses that wait one session in vain for ZooKeeper. */
const waitMs = 4_000;
const desk = defineModule('desk', { who: request(z.void(), z.string()) });

kafkaSuite('buses when ZooKeeper fails', (kafka) => {
  zookeeperSuite(
    'on a server of this suite',
    (zookeeper) => {
      let scene: Scene;
      let given: BusGiven;
      let scenes = 0;
      const open: { close(): Promise<unknown> }[] = [];
      beforeEach(() => {
        const ns = `${kafka.namespace}-${++scenes}`;
        const brokers = kafka.cluster.brokers.split(',');
        given = { transport: 'kafka', brokers, zookeeper: zookeeper.connect, ns, sessionMs };
        scene = openScene(given);
      });
      afterEach(async () => {
        for (const one of open.splice(0).toReversed()) await one.close();
        await scene.close();
      });
      const opened = async (more: BusGiven): Promise<Bus> => {
        const bus = await openBus({ log: false, module: 'web', ...given, ...more });
        open.push(bus);
        return bus;
      };
      /** The error that opening rejects with, and the time that it took. */
      async function refusal(more: BusGiven): Promise<{ error: BusError; tookMs: number }> {
        const opening = opened(more).catch((reason: unknown) => reason);
        const tookMs = await livedMs(opening);
        const error = await opening;
        if (!isBusError(error)) throw new Error(`it was not refused: ${String(error)}`);
        return { error, tookMs };
      }
      /** A server that accepts connections and never answers. */
      async function silentServer(): Promise<string> {
        const sockets = new Set<net.Socket>();
        const server = net.createServer((socket) => void sockets.add(socket.on('error', () => undefined)));
        await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
        open.push({
          close: () =>
            new Promise((resolve) => {
              for (const socket of sockets) socket.destroy();
              server.close(resolve);
            }),
        });
        return `127.0.0.1:${(server.address() as net.AddressInfo).port}`; // it listens on TCP
      }

      test.each([
        ['no server listens', () => Promise.resolve('127.0.0.1:1'), 'ECONNREFUSED'],
        ['the server accepts and never answers', silentServer, 'no session'],
      ])('opening without cached settings rejects within a session, with the address, when %s', async (_, at, says) => {
        const address = await at();
        const { error, tookMs } = await refusal({ zookeeper: address, sessionMs: waitMs });
        expect(tookMs).toBeLessThan(waitMs + 1_500);
        expect(error).toMatchObject({ code: 'Unreachable', message: expect.stringContaining(address) });
        expect(error.message).toContain(says);
        expect(error.message).toContain('Start ZooKeeper, or correct its address');
      });

      test('a bus opens when one server never answers and another one does', async () => {
        const { instance } = await scene.start();
        const bus = await opened({ zookeeper: `${await silentServer()},${zookeeper.connect}` });
        expect(await bus.request(shop.who)).toBe(instance);
      });

      test('a bus with cached settings starts and handles work without ZooKeeper, and sends requests afterwards', async () => {
        const dir = `${scene.dir}/cache`;
        const first = await opened({ dir });
        await scene.start();
        await first.submit(shop.pack, { order: 'a', n: 1 });
        await scene.until(() => scene.ledger().includes('packed a 1'), 60_000);
        await first.close();
        await zookeeper.server.kill();
        const bus = await opened({ dir, sessionMs: waitMs });
        expect(bus.health().reasons).toMatchObject([{ part: 'zookeeper' }]);
        await bus.submit(shop.pack, { order: 'a', n: 2 });
        await scene.until(() => scene.ledger().includes('packed a 2'), 60_000);
        const asked = async (): Promise<void> =>
          expect(await bus.tryRequest(shop.who)).toMatchObject({ error: { code: 'Unreachable' } });
        expect(await livedMs(asked())).toBeLessThan(5_500);
        await zookeeper.server.restart();
        await scene.until(() => bus.health().reasons.length === 0, 60_000);
        expect((await bus.tryRequest(shop.who, undefined, { timeoutMs: 30_000 })).ok).toBe(true);
      });

      test('an instance whose session expires announces itself again, and no request of a caller fails', async () => {
        const caller = await opened({});
        const { bus, ports } = await openToLook({ module: desk, ...given });
        open.push(bus);
        const { instance } = bus.self;
        await bus.serve(desk, { who: () => instance });
        const ask = () =>
          caller.tryRequest(desk.who, undefined, { to: instance, waitForInstanceMs: 10_000, timeoutMs: 30_000 });
        expect(await ask()).toEqual({ ok: true, value: instance });
        const session = sessionOfPart(ports.settings);
        const before = session.connection?.session;

        let running = true;
        const ends = new Set<unknown>();
        const asking = (async () => {
          while (running) {
            const result = await ask();
            ends.add(result.ok ? 'ok' : result.error.code);
          }
        })();
        await endSession(session);
        await until('another session', () => session.connection?.alive && session.connection.session !== before);
        await until('it is announced', async () => (await ports.registry.all()).some(({ name }) => name === instance));
        expect(await (await opened({})).request(desk.who, undefined, { to: instance })).toBe(instance);
        await new Promise((resolve) => setTimeout(resolve, 2 * sessionMs));
        running = false;
        await asking;
        expect([...ends]).toEqual(['ok']);
        expect(bus.health().reasons).toEqual([]);
      });
    },
    { faults: true },
  );
});

/** Reaches into private parts. */
function sessionOfPart(part: object): Session {
  return (part as { parts: { session: Session } }).parts.session;
}

/** Ends the session as an expiry would: another connection with the same id and password closes it. */
async function endSession({ connection }: Session): Promise<void> {
  if (!connection) throw new Error('there is no session to end');
  const rights = { digest: undefined, worldRead: false };
  const [address, ticket] = [connection.address, connection.ticket()];
  const options = { address, ticket, sessionMs, connectMs: 5_000, rights, clock: systemClock };
  const other = await connectTo(options, new AbortController().signal);
  await other.close(5_000);
}
