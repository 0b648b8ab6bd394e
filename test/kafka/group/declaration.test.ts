import { Declaration } from '../../../src/kafka/group/declaration';
import { entryHash } from '../../../src/kafka/group/subscription';
import { virtualClock } from '../../../src/memory/clock';

const partitions = { owned: [0], revoking: [1], busy: [2], had: [3, 4] };

function declaration(serves?: readonly string[]) {
  const clock = virtualClock();
  const reasons: string[] = [];
  const declared = new Declaration({ clock, instance: 'one', serves, changed: (reason) => void reasons.push(reason) });
  return { clock, declared, reasons };
}

describe('the declaration of a member', () => {
  it('contains its partitions, and the hashes of its entries', () => {
    const { declared } = declaration(['a.b']);
    expect(declared.next(7, true, partitions)).toEqual({
      instance: 'one',
      round: 7,
      owned: [0],
      giving: [1],
      busy: [2],
      leaving: true,
      had: [3, 4],
      serves: [entryHash('a.b')],
      misses: new Map(),
    });
    expect(declared.had).toEqual([3, 4]);
  });

  it('reports a released partition after 20 ms', async () => {
    const { clock, declared, reasons } = declaration();
    declared.released();
    await clock.advance(19);
    expect(reasons).toEqual([]);
    await clock.advance(1);
    expect(reasons).toEqual(['it has released a partition']);
  });

  it('reports no released partition that a new declaration contains', async () => {
    const { clock, declared, reasons } = declaration();
    declared.released();
    declared.next(1, false, partitions);
    await clock.advance(1_000);
    expect(reasons).toEqual([]);
  });

  it('reports entries that it does not serve, unless the partition is assigned to it again', async () => {
    const { clock, declared, reasons } = declaration([]);
    declared.miss(5, ['c.d']);
    await clock.advance(20);
    expect(reasons).toEqual(['messages of a partition wait that it does not serve']);
    expect(declared.next(1, false, partitions).misses.get(5)).toEqual([entryHash('c.d')]);
    declared.miss(6, ['c.d']);
    declared.assigned(6);
    await clock.advance(1_000);
    expect(reasons).toHaveLength(1);
  });
});
