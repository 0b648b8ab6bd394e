/** The simulator finds every planted bug, no other violation, and the command prints the results. */
import { spawn, type ChildProcess } from 'node:child_process';
import path from 'node:path';
import { plants } from './plants';
import { runSeries } from './pool';
import type { Promised } from './promises';
import { runSeed, type Outcome } from './run';

const root = path.join(__dirname, '..', '..');
const seedsMax = 500;
/** Every planted bug is found within this many seeds. */
const plantedSeedsMax = 300;
/** The search for a plant starts this many seeds before the one that found it last, which costs less than from the first. */
const margin = 2;
jest.setTimeout(600_000); // many seeds on a possibly busy machine

describe('without a plant', () => {
  const found: Outcome[] = [];
  const totals = new Map<string, number>();

  beforeAll(async () => {
    await runSeries({
      from: 1,
      seeds: seedsMax,
      plant: undefined,
      tell(outcome) {
        if (outcome.broken.length > 0) found.push(outcome);
        for (const [what, count] of outcome.counts) totals.set(what, (totals.get(what) ?? 0) + count);
        return true;
      },
    });
  });

  it('finds no broken promise in any seed', () => {
    expect(found.map(({ seed, broken }) => ({ seed, broken }))).toEqual([]);
  });

  it('runs messages of every fate, and injects faults of every kind', () => {
    const kinds = ['crash', 'crash-after', 'crash-before', 'delay', 'disconnect', 'double', 'drop', 'expire', 'freeze']
      .concat([
        'failed call',
        'late answer',
        'leave',
        'lost answer',
        'no group',
        'no log',
        'rebalance',
        'resend',
        'leader moved',
        'slow log',
        'files removed',
        'store refuses',
        'spool away',
        'spool torn list',
        'spool crash',
        'spool expire',
        'spool freeze',
        'spool leave',
        'spool machine',
        'spool rebalance',
        'disk full',
        'server double',
        'server delay',
        'server written',
        'server not written',
      ])
      .map((kind) => `fault ${kind}`);
    const fates = [
      'accepted',
      'unknown',
      'refused',
      'settled',
      'attempts failed',
      'heard',
      'answered',
      'deaths',
      'stubs',
      'spool parked',
      'spool places',
    ];
    expect([...kinds, ...fates].filter((what) => (totals.get(what) ?? 0) < 10)).toEqual([]);
  });
});

describe('with a plant', () => {
  /** Returns a seed with which the plant breaks the given promise. Seeds below `lastFound` are tried last. */
  async function caughtAt(name: string, promise: Promised, lastFound: number): Promise<number> {
    const first = Math.max(1, lastFound - margin);
    for (let n = 0; n < plantedSeedsMax; n++) {
      const seed = ((first + n - 1) % plantedSeedsMax) + 1;
      const { broken } = await runSeed(seed, plants[name]);
      if (broken.some((one) => one.promise === promise)) return seed;
    }
    return Infinity;
  }
  /** The plants, the promise that each breaks, and a seed that has found it. */
  const planted: readonly (readonly [string, Promised, number])[] = [
    ['commit-first', 'commit', 1],
    ['commit-max', 'commit', 2],
    ['no-filter', 'twice', 2],
    ['committed-senders', 'twice', 8],
    ['two-owners', 'owner', 1],
    ['lost-wakeup', 'drained', 2],
    ['surely-not', 'refused', 178],
    ['whole-only', 'drained', 12],
    ['age-only', 'lost', 44],
    ['no-sequence', 'twice', 1],
    ['same-sequence', 'lost', 1],
    ['deaf', 'fetched', 1],
    ['forgetful', 'twice', 7],
    ['unblocked', 'keys', 189],
    ['never-full', 'unkept', 32],
    ['silent-store', 'health', 12],
    ['memory-ids', 'twice', 1],
    ['unlisted', 'listed', 18],
    ['ack-before-sync', 'lost', 1],
    ['parallel-drain', 'owner', 1],
    ['overtaking-drain', 'lost', 1],
    ['refused-drain-commit', 'unsent', 18],
    ['lost-marker', 'lost', 1],
  ];

  it.each(planted)('%s is found', async (name, promise, lastFound) => {
    expect(await caughtAt(name, promise, lastFound)).toBeLessThanOrEqual(plantedSeedsMax);
  });
  it('every plant has a promise', () => {
    expect(planted.map(([name]) => name)).toEqual(Object.keys(plants));
  });
});

