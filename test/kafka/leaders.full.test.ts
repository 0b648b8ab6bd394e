import { View } from '../../src/kafka/view';
import { runLeaders } from './leadersrun';

const seeds = Array.from({ length: 40 }, (_, n) => n + 1);

afterEach(() => jest.restoreAllMocks());

describe('while leaders move and little is sent', () => {
  it.each(seeds)('every partition is read on, whichever part refreshed the metadata: seed %d', async (seed) => {
    const { late, heard } = await runLeaders(seed);
    expect(late).toEqual([]);
    expect(heard.filter((notice) => notice.type === 'state' && notice.reason.includes('no fetch was sent'))).toEqual(
      [],
    );
  });

  it('finds a fetcher that does not plan again when other parts refresh the metadata', async () => {
    jest.spyOn(View.prototype, 'watch').mockImplementation(() => () => undefined);
    const found: number[] = [];
    for (const seed of [14, 18, 31]) if ((await runLeaders(seed)).late.length > 0) found.push(seed);
    expect(found).not.toEqual([]);
  });
});
