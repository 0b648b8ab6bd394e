/** A chain of three modules whose processes are killed: each effect of the last module happens once. */
import path from 'node:path';
import { defineModule, event, unchecked, work } from '../../src/index';
import type { BusGiven } from '../../src/options';
import { openScene, type Scene, type Shop } from './processes';

export interface Step {
  readonly n: number;
}
const key = ({ n }: Step) => `${n}`;
/** Few keys, so that the copies of a key stand behind each other in one partition. */
const few = { key: ({ n }: Step) => `${n % 5}` };

export const first = defineModule('first', {
  take: work(unchecked<Step>(), { key, backoffMs: 50 }),
  taken: event(unchecked<Step>(), { key }),
});
export const second = defineModule('second', {});
export const third = defineModule('third', { effect: work(unchecked<Step>(), few) });

/** Handlers of these steps never end in the processes that are killed. */
export const hangs = ({ n }: Step): boolean => n % 3 === 0;

const rounds = 3;
const perRound = 60;

export function chains(options: () => BusGiven): void {
  let scene: Scene;
  beforeEach(() => {
    scene = openScene(options(), path.join(__dirname, 'chainchild.ts'));
  });
  afterEach(() => scene.close());

  const end = async (process: Shop, signal: 'SIGKILL' | 'SIGTERM'): Promise<void> => {
    process.kill(signal);
    await process.ended;
  };
  /** Numbers in the lines that begin with this word. */
  const numbers = (word: string): number[] =>
    scene.ledger().flatMap((text) => (text.startsWith(`${word} `) ? Number(text.slice(word.length + 1)) : []));
  const all = (word: string, count: number): Promise<number> =>
    scene.until(() => new Set(numbers(word).filter(Number.isFinite)).size >= count);

  it('kill -9 in the handlers of two modules repeats no effect of the third, also after it has moved', async () => {
    const bus = await scene.open('web');
    let last = await scene.start('third');
    for (let round = 1; round <= rounds; round++) {
      const killed = [await scene.start('second hangs'), await scene.start('first hangs')];
      const steps = Array.from({ length: perRound }, (_, n) => ({ n: (round - 1) * perRound + n }));
      await bus.submitAll(first.take, steps);
      await all('effect', round * perRound); // so each handler has sent its step, and a third of them hang
      await end(last, 'SIGTERM'); // it commits everything, and the next owner begins without memory
      for (const one of killed) await end(one, 'SIGKILL');
      last = await scene.start('third');
      const others = [await scene.start('second'), await scene.start('first')];
      for (const word of ['first', 'second']) await all(word, round * perRound);
      // A kill would make the next process run the uncommitted steps alone, each after a wait for those that hang.
      for (const one of others) await end(one, 'SIGTERM');
    }
    // One more step in each lane. Before it stand all copies of the lane.
    const marks = Array.from({ length: 5 }, (_, n) => ({ n: 1_000_000 + n }));
    await bus.submitAll(third.effect, marks);
    await all('effect', rounds * perRound + marks.length);
    const effects = numbers('effect').filter((n) => n < 1_000_000);
    expect(effects).toHaveLength(rounds * perRound);
    expect(new Set(effects).size).toBe(rounds * perRound);
    const copies = scene.ledger().filter((text) => text.startsWith('third drops it is a copy of'));
    expect(copies.length).toBeGreaterThanOrEqual((rounds * perRound) / 3);
  });
}
