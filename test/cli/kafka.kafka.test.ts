/** The command on Kafka and ZooKeeper: it inspects and repairs queues of a cluster, and counts exactly despite offset gaps. */
import { Kafka, logLevel } from 'kafkajs';
import { kafkaSuite } from '../cluster/suite';
import { besideOthers, jsonLines, shopCommand, rows } from '../support/command';

kafkaSuite('the command on a cluster', (suite) => {
  let k: ReturnType<typeof shopCommand>;
  let seller: Awaited<ReturnType<typeof k.shop>>;
  const ids: string[] = [];
  beforeAll(async () => {
    const { brokers, zookeeper } = suite.cluster;
    const ns = suite.namespace;
    const servers = { BUSBAR_BROKERS: brokers, BUSBAR_ZOOKEEPER: zookeeper };
    const more = { BUSBAR_TRANSPORT: 'kafka', ...servers, BUSBAR_NS: ns, BUSBAR_SESSION_MS: '6000' };
    k = besideOthers(shopCommand(more));
    seller = await k.shop();
    const first = await seller.pack([
      { key: 'a', do: 'done' },
      { key: 'a', do: 'park' },
      { key: 'b', do: 'fail' },
    ]);
    ids.push(...first);
    await k.eventually(['queues', 'shop.work'], ({ out }) => rows(out)[0]?.['PARKED'] === '2');
  });
  afterAll(() => k?.close());

  test('status, queues and instances print the current state', async () => {
    // Retried, because a slow instance that does not answer within two seconds is a worse alarm than parked messages.
    const status = await k.eventually([], ({ code }) => code === 1);
    expect(rows(status.out)).toMatchObject([
      { ABOUT: 'shop.work', MESSAGE: expect.stringMatching(/^2 messages are parked: /) },
    ]);
    expect(status.err).toBe('');
    const hanging = await seller.pack([
      { key: 'c', do: 'hang' },
      { key: 'c', do: 'done' },
    ]);
    ids.push(...hanging);
    const queues = await k.eventually(['queues'], ({ out }) => rows(out)[2]?.['RUNNING'] === '1');
    expect(queues.code).toBe(0);
    expect(rows(queues.out)).toMatchObject([
      { QUEUE: 'shop.bills', STATE: 'caught up', WAITING: '0', PARKED: '0', INSTANCES: '1' },
      { QUEUE: 'shop.index', 'LISTENS TO': 'shop.sold' },
      { QUEUE: 'shop.work', STATE: 'working', WAITING: '1', RUNNING: '1', PARKED: '2', INSTANCES: '1' },
    ]);
    const byKey = rows((await k.run(['queues', 'shop.work', '--by', 'key'])).out);
    expect(byKey).toMatchObject([{ KEY: 'c', WAITING: '1', RUNNING: '1', FIRST: ids[3] }]);
    const newest = await k.run(['peek', 'shop.work', '--newest', '-n', '1', '-o', 'jsonl']);
    expect(jsonLines(newest.out)).toMatchObject([{ id: ids[4] }]);
    const instances = await k.eventually(['instances', 'shop', '-o', 'jsonl'], ({ code }) => code === 0);
    expect(jsonLines(instances.out)).toMatchObject([{ module: 'shop', pid: seller.child.pid, silent: null }]);
  });

  test('peek, parked and show print single messages', async () => {
    const runs = ({ out }: { out: string }): boolean => rows(out)[0]?.['IT']?.endsWith('packing') ?? false;
    const peeked = rows((await k.eventually(['peek', 'shop.pack'], runs)).out);
    expect(peeked).toMatchObject([
      { ID: ids[3], KEY: 'c' },
      { ID: ids[4], IT: `behind ${ids[3]}` },
    ]);
    expect(peeked[0]?.['IT']).toMatch(/^runs on shop#\w+: packing$/);
    const parked = await k.run(['parked', '--each', '--key', 'b']);
    expect(rows(parked.out)).toMatchObject([{ ID: ids[2], TRIED: '2', KEY: 'b' }]);
    const shown = await k.run(['show', ids[2] ?? '', '-o', 'table']);
    expect(shown.out).toContain('connect ECONNREFUSED store:443');
    expect(shown.err).toContain(`busbar replay shop.work ${ids[2]}`);
    expect((await k.run(['show', ids[0] ?? '', '-o', 'table'])).out).toMatch(/shop\.work +settled/);
  });

  test('tail follows new messages, and request and submit reach the shop', async () => {
    const going = k.start(['tail', 'shop', '-o', 'jsonl', '--since', '1h', '--key', 'live']);
    await seller.pack([{ key: 'live', do: 'done' }]);
    await going.until(/"key":"live"/);
    going.child.kill('SIGINT');
    expect((await going.ended).code).toBe(130);
    const price = await k.run(['request', 'shop.price', '{"item": "egg"}']);
    expect(price).toMatchObject({ code: 0, out: expect.stringContaining('300') });
    const sent = await k.run(['submit', 'shop.pack', '{"key": "d", "do": "done"}']);
    expect(sent.code).toBe(0);
  });

  test('replay and drop remove the chosen messages from the parked ones', async () => {
    const dry = await k.run(['replay', 'shop.work', '--all', '--dry-run', '-o', 'jsonl']);
    expect(jsonLines(dry.out).map(({ state }) => state)).toEqual(['still parked', 'still parked']);
    const went = await k.run(['replay', 'shop.work', ids[2] ?? '', '--yes']);
    expect(rows(went.out)).toMatchObject([{ ID: ids[2], STATE: 'replayed' }]);
    // The message fails again, and is parked again under the same id.
    const again = await k.eventually(['parked', '--each', '--key', 'b', '-o', 'jsonl'], ({ out }) => out !== '');
    expect(jsonLines(again.out)).toMatchObject([{ id: ids[2], replay: 1 }]);
    const dropped = await k.run(['drop', 'shop.work', '--all', '--yes']);
    expect(dropped.code).toBe(0);
    expect((await k.run(['parked'])).code).toBe(1);
  });

  test('transaction markers and aborted messages of other producers do not count as waiting', async () => {
    const client = new Kafka({ brokers: suite.cluster.brokers.split(','), logLevel: logLevel.NOTHING });
    const producer = client.producer({ transactionalId: `${suite.namespace}-tx`, maxInFlightRequests: 1 });
    await producer.connect();
    const topic = `${suite.namespace}.shop.work.bills`;
    const bus = '1 work shop.bill';
    for (const [n, end] of (['commit', 'abort', 'commit'] as const).entries()) {
      const transaction = await producer.transaction();
      const messages = [{ value: '{"amount": 1}', partition: 0, headers: { bus: `${bus} tx${n} ledger -` } }];
      await transaction.send({ topic, messages });
      await transaction[end]();
    }
    await producer.disconnect();
    // The ends are written only after the commit resolves.
    const show = ['show', 'tx2', '-o', 'table'];
    expect((await k.eventually(show, ({ out }) => / settled/.test(out))).out).toMatch(/shop\.bills +settled/);
    const bills = (ended: { out: string }): Record<string, string> | undefined => rows(ended.out)[0];
    const settled = await k.eventually(['queues', 'shop.bills'], (ended) => bills(ended)?.['WAITING'] === '0');
    expect(bills(settled)).toMatchObject({ STATE: 'caught up', WAITING: '0', PARKED: '0' });
    expect((await k.run(['show', 'tx1'])).code).toBe(1);
  });

  test('a message without an instance is critical, and a missing namespace or cluster is unreachable', async () => {
    seller.child.kill('SIGKILL');
    expect((await k.run(['submit', 'shop.pack', '{}', '--unchecked', '--key', 'q'])).code).toBe(0);
    const { code, out } = await k.eventually([], (ended) => ended.out.includes('no instance'));
    expect({ code, rows: rows(out) }).toMatchObject({ code: 2, rows: [{ WHAT: 'no instance', ABOUT: 'shop.work' }] });
    const nowhere = await k.run(['queues', '--ns', 'nowhere']);
    expect(nowhere).toMatchObject({
      code: 69,
      err: expect.stringContaining('no bus was ever opened with ns nowhere'),
    });
    const away = await k.run(['queues'], { env: { BUSBAR_ZOOKEEPER: '127.0.0.1:1' } });
    expect(away).toMatchObject({ code: 69, err: expect.stringContaining('127.0.0.1:1') });
    const refused = await k.run(['queues'], { env: { BUSBAR_BROKERS: '127.0.0.1:1,127.0.0.1:2' } });
    const says = 'no broker is reachable: no server listens at 127.0.0.1:1,127.0.0.1:2 (ECONNREFUSED)';
    expect(refused).toMatchObject({ code: 69, err: expect.stringContaining(says) });
  });
});
