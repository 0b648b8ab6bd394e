/** The condition of a store: the fault that a handle is notified of. */
import { Condition } from '../../src/disk/condition';

test('a listener that is added after a fault is called with it, and one without a fault is not called', () => {
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
