import { playLeaders } from '../simulation/leaders';
import { plants } from '../simulation/plants';

/** A few seeds; the simulator runs this scenario for every fifteenth of its own. */
const seeds = Array.from({ length: 10 }, (_, n) => n + 1);

/** Returns the violations of one run. */
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

describe('leader moves under light traffic', () => {
  it.each(seeds)('leave no partition unread, whichever component refreshed the metadata: seed %d', async (seed) => {
    expect(await brokenBy(seed)).toEqual([]);
  });

  it('reveal a process whose components miss metadata refreshes of each other', async () => {
    const found = [...(await brokenBy(14, 'deaf')), ...(await brokenBy(18, 'deaf')), ...(await brokenBy(31, 'deaf'))];
    expect(found).not.toEqual([]);
  });
});
