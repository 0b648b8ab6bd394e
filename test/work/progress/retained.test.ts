import { emptyState, encodeState } from '../../../src/work/progress/commit-state';
import { Retained } from '../../../src/work/progress/retained';

const message = (offset: number) => ({ lane: null, offset, id: `m${offset}` });
const commitAt = (offset: number) => ({ offset, state: encodeState(offset, emptyState(offset), 1_000) });

test('a new ownership forgets finished messages settled in the log, and keeps the others', () => {
  const retained = new Retained();
  retained.recall(commitAt(3), () => undefined);
  for (const offset of [5, 10]) retained.outlives(message(offset));
  retained.leave(undefined); // the log has all that was settled before
  for (const offset of [5, 10]) retained.ended(message(offset), true);
  const begin = retained.recall(commitAt(7), () => undefined); // another process went on
  expect(begin).toMatchObject({ offset: 7, ahead: false });
  expect([5, 10].map((offset) => retained.isDone(message(offset)))).toEqual([false, true]);
});
