/** Foreign clients write messages of the documented format into a work topic, and malformed ones beside them. */
import { randomBytes } from 'node:crypto';
import { CompressionCodecs, CompressionTypes, type Message } from 'kafkajs';
import { kafkaSuite } from '../cluster/suite';
import { runTool } from '../cluster/tools';
import { quickest } from '../elapsed';
import { foreignClients, type ForeignClients } from '../support/foreign-clients';
import { longestHold } from '../support/kafka-client';

/** `{ n }` in MessagePack, for n up to 127. */
const packed = (n: number): Buffer => Buffer.from([0x81, 0xa1, 0x6e, n]);
const job = (id: string): string => `1 work press.print ${id} cron -`;

kafkaSuite(
  'foreign clients',
  (suite) => {
    let clients: ForeignClients;
    beforeEach(() => (clients = foreignClients(suite)));
    afterEach(() => clients.close());
    const ns = (): number[] => clients.printed.map(({ n }) => n).toSorted((a, b) => a - b);

    test('a plain kafkajs producer submits messages with and without the busbar header', async () => {
      await clients.serve();
      const stamped = `1 work press.print mine-3 cron 00000000000000aa:1 sentMs=1`;
      await clients.produce(
        { key: '1', value: packed(1), headers: { bus: job('mine-1') } },
        { key: '2', value: '{"n": 2}', headers: { bus: job('mine-2') } },
        { key: '3', value: packed(3), headers: { bus: stamped } },
        { key: '3', value: packed(3), headers: { bus: stamped } }, // the same stamp again
        { key: '4', value: packed(4) },
        { value: '{"n": 5}' },
      );
      await clients.produce({ key: '3', value: packed(6) });
      await clients.until(
        'all were printed',
        () => clients.printed.some(({ n }) => n === 6) && clients.printed.length >= 6,
      );
      expect(ns()).toEqual([1, 2, 3, 4, 5, 6]);
      const idOf = (wanted: number): string | undefined => clients.printed.find(({ n }) => n === wanted)?.id;
      expect([1, 2, 3].map(idOf)).toEqual(['mine-1', 'mine-2', 'mine-3']);
      for (const n of [4, 5, 6])
        expect(idOf(n)).toMatch(new RegExp(`^${clients.topic.replaceAll('.', '\\.')}/\\d+/\\d+$`));
      expect(clients.printed.find(({ n }) => n === 1)?.from).toBe('cron');
      expect(await clients.parked()).toEqual([]);
    });

    test("Kafka's console producer submits JSON with the busbar header and any compression", async () => {
      await clients.serve();
      const args = ['--topic', clients.topic, '--property', 'parse.headers=true', '--property', 'parse.key=true'];
      const line = (n: number): string => `bus:${job(`java-${n}`)}\t${n}\t{"n": ${n}}\n`;
      const codecs = ['none', 'zstd', 'lz4'];
      await Promise.all(
        codecs.map((codec, i) =>
          runTool(suite.cluster, 'producer', [...args, '--compression-codec', codec], line(2 * i) + line(2 * i + 1)),
        ),
      );
      await clients.until('all were printed', () => clients.printed.length === 6);
      expect(ns()).toEqual([0, 1, 2, 3, 4, 5]);
      expect(clients.printed.find(({ n }) => n === 3)?.id).toBe('java-3');
    });

    const large = Buffer.alloc(1_131_900, 0xc1);
    const garbage: readonly (readonly [string, Message, string])[] = [
      ['random bytes', { value: Buffer.concat([Buffer.of(0xc1), randomBytes(500)]) }, 'cannot be decoded'],
      ['no MessagePack', { value: Buffer.from([0x82, 0xa1]), headers: { bus: job('short') } }, 'cannot be decoded'],
      ['no JSON', { value: '{"n": 1', headers: { bus: job('cut') } }, 'cannot be decoded'],
      ['another body', { value: '{"m": 1}', headers: { bus: job('other') } }, 'n'],
      ['an envelope that is none', { value: packed(1), headers: { bus: 'hello' } }, 'its header cannot be decoded'],
      ['a newer envelope', { value: packed(1), headers: { bus: '2 work press.print a b -' } }, 'newer'],
      [
        'a reply',
        { value: packed(1), headers: { bus: '1 reply press.print a b -' } },
        'cannot be handled from a queue',
      ],
      ['an envelope of bytes', { value: packed(1), headers: { bus: randomBytes(3_000) } }, 'cannot be decoded'],
      ['an envelope of a megabyte', { value: packed(1), headers: { bus: 'x'.repeat(1_000_000) } }, 'characters'],
      ['a key of a megabyte', { key: 'k'.repeat(1_000_000), value: '{}' }, 'n'],
      ['the largest record that is taken', { value: large }, 'cannot be decoded'],
    ];

    test('malformed messages are parked unchanged with the reason, and their neighbors are handled', async () => {
      await clients.serve();
      for (const [partition, [, message]] of garbage.entries()) {
        await clients.produce(
          { key: 'a', value: packed(2 * partition), partition },
          { key: 'a', ...message, partition },
          { key: 'a', value: packed(2 * partition + 1), partition },
        );
      }
      await clients.until('its neighbours were printed', () => clients.printed.length === 2 * garbage.length);
      await clients.until('all was set aside', async () => (await clients.parked()).length === garbage.length);
      const parked = new Map((await clients.parked()).map((one) => [one.note.partition, one]));
      for (const [partition, [what, { value }, says]] of garbage.entries()) {
        const { note, record } = parked.get(partition) ?? {};
        expect({ what, ...note }).toMatchObject({
          what,
          queue: 'press.work',
          topic: clients.topic,
          partition,
          offset: 1,
        });
        expect(`${what}: ${note?.reason}`).toContain(says);
        expect(Buffer.from(record?.value ?? []).equals(Buffer.from(value ?? ''))).toBe(true);
      }
    });

    test('a record without a value is skipped with a notice, and not parked', async () => {
      await clients.serve();
      await clients.produce(
        { value: packed(1), partition: 0 },
        { value: null, partition: 0 },
        { value: packed(2), partition: 0 },
      );
      await clients.until('its neighbours were printed', () => clients.printed.length === 2);
      expect(clients.heard).toContainEqual({
        type: 'dropped',
        what: `${clients.topic}/0/1`,
        reason: 'it has no value',
      });
      expect(await clients.parked()).toEqual([]);
    });

    test('the brokers reject wrongly compressed batches, and later messages are handled', async () => {
      await clients.serve();
      const before = CompressionCodecs[CompressionTypes.LZ4];
      CompressionCodecs[CompressionTypes.LZ4] = () => ({
        compress: () => Promise.resolve(Buffer.from('not lz4 at all')),
        decompress: (bytes: Buffer) => Promise.resolve(bytes),
      });
      const messages = [{ value: packed(9) }];
      const producer = await clients.producer();
      const sent = producer.send({ topic: clients.topic, messages, compression: CompressionTypes.LZ4 });
      await expect(sent).rejects.toThrow(/corrupt|CRC|unexpected|invalid|failed/i);
      CompressionCodecs[CompressionTypes.LZ4] = before;
      await clients.produce({ value: packed(1) });
      await clients.until('the next one was printed', () => clients.printed.length === 1);
      expect(ns()).toEqual([1]);
    });

    test('a record with ten thousand headers blocks the event loop for less than 100 ms', async () => {
      const stop = await clients.serve();
      await stop();
      const bomb = Object.fromEntries(Array.from({ length: 10_000 }, (_, i) => [`h${i}`, `${i}`]));
      const heldMs = async (round: number): Promise<number> => {
        await clients.produce(
          { value: packed(1), partition: 0 },
          { value: packed(99), headers: bomb, partition: 0 },
          { value: 'bomb', headers: bomb, partition: 0 },
          { value: packed(2), partition: 0 },
        );
        let stopAgain = (): Promise<void> => Promise.resolve();
        const held = await longestHold(async () => {
          stopAgain = await clients.serve();
          await clients.until('its neighbours were printed', () => clients.printed.length === 3 * round);
        });
        await stopAgain();
        expect(clients.printed.slice(-3).map(({ n }) => n)).toEqual([1, 99, 2]);
        expect(await clients.parked()).toHaveLength(round);
        return held;
      };
      expect(await quickest(100, heldMs)).toBeLessThan(100);
    });
  },
  { tools: true },
);
