import { sizeText, spanText } from '../../src/format/amounts';

test('sizes and durations use the largest fitting unit, without trailing zeros', () => {
  expect([0, 1023, 1024, 1_500_000, 1024 ** 3, 2.54 * 1024 ** 3].map(sizeText)).toEqual([
    '0 B',
    '1023 B',
    '1 KiB',
    '1.4 MiB',
    '1 GiB',
    '2.5 GiB',
  ]);
  expect([0.4, 999, 1_000, 90_000, 5_400_000, 7 * 86_400_000].map(spanText)).toEqual([
    '0 ms',
    '999 ms',
    '1 s',
    '1.5 min',
    '1.5 h',
    '7 d',
  ]);
});
