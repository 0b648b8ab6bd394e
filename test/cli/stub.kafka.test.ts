/** Messages that are too large to be parked: 3 MB from a compressed batch of 3 KB, and 50 KB for a topic with a limit of 20 KB. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CompressionTypes } from 'kafkajs';
import { kafkaSuite } from '../cluster/suite';
import { foreignClients, type ForeignClients } from '../support/foreign-clients';
import { makeTopic, openClient } from '../support/kafka-client';
import { jsonLines, shopCommand, rows } from '../support/command';

jest.setTimeout(240_000); // each command is a process, and machines can be busy

/** An invalid body for the press, so that the message is parked at once. */
const misprint = (padBytes: number): string => JSON.stringify({ m: 1, pad: 'x'.repeat(padBytes) });
const job = (id: string): { bus: string } => ({ bus: `1 work press.print ${id} cron -` });

kafkaSuite('messages that are too large to be parked', (suite) => {
  let clients: ForeignClients;
  let k: ReturnType<typeof shopCommand>;
  beforeAll(() => {
    clients = foreignClients(suite);
    const { brokers, zookeeper } = suite.cluster;
    k = shopCommand({
      BUSBAR_TRANSPORT: 'kafka',
      BUSBAR_BROKERS: brokers,
      BUSBAR_ZOOKEEPER: zookeeper,
      BUSBAR_NS: clients.ns,
    });
  });
  afterAll(async () => {
    await k.close();
    await clients.close();
  });

  test('are parked as stubs, do not block others, and can be shown, replayed and dropped', async () => {
    const client = openClient(suite.cluster.brokers);
    await makeTopic(client, clients.topic, 12, { 'compression.type': 'producer' });
    await makeTopic(client, `${clients.ns}.press.parked`, 1, {
      'cleanup.policy': 'compact',
      'max.message.bytes': '20000',
    });
    await client.close();
    await clients.serve();
    const [huge, large] = [misprint(3_000_000), misprint(50_000)];
    const producer = await clients.producer();
    const messages = [{ key: 'a', value: huge, headers: job('huge'), partition: 0 }];
    await producer.send({ topic: clients.topic, messages, compression: CompressionTypes.GZIP });
    await clients.produce(
      { key: 'a', value: large, headers: job('large'), partition: 0 },
      { key: 'a', value: '{"n": 2}', headers: job('small'), partition: 0 },
    );
    await clients.until('the neighbor is printed', () => clients.printed.length === 1);
    const found = await clients.parked();
    expect(found.map(({ note }) => [note.id, note.stub?.bytes])).toEqual([
      ['huge', huge.length],
      ['large', large.length],
    ]);

    const listed = await k.run(['parked', '--each']);
    expect(rows(listed.out).map(({ ID, REASON }) => [ID, REASON?.endsWith('(only a stub is parked)')])).toEqual([
      ['huge', true],
      ['large', true],
    ]);
    const shown = await k.run(['show', 'large', '-o', 'table', '--no-body']);
    expect(shown.out).toMatch(/stub +of 50 kB \(50 016 bytes\), which could not be parked whole:/);
    expect(shown.out).toMatch(/sha256 +[0-9a-f]{64}\n +begins +\{"m":1,"pad":"xxx/);

    const went = await k.run(['replay', 'press.work', '--all', '--yes']);
    expect(went.code).toBe(3);
    expect(went.err).toMatch(/huge stays parked: a record for .* has \d+ bytes/);
    expect(rows(went.out).map(({ ID, STATE }) => [ID, STATE])).toEqual([
      ['huge', 'still parked'],
      ['large', 'replayed'],
    ]);
    const again = await k.eventually(['parked', '-o', 'jsonl'], ({ out }) => out.includes('"replay":1'));
    expect(jsonLines(again.out)).toMatchObject([
      { id: 'huge', replay: 0, stub: { bytes: huge.length } },
      { id: 'large', replay: 1, stub: { bytes: large.length } },
    ]);

    const dropped = await k.run(['drop', 'press.work', '--all', '--yes', '--export', 'all.jsonl']);
    expect(dropped.code).toBe(0);
    const kept = jsonLines(readFileSync(join(k.dir, 'all.jsonl'), 'utf8'));
    expect(kept.map(({ value }) => Buffer.from(String(value), 'base64').toString())).toEqual([huge, large]);
    expect((await k.run(['parked'])).code).toBe(1);
  });
});
