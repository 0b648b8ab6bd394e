import { FetchBuffer } from '../../../src/kafka/consume/fetch-buffer';
import { requestFor } from '../../../src/kafka/consume/fetch-request';

const position = (topic: string, partition: number, from: number): FetchBuffer =>
  new FetchBuffer(topic, partition, from, () => undefined);

describe('a fetch request', () => {
  it('contains each partition once, for all positions at its offset', () => {
    const [first, second, other] = [position('t', 0, 5), position('t', 0, 5), position('t', 1, 7)];
    const { asks, apart } = requestFor([first, second, other], 1_000);
    expect(asks).toEqual([
      { topic: 't', partition: 0, offset: 5, bytesMax: 1_000, members: [first, second] },
      { topic: 't', partition: 1, offset: 7, bytesMax: 1_000, members: [other] },
    ]);
    expect(apart).toBe(false);
  });

  it('starts at the offset of the first position if those of a partition differ', () => {
    const { asks, apart } = requestFor([position('t', 0, 5), position('t', 0, 9)], 1_000);
    expect([asks[0]?.offset, asks.length, apart]).toEqual([5, 1, true]);
  });
});
