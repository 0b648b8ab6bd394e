import { FakeKafka, max, record, valuesOf } from '../support/fake-kafka-log';

let kafka: FakeKafka;
beforeEach(() => (kafka = new FakeKafka()));
afterEach(() => kafka.close());

describe('a peek', () => {
  it('sends one request when there are records at its place', async () => {
    const { log, topic } = await kafka.open(1);
    await kafka.run(log.append(topic, [record('a'), record('b')]));
    await kafka.run(log.peek(topic, { partition: 0, offset: 0 }, max)); // the topic is described once
    const before = kafka.cluster.requests.length;
    const found = await kafka.run(log.peek(topic, { partition: 0, offset: 1 }, max));
    expect(valuesOf(found)).toEqual(['b']);
    expect(kafka.cluster.requests.slice(before).map(({ name }) => name)).toEqual(['fetch']);
  });

  it('waits for a leader that does not know yet which of its records can be read', async () => {
    const { log, topic } = await kafka.open(1);
    await kafka.run(log.append(topic, [record('a'), record('b')]));
    const partition = kafka.cluster.partition({ topic, partition: 0 });
    partition.high = 0; // it was just elected
    const peeking = kafka.watch(log.peek(topic, { partition: 0, offset: 0 }, max));
    await kafka.clock.advance(2_000);
    expect(peeking.settled).toBe(false);
    delete partition.high;
    await kafka.until(() => peeking.settled);
    expect(valuesOf(peeking.value)).toEqual(['a', 'b']);
  });

  it('begins with the first record when its place was trimmed, and finds nothing beyond the end', async () => {
    const { log, topic } = await kafka.open(1);
    await kafka.run(log.append(topic, [record('a'), record('b')]));
    await kafka.run(log.trim(topic, 0, 1));
    const peek = (offset: number) => kafka.run(log.peek(topic, { partition: 0, offset }, max));
    expect(valuesOf(await peek(0))).toEqual(['b']);
    expect([await peek(2), await peek(9)]).toEqual([[], []]);
  });
});
