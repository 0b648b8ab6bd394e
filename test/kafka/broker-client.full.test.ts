import net, { type AddressInfo } from 'node:net';
import { inspect } from 'node:util';
import { type Clock, systemRandom } from '../../src/base/clock';
import { type KafkajsOptions, openKafkajs } from '../../src/kafka/client/connection-pool';
import { measureBatch, writeBatch } from '../../src/kafka/protocol/batch-writer';
import { Writer } from '../../src/kafka/protocol/primitives';
import { KafkaError } from '../../src/kafka/protocol/errors';
import type { BrokerClient } from '../../src/kafka/client/broker-client';
import { livedMs, openLivedClock } from '../elapsed';

/** The broker client with servers that are not brokers. */
const servers: net.Server[] = [];
const wires: BrokerClient[] = [];
let lived: ReturnType<typeof openLivedClock>;
let clock: Clock;
beforeEach(() => {
  lived = openLivedClock(); // deadlines are short in these tests
  clock = lived.clock;
});
afterEach(async () => {
  lived.close();
  await Promise.all(wires.splice(0).map((client) => client.close()));
  await Promise.all(servers.splice(0).map((server) => new Promise((resolve) => server.close(resolve))));
});

async function serve(answer: (socket: net.Socket) => void): Promise<string> {
  const sockets = new Set<net.Socket>();
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => sockets.delete(socket));
    answer(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const close = server.close.bind(server);
  server.close = (done) => {
    for (const socket of sockets) socket.destroy();
    return close(done);
  };
  servers.push(server);
  return `127.0.0.1:${(server.address() as AddressInfo).port}`; // it listens on TCP
}

function open(brokers: readonly string[], more: Partial<KafkajsOptions> = {}): BrokerClient {
  const random = { next: () => 0 }; // picks the first address first
  const client = openKafkajs({ brokers, clientId: 'test', clock, random, ...more });
  wires.push(client);
  return client;
}

async function refusal(work: Promise<unknown>): Promise<KafkaError> {
  const error: unknown = await work.then(
    (value) => new Error(`resolved: ${inspect(value)}`),
    (reason: unknown) => reason,
  );
  if (!(error instanceof KafkaError)) throw error;
  return error;
}

async function timed<T>(work: Promise<T>): Promise<[T, number]> {
  const tookMs = await livedMs(work);
  return [await work, tookMs];
}

/** Answers ApiVersions and Metadata as a cluster of one broker at `port`, and nothing else. */
function pretend(port: number, answerRest: (socket: net.Socket, correlation: number) => void = () => undefined) {
  return (socket: net.Socket): void => {
    socket.on('data', (data) => {
      const [key, correlation] = [data.readInt16BE(4), data.readInt32BE(8)];
      const head = Buffer.alloc(8);
      head.writeInt32BE(correlation, 4);
      const reply = (body: Buffer): void => {
        head.writeInt32BE(4 + body.length, 0);
        socket.write(Buffer.concat([head, body]));
      };
      const portBytes = Buffer.alloc(4);
      portBytes.writeInt32BE(port);
      const node = Buffer.concat([Buffer.from('00000001', 'hex'), Buffer.from('\0\t127.0.0.1'), portBytes]);
      if (key === 18) reply(Buffer.from('00000000000000000000', 'hex'));
      else if (key === 3)
        reply(
          Buffer.concat([
            Buffer.from('0000000000000001', 'hex'),
            node,
            Buffer.from('ffff', 'hex'),
            Buffer.from('ffff0000000100000000', 'hex'),
          ]),
        );
      else answerRest(socket, correlation);
    });
  };
}
const portOf = (place: string): number => Number(place.split(':')[1]);

