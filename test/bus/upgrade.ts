/** Rolling upgrade of a module in processes: the new version serves an entry that the old one does not know. */
import { join } from 'node:path';
import { z } from 'zod';
import type { BusGiven } from '../../src/options';
import { defineModule, work } from '../../src/index';
import { openScene, type Scene } from './processes';

const job = z.object({ n: z.number() });
const pack = work(job, { key: ({ n }) => `k${n % 60}` });
const wrap = work(job, { key: ({ n }) => `k${n % 60}` });
export const older = defineModule('depot', { pack });
export const newer = defineModule('depot', { pack, wrap });

/**
 * The longest time from the acceptance of a job to the end of its handler while both versions run, including a hand-
 * over.
 */
const waitMsMax = 10_000;
const jobs = 100;

/** Runs the upgrade on the transport given by `more`. */
export function upgrades(more: () => BusGiven): void {
  let scene: Scene;
  beforeEach(() => (scene = openScene(more(), join(__dirname, 'upgradechild.ts'))));
  afterEach(() => scene.close());

  test('jobs of a new entry run before old instances leave, without loss or repetition', async () => {
    const bus = await scene.open('web');
    const old = await scene.start('old');
    const partitionsOf = (pid: number): number =>
      scene.lines().reduce((sum, { pid: one, text }) => {
        if (one !== pid) return sum;
        return sum + (text.startsWith('taken') ? 1 : /^(?:given|lost) /.test(text) ? -1 : 0);
      }, 0);
    await scene.until(() => partitionsOf(old.pid) === 12);
    const young = await scene.start('new');
    await scene.until(() => partitionsOf(young.pid) === 6);

    const acceptedMs = new Map<string, number>();
    const submit = async (entry: 'pack' | 'wrap', from: number): Promise<void> => {
      for (let n = from; n < from + jobs; n++) {
        await bus.submit(newer[entry], { n });
        acceptedMs.set(`${entry} ${n}`, Date.now());
      }
    };
    const handled = (): string[] => scene.ledger().flatMap((line) => /^(?:old|new) (.+)/.exec(line)?.[1] ?? []);
    await Promise.all([submit('wrap', 0), submit('pack', 0)]);
    await scene.until(() => new Set(handled()).size === 2 * jobs, 60_000);
    const waits = scene.lines().flatMap(({ text, atMs }) => {
      const [, name = ''] = /^(?:old|new) (.+)/.exec(text) ?? [];
      return acceptedMs.has(name) ? [atMs - (acceptedMs.get(name) ?? 0)] : [];
    });
    expect(Math.max(...waits)).toBeLessThan(waitMsMax);
    expect(scene.ledger().filter((line) => line.startsWith('old wrap'))).toEqual([]);

    const leaving = Promise.all([submit('wrap', jobs), submit('pack', jobs)]);
    old.kill('SIGTERM');
    expect(await old.ended).toBe(0);
    await leaving;
    await scene.until(() => new Set(handled()).size === 4 * jobs, 60_000);
    expect(handled()).toHaveLength(4 * jobs);
    for (const entry of ['pack', 'wrap']) {
      for (let key = 0; key < 60; key++) {
        const numbers = handled().flatMap((line) => {
          const [name, n] = [line.split(' ')[0], Number(line.split(' ')[1])];
          return name === entry && n % 60 === key ? [n] : [];
        });
        expect(numbers).toEqual(numbers.toSorted((a, b) => a - b));
      }
    }
  });

  test('a job of an unserved entry waits, and is handled once an instance serves it', async () => {
    const bus = await scene.open('web');
    await scene.start('old');
    await bus.submit(newer.wrap, { n: 1 });
    const startMs = Date.now();
    await scene.start('new');
    await scene.until(() => scene.ledger().includes('new wrap 1'), 60_000);
    expect(Date.now() - startMs).toBeLessThan(60_000);
  });
}
