import { FakeBench, max, record, valuesOf } from '../support/fake-kafka-log';

let bench: FakeBench;
beforeEach(() => (bench = new FakeBench()));
afterEach(() => bench.close());

describe('a peek', () => {
  it('sends one request when there are records at its place', async () => {
    const { log, topic } = await bench.open(1);
    await bench.run(log.append(topic, [record('a'), record('b')]));
    await bench.run(log.peek(topic, { partition: 0, offset: 0 }, max)); // the topic is described once
    const before = bench.cluster.requests.length;
    const found = await bench.run(log.peek(topic, { partition: 0, offset: 1 }, max));
    expect(valuesOf(found)).toEqual(['b']);
    expect(bench.cluster.requests.slice(before).map(({ name }) => name)).toEqual(['fetch']);
  });

  it('waits for a leader that does not know yet which of its records can be read', async () => {
    const { log, topic } = await bench.open(1);
    await bench.run(log.append(topic, [record('a'), record('b')]));
    const partition = bench.cluster.partition({ topic, partition: 0 });
    partition.high = 0; // it was just elected
    const peeking = bench.watch(log.peek(topic, { partition: 0, offset: 0 }, max));
    await bench.clock.advance(2_000);
    expect(peeking.settled).toBe(false);
    delete partition.high;
    await bench.until(() => peeking.settled);
    expect(valuesOf(peeking.value)).toEqual(['a', 'b']);
  });

  it('begins with the first record when its place was trimmed, and finds nothing beyond the end', async () => {
    const { log, topic } = await bench.open(1);
    await bench.run(log.append(topic, [record('a'), record('b')]));
    await bench.run(log.trim(topic, 0, 1));
    const peek = (offset: number) => bench.run(log.peek(topic, { partition: 0, offset }, max));
    expect(valuesOf(await peek(0))).toEqual(['b']);
    expect([await peek(2), await peek(9)]).toEqual([[], []]);
  });
});