describe('the broker client', () => {
  it('rejects with the address of a server that accepts and never answers', async () => {
    const silent = await serve(() => undefined);
    const [error, tookMs] = await timed(refusal(open([silent]).metadata(null, 300)));
    expect(error).toMatchObject({ code: 'CONNECTION', retriable: true, fatal: false, uncertain: false });
    expect(error.message).toContain(silent);
    expect(tookMs).toBeLessThan(1_000);
  });

  it('requests metadata from the next broker when one is silent, and prefers it afterwards', async () => {
    const silent = await serve(() => undefined);
    let port = 0;
    const good = await serve((socket) => pretend(port)(socket));
    port = portOf(good);
    const client = open([silent, good]);
    const startMs = performance.now();
    const first = await client.metadata([]);
    expect(first.nodes).toEqual([{ node: 1, host: '127.0.0.1', port }]);
    expect(performance.now() - startMs).toBeGreaterThan(1_500); // the timeout of one broker
    const [, secondMs] = await timed(client.metadata([]));
    expect(secondMs).toBeLessThan(1_000);
  });

  it('requests metadata from the brokers in turn, because a partitioned one returns outdated metadata', async () => {
    const asked: string[] = [];
    const places: string[] = [];
    for (const name of ['a', 'b', 'c']) {
      const place = await serve((socket) => {
        socket.on('data', (data) => void (data.readInt16BE(4) === 3 && asked.push(name)));
        pretend(portOf(places[0] ?? ''))(socket);
      });
      places.push(place);
    }
    const client = open(places);
    for (let n = 0; n < 6; n++) await client.metadata([]);
    expect(asked).toEqual(['a', 'b', 'c', 'a', 'b', 'c']);
  });

  it('closes a connection after a timeout, rejects its other requests, and reconnects', async () => {
    let [port, connections] = [0, 0];
    const place = await serve((socket) => {
      connections++;
      pretend(port)(socket);
    });
    port = portOf(place);
    const client = open([place]);
    await client.metadata([]);
    const at = { node: 1, channel: 'produce' } as const;
    const batch = [{ topic: 't', partition: 0, records: [{ key: null, value: Buffer.from('x'), headers: {} }] }];
    const [late, other] = await Promise.all([
      refusal(client.produce(at, batch, 200)),
      refusal(client.produce(at, batch, 5_000)),
    ]);
    expect(late).toMatchObject({ code: 'DEADLINE', uncertain: true, retriable: true });
    expect(other).toMatchObject({ code: 'CONNECTION', uncertain: true });
    expect(connections).toBe(2);
    expect((await refusal(client.produce(at, batch, 100))).code).toBe('DEADLINE');
    expect(connections).toBe(3);
  });

  it('rejects a request to an unknown broker as certainly not sent', async () => {
    const gone = await serve(() => undefined);
    const client = open([gone]);
    const batch = [{ topic: 't', partition: 0, records: [{ key: null, value: null, headers: {} }] }];
    const unknown = await refusal(client.produce({ node: 7, channel: 'produce' }, batch, 100));
    expect(unknown).toMatchObject({ code: 'UNKNOWN_NODE', uncertain: false, step: 'leader' });
  });

  it('rejects an answer that violates the protocol', async () => {
    let port = 0;
    const place = await serve((socket) =>
      pretend(port, (to, correlation) => {
        const bytes = Buffer.from('0000000e00000000' + '00000000' + '0000' + '7fffffff', 'hex'); // a list of 2^31 - 1
        bytes.writeInt32BE(correlation, 4);
        to.write(bytes);
      })(socket),
    );
    port = portOf(place);
    const client = open([place]);
    await client.metadata([]);
    const error = await refusal(client.listGroups({ node: 1, channel: 'admin' }, 500));
    expect(error).toMatchObject({ code: 'UNDECODABLE', step: 'rejected' });
  });

  it('returns UNVERIFIED for a partition that the answer of a Produce omits', async () => {
    let port = 0;
    const place = await serve((socket) =>
      pretend(port, (to, correlation) => {
        const bytes = Buffer.from('0000000c00000000' + '00000000' + '00000000', 'hex'); // no topics, no throttling
        bytes.writeInt32BE(correlation, 4);
        to.write(bytes);
      })(socket),
    );
    port = portOf(place);
    const client = open([place]);
    await client.metadata([]);
    const batch = { topic: 't', partition: 3, records: [{ key: null, value: null, headers: {} }] };
    const [answer] = await client.produce({ node: 1, channel: 'produce' }, [batch], 1_000);
    expect(answer).toMatchObject({ topic: 't', partition: 3, offset: -1 });
    expect(answer?.error).toMatchObject({ code: 'UNVERIFIED', uncertain: true, retriable: true });
  });

  it('pauses and reports a throttled connection, and rejects requests that cannot wait as not sent', async () => {
    let [port, connections, throttleMs] = [0, 0, 600];
    const place = await serve((socket) => {
      connections++;
      pretend(port, (to, correlation) => {
        const bytes = Buffer.from('0000000e00000000' + '00000000' + '0000' + '00000000', 'hex'); // no groups
        bytes.writeInt32BE(correlation, 4);
        bytes.writeInt32BE(throttleMs, 8);
        to.write(bytes);
      })(socket);
    });
    port = portOf(place);
    const throttled: [string, number][] = [];
    const client = open([place], { throttled: (request, ms) => void throttled.push([request, ms]) });
    await client.metadata([]);
    const at = { node: 1, channel: 'admin' } as const;
    expect(await client.listGroups(at, 5_000)).toEqual([]);
    expect(throttled).toEqual([['ListGroups', 600]]);
    const refused = await refusal(client.listGroups(at, 100));
    expect(refused).toMatchObject({ code: 'THROTTLING_QUOTA_EXCEEDED', uncertain: false, retriable: true });
    throttleMs = 0;
    const before = connections;
    expect(await livedMs(client.listGroups(at, 5_000))).toBeGreaterThan(200);
    expect(connections).toBe(before);
    expect(throttled).toHaveLength(1);
  });

  it('sets no timer while it is idle', async () => {
    let port = 0;
    const place = await serve((socket) => pretend(port)(socket));
    port = portOf(place);
    await open([place]).metadata([]);
    const set = jest.spyOn(globalThis, 'setTimeout');
    const end = performance.now() + 50;
    while (performance.now() < end) await new Promise((resolve) => setImmediate(resolve));
    const count = set.mock.calls.length;
    set.mockRestore();
    expect(count).toBe(0);
  });

  it('rejects with CONNECTION when the server is not a broker', async () => {
    const web = await serve((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
    const noise = await serve((socket) => socket.write(Buffer.from('7fffffff00', 'hex')));
    expect(await refusal(open([web]).metadata([], 500))).toMatchObject({ code: 'CONNECTION' });
    expect(await refusal(open([noise]).metadata([], 500))).toMatchObject({ code: 'CONNECTION' });
  });

  it.each(['00000000', '00000002aaaa', 'fffffffc00000000', '80000000aabbccdd', '7fffffff00', '06400001'])(
    'closes the connection when %s arrives instead of an answer, and recovers',
    async (frame) => {
      const greeting = await serve((socket) => socket.write(Buffer.from(frame, 'hex')));
      const [error, tookMs] = await timed(refusal(open([greeting]).metadata([], 3_000)));
      expect(error).toMatchObject({ code: 'CONNECTION', retriable: true, fatal: false });
      expect(error.message).toContain(`${greeting}: its response is not one of a Kafka broker`);
      expect(tookMs).toBeLessThan(1_000); // it does not wait for the announced bytes

      let port = 0;
      const broken = await serve((socket) => pretend(port, (to) => to.write(Buffer.from(frame, 'hex')))(socket));
      port = portOf(broken);
      const client = open([broken]);
      await client.metadata([]);
      const at = { node: 1, channel: 'produce' } as const;
      const batch = [{ topic: 't', partition: 0, records: [{ key: null, value: Buffer.from('x'), headers: {} }] }];
      expect(await refusal(client.produce(at, batch, 3_000))).toMatchObject({ code: 'CONNECTION', uncertain: true });
      expect((await client.metadata([])).nodes).toHaveLength(1);
    },
  );

  it('reconnects for the next fetch only after a damaged batch', async () => {
    const records = [{ key: null, value: Buffer.from('x'), headers: {} }];
    const { bytes, sizes } = measureBatch(records);
    const batch = Buffer.alloc(bytes);
    writeBatch(batch, 0, records, sizes, 0);
    const damages = [false, false, true, false];
    let [port, connections] = [0, 0];
    const place = await serve((socket) => {
      connections++;
      pretend(port, (to, correlation) => {
        const sent = Buffer.from(batch);
        if (damages.shift()) sent[bytes - 1]! ^= 1;
        const body = new Writer().i32(correlation).i32(0).i16(0).i32(0);
        body.list(['t'], (topic) => {
          body.text(topic).list([0], (partition) => {
            body
              .i32(partition)
              .i16(0)
              .i64(1)
              .i64(1)
              .i64(0)
              .list([], () => undefined)
              .i32(-1)
              .blob(sent);
          });
        });
        to.write(Buffer.concat([new Writer().i32(body.bytes.length).bytes, body.bytes]));
      })(socket);
    });
    port = portOf(place);
    const client = open([place]);
    await client.metadata([]);
    const partitions = [{ topic: 't', partition: 0, offset: 0, bytesMax: 100 }];
    const seen: unknown[] = [];
    for (let n = 0; n < 4; n++) {
      const [found] = await client.fetch({ node: 1, channel: 'work' }, { partitions, maxWaitMs: 0, bytesMax: 100 });
      seen.push([connections, found?.error?.code, found?.records.length]);
    }
    expect(seen).toEqual([
      [2, undefined, 1],
      [2, undefined, 1],
      [2, 'CORRUPT_MESSAGE', 0],
      [3, undefined, 1],
    ]);
  });

  it('closes within 100 ms despite a silent server, and rejects pending requests', async () => {
    const silent = await serve(() => undefined);
    const client = open([silent]);
    const waiting = refusal(client.metadata([], 5_000));
    const [, tookMs] = await timed(client.close());
    expect(tookMs).toBeLessThan(100);
    expect((await waiting).code).toBe('CLOSED');
    expect((await refusal(client.metadata([]))).code).toBe('CLOSED');
  });

  it('resolves an aborted fetch immediately without records', async () => {
    let port = 0;
    const place = await serve((socket) => pretend(port)(socket));
    port = portOf(place);
    const client = open([place]);
    await client.metadata([]);
    const taken = new AbortController();
    const ask = {
      partitions: [{ topic: 't', partition: 0, offset: 0, bytesMax: 100 }],
      maxWaitMs: 60_000,
      bytesMax: 100,
    };
    const fetching = client.fetch({ node: 1, channel: 'tails' }, ask, taken.signal);
    setImmediate(() => taken.abort());
    expect(await fetching).toEqual([]);
  });
});

describe('secrets', () => {
  const login = (password: { env: string } | { file: string }) =>
    ({ sasl: { mechanism: 'PLAIN', username: 'alice', password } }) as const;

  it('are reported with their variable or file when they are missing', async () => {
    const silent = await serve(() => undefined);
    const missing = await refusal(open([silent], { security: login({ env: 'BUSBAR_NO_SUCH' }) }).metadata([]));
    expect(missing).toMatchObject({ code: 'SECRET', fatal: true });
    expect(missing.message).toContain('BUSBAR_NO_SUCH');
    const noFile = await refusal(open([silent], { security: login({ file: '/nowhere/secret' }) }).metadata([]));
    expect(noFile.message).toContain('/nowhere/secret');
    const noCa = await refusal(open([silent], { security: { tls: { caFile: '/nowhere/ca' } } }).metadata([]));
    expect(noCa).toMatchObject({ code: 'SECRET', fatal: true });
  });

  it('do not appear in a printed client or error', async () => {
    process.env.BUSBAR_TEST_SECRET = 'hush-hush';
    const silent = await serve(() => undefined);
    const client = open([silent], { security: login({ env: 'BUSBAR_TEST_SECRET' }), random: systemRandom });
    const error = await refusal(client.metadata([], 100));
    delete process.env.BUSBAR_TEST_SECRET;
    expect(inspect([client, error], { depth: 20, showHidden: true })).not.toContain('hush-hush');
  });
});
