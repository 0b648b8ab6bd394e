import { age, count, oneLine, shortIds, size } from '../../src/cli/words';

test('ages are short and exact to their last unit', () => {
  const ms = [0, 999, 1_000, 59_999, 60_000, 371_000, 3_600_000, 7_800_000, 187_200_000];
  expect(ms.map(age)).toEqual(['0ms', '999ms', '1s', '59s', '1m', '6m11s', '1h', '2h10m', '2d4h']);
  expect(age(null)).toBe('–');
});

test('counts are grouped and sizes are rounded', () => {
  expect([0, 999, 1_000, 12_904, 1_000_000].map(count)).toEqual(['0', '999', '1 000', '12 904', '1 000 000']);
  expect([0, 84, 1_100, 12_345, 2_100_000, 5e12].map(size)).toEqual([
    '0 B',
    '84 B',
    '1.1 kB',
    '12 kB',
    '2.1 MB',
    '5000 GB',
  ]);
});

test('control characters are escaped', () => {
  expect(oneLine('a\u001b[2Jb\nc\u202ed\u0007')).toBe('a\\u001b[2Jb\\nc\\u202ed\\u0007');
  expect(oneLine('größe 日本 ✓')).toBe('größe 日本 ✓');
});

test('ids are cut to a unique prefix of at least ten characters', () => {
  const ids = ['01m81n91gp0tfkc3bf', '01m81n91gs0tfkc300', '01m81n91gs0tfkc301', 'short'];
  expect([...shortIds(ids).values()].toSorted()).toEqual([
    '01m81n91gp',
    '01m81n91gs0tfkc300',
    '01m81n91gs0tfkc301',
    'short',
  ]);
});
