/** Parking on brokers that reject the parked record because of max.message.bytes. */
import { openNotices, type Notice } from '../../src/base/notices';
import { openScopes } from '../../src/delivery/context';
import { findParked } from '../../src/work/parked/find';
import { consumeQueue } from '../../src/work/queue/consumer';
import { group, jobs, parked, topic } from '../support/work-queue';
import { FakeKafka } from '../support/fake-kafka-log';

const { resize } = jobs({ attempts: 1 });
const value = (n: number, padBytes = 0): Uint8Array =>
  Buffer.from(JSON.stringify({ n, key: 'k', ...(padBytes > 0 && { pad: 'x'.repeat(padBytes) }) }));
const record = (id: string, bytes: Uint8Array) => {
  const bus = `1 work photos.resize ${id} web#a -`;
  return { partition: 3, key: Buffer.from('k'), value: bytes, headers: { bus } };
};

let kafka: FakeKafka;
beforeEach(() => (kafka = new FakeKafka()));
afterEach(() => kafka.close());

/** Opens a queue on the cluster, whose odd jobs are parked. */
async function work(seen: number[]) {
  const { log } = kafka.process('photos');
  const notices = openNotices();
  const heard: Notice[] = [];
  notices.watch((notice) => heard.push(notice));
  const { clock } = kafka;
  const self = { module: 'photos', instance: 'photos#a' };
  const random = { next: () => 0.5 };
  const parts = { clock, notices, scopes: openScopes(), middleware: [], log, random, self, version: '1' };
  const run = (body: unknown): void => {
    const { n } = body as { n: number }; // `value` writes this body
    if (n % 2) throw new Error(`odd ${n}`);
    seen.push(n);
  };
  const entries = new Map([[resize.name, { entry: resize, run }]]);
  const queue = { name: 'photos.work', topic, group, parkedTopic: parked, entries, other: 'hold' } as const;
  return { log, heard, taken: await kafka.run(consumeQueue(parts, queue)) };
}

test.each([
  ['the client, with 3 MB from a compressed batch', 3_000_000, '1200000'],
  ['the broker, with a lower limit of the parked topic', 50_000, '20000'],
])('a message too large to park because of %s is parked as a stub', async (_why, padBytes, limit) => {
  const seen: number[] = [];
  const { log, heard, taken } = await work(seen);
  const configs = kafka.cluster.topics.get(parked.name)?.configs ?? {};
  configs['max.message.bytes'] = limit;
  const large = value(1, padBytes);
  // A broker that does not decompress batches delivers records larger than it would accept uncompressed.
  const place = kafka.cluster.partition({ topic: topic.name, partition: 3 });
  place.records.push({ ...record('large', large), offset: place.end++, timeMs: 0 });
  await kafka.run(log.append(topic.name, [record('small', value(2))]));
  await kafka.until(() => seen.length === 1, 10_000, 'the neighbor is handled');
  const found = await kafka.run(findParked(log, parked.name));
  expect(found).toMatchObject([{ note: { id: 'large', reason: expect.any(String), stub: { bytes: large.length } } }]);
  expect(heard.filter(({ type }) => type === 'state')).toEqual([]);
  await kafka.run(taken.close());
});
