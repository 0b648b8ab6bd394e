import { playLeaders } from '../simulation/leaders';
import { plants } from '../simulation/plants';

/** A few; the simulator plays this for each fifteenth of its seeds. */
const seeds = Array.from({ length: 10 }, (_, n) => n + 1);

/** What a run finds broken. */
async function brokenBy(seed: number, plant?: string): Promise<readonly string[]> {
  const broken: string[] = [];
  const ledger = {
    breaks: (_: string, what: string) => broken.push(what),
    count: () => undefined,
    note: () => undefined,
  };
  await playLeaders(seed, ledger, plant === undefined ? undefined : plants[plant]);
  return broken;
}

describe('while leaders move and little is sent', () => {
  it.each(seeds)('every partition is read on, whichever part refreshed the metadata: seed %d', async (seed) => {
    expect(await brokenBy(seed)).toEqual([]);
  });

  it('finds a process whose parts do not notice when another one refreshes the metadata', async () => {
    const found = [...(await brokenBy(14, 'deaf')), ...(await brokenBy(18, 'deaf')), ...(await brokenBy(31, 'deaf'))];
    expect(found).not.toEqual([]);
  });
});
