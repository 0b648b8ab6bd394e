import { BusError } from '../../../src/base/errors';
import { ParkSignal } from '../../../src/delivery/context';
import { decide, Refused } from '../../../src/work/queue/retry-policy';
import type { RetryOptions } from '../../../src/work/types';

const always = (value: number) => ({ next: () => value });
const most = always(0.999_999);

const waitsOf = (options: RetryOptions, value: number): number[] => {
  const waits: number[] = [];
  for (let attempt = 1; ; attempt++) {
    const decision = decide(options, attempt, new Error('no'), always(value));
    if ('park' in decision) return waits;
    waits.push(decision.againMs);
  }
};
const sum = (numbers: readonly number[]): number => numbers.reduce((all, one) => all + one, 0);

test('the wait is 50-100 % of backoffMs, doubled with each attempt up to a minute', () => {
  const options = { attempts: 9, backoffMs: 1_000 };
  expect(waitsOf(options, 0.999_999)).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
  expect(waitsOf(options, 0)).toEqual([500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
  expect(waitsOf(options, 0.5)).toEqual([750, 1_500, 3_000, 6_000, 12_000, 24_000, 45_000, 45_000]);
  for (const backoffMs of [0, 1, 2, 3]) {
    const [least = 0, most = 0] = [0, 0.999_999].flatMap((value) => waitsOf({ attempts: 2, backoffMs }, value));
    expect([least >= backoffMs / 2, most]).toEqual([true, backoffMs]);
  }
});

test('a backoffMs above one minute is kept, and not doubled', () => {
  const hourMs = 3_600_000;
  expect(waitsOf({ attempts: 3, backoffMs: hourMs }, 0.999_999_999)).toEqual([hourMs, hourMs]);
  expect(waitsOf({ attempts: 3, backoffMs: hourMs }, 0)).toEqual([hourMs / 2, hourMs / 2]);
});

test('the default attempts span 61.5 to 123 seconds', () => {
  expect(sum(waitsOf({}, 0))).toBe(61_500);
  expect(sum(waitsOf({}, 0.999_999))).toBe(123_000);
});

test('decide parks after the last attempt, the eighth by default, with the error', () => {
  expect(decide({}, 7, new Error('no'), most)).toEqual({ againMs: 60_000 });
  const thrown = new Error('no disk');
  expect(decide({}, 8, thrown, most)).toEqual({ park: 'attempt 8 of 8 failed: no disk', thrown });
  const parked = { park: 'attempt 1 of 1 failed: text', thrown: 'text' };
  expect(decide({ attempts: 1 }, 1, 'text', most)).toEqual(parked);
});

test('decide parks immediately after ParkSignal and Refused', () => {
  expect(decide({}, 1, new ParkSignal('no such photo'), most)).toEqual({ park: 'no such photo' });
  expect(decide({}, 1, new Refused('not readable'), most)).toEqual({ park: 'not readable' });
});

test('an Invalid from a call within the handler is retried like any error', () => {
  const elsewhere = new BusError('Invalid', 'input of other.entry', { side: 'input', issues: [] });
  expect(decide({}, 1, elsewhere, most)).toEqual({ againMs: 1_000 });
});
