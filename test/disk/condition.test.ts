/** The condition of a store: the fault that is reported to its handles. */
import { Condition } from '../../src/disk/condition';

test('a listener is called on being added only when there is a fault', () => {
  const condition = new Condition('/log');
  const [early, late] = [jest.fn(), jest.fn()];
  condition.onChange(early);
  expect(early).not.toHaveBeenCalled();
  condition.setPassing('the disk is full');
  condition.onChange(late);
  expect(late.mock.calls).toEqual([[{ reason: 'the disk is full', final: false }]]);
  condition.break('cut');
  expect(early.mock.calls).toEqual([[{ reason: 'the disk is full', final: false }], [{ reason: 'cut', final: true }]]);
  expect(late).toHaveBeenLastCalledWith({ reason: 'cut', final: true });
});
