import { BusError } from '../../src/base/errors';
import { ParkSignal } from '../../src/delivery/context';
import { decide, Refused } from '../../src/work/retry';

const always = (value: number) => ({ next: () => value });
const most = always(0.999_999);

test('waits at most backoffMs, doubled with each attempt up to a minute, and any time from 0', () => {
  const options = { attempts: 20, backoffMs: 1_000 };
  const waits = [1, 2, 3, 6, 7, 19].map((attempt) => decide(options, attempt, new Error('no'), most));
  expect(waits).toEqual([1_000, 2_000, 4_000, 32_000, 60_000, 60_000].map((againMs) => ({ againMs })));
  expect(decide(options, 3, new Error('no'), always(0))).toEqual({ againMs: 0 });
  expect(decide(options, 3, new Error('no'), always(0.5))).toEqual({ againMs: 2_000 });
});

test('parks after the last attempt, naming it and the error; five unless the entry says otherwise', () => {
  expect(decide({}, 4, new Error('no'), most)).toEqual({ againMs: 8_000 });
  const thrown = new Error('no disk');
  expect(decide({}, 5, thrown, most)).toEqual({ park: 'attempt 5 of 5 failed: no disk', thrown });
  const parked = { park: 'attempt 1 of 1 failed: text', thrown: 'text' };
  expect(decide({ attempts: 1 }, 1, 'text', most)).toEqual(parked);
});

test('parks at once when the handler asks for it, or when the message can never be handled', () => {
  expect(decide({}, 1, new ParkSignal('no such photo'), most)).toEqual({ park: 'no such photo' });
  expect(decide({}, 1, new Refused('not readable'), most)).toEqual({ park: 'not readable' });
});

test('an Invalid that the handler met elsewhere is an error like any other', () => {
  const elsewhere = new BusError('Invalid', 'input of other.entry', { side: 'input', issues: [] });
  expect(decide({}, 1, elsewhere, most)).toEqual({ againMs: 1_000 });
});