describe('a seed', () => {
  it('produces the same run each time, event by event', async () => {
    for (const seed of [3, 17, 170, 1_700]) {
      const first = await runSeed(seed);
      const second = await runSeed(seed);
      expect(second.lines).toEqual(first.lines);
      expect(second.hash).toBe(first.hash);
    }
  });

  it('produces the same run on another thread, after other seeds', async () => {
    const hashes: string[] = [];
    const tell = ({ hash }: Outcome): boolean => hashes.push(hash) > 0;
    await runSeries({ from: 40, seeds: 30, plant: undefined, tell });
    expect(hashes).toHaveLength(30);
    for (const seed of [40, 55, 69]) expect((await runSeed(seed)).hash).toBe(hashes[seed - 40]);
  });

  it('produces a different run than the next seed', async () => {
    expect((await runSeed(5)).hash).not.toBe((await runSeed(6)).hash);
  });
});

describe('the command', () => {
  const children: ChildProcess[] = [];
  afterEach(() => {
    for (const child of children.splice(0)) child.kill('SIGKILL');
  });
  const simulate = (...args: string[]): ChildProcess => {
    const child = spawn(process.execPath, ['scripts/simulate.mjs', ...args], { cwd: root });
    children.push(child);
    return child;
  };
  const ended = async (child: ChildProcess): Promise<{ code: number | null; out: string; errors: string }> => {
    let [out, errors] = ['', ''];
    child.stdout?.on('data', (some: Buffer) => (out += some.toString()));
    child.stderr?.on('data', (some: Buffer) => (errors += some.toString()));
    return new Promise((resolve) => child.once('close', (code) => resolve({ code, out, errors })));
  };

  it('exits 0 and prints its totals when no violation was found', async () => {
    const { code, out } = await ended(simulate('--seeds', '5', '--from', '30'));
    expect(code).toBe(0);
    expect(out).toMatch(/^5 of 5 seeds, [\d.]+\/s\nmessages: \d+ accepted.*\nhandled: .*\nrequests: .*\nfaults: \w+/);
  });

  it('exits 1 and prints the seed, the broken promise and a command that reproduces it', async () => {
    const { code, out } = await ended(simulate('--seeds', '300', '--plant', 'commit-max'));
    expect(code).toBe(1);
    const [, seed, promise, again] = /\nseed (\d+) breaks: (.+)\nagain: npm run simulate -- (.+)\n$/.exec(out) ?? [];
    expect(again).toBe(`--seeds 1 --from ${seed} --plant commit-max`);
    const second = await ended(simulate(...(again ?? '').split(' ')));
    expect(second.code).toBe(1);
    expect(second.out).toContain(`seed ${seed} breaks: ${promise}`);
  });

  it('exits 64 and prints its usage when its arguments are invalid', async () => {
    const { code, errors } = await ended(simulate('--seeds', '0', '--plant', 'no-such'));
    expect(code).toBe(64);
    expect(errors).toMatch(
      /--seeds 0 is not a number of seeds; --plant no-such is none of commit-first, .*\nnpm run simu/,
    );
  });

  it('stops at Ctrl-C and prints the totals so far', async () => {
    const child = simulate('--seeds', '100000');
    const end = ended(child);
    await new Promise((resolve) => child.stderr?.once('data', resolve)); // the first progress line
    child.kill('SIGINT');
    const { code, out } = await end;
    expect(code).toBe(130);
    expect(out).toMatch(/^\d+ of 100000 seeds, [\d.]+\/s, stopped\nmessages: /);
  });
});
