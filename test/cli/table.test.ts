import stringWidth from 'string-width';
import { table, wrap, type Heading } from '../../src/cli/table';

const headings: readonly Heading[] = [
  { name: 'ID' },
  { name: 'N', right: true },
  { name: 'FROM', spare: 1 },
  { name: 'BODY', cut: true },
];
const row = ['01m81n91gp', '5', 'web#a02f', 'a body that is longer than any terminal is wide, said the operator'];

test('columns are aligned, numbers to the right', () => {
  expect(
    table(
      headings,
      [
        ['a', '12 904', 'b', 'c'],
        ['aa', '5', '', 'd'],
      ],
      80,
    ).lines,
  ).toEqual(['ID       N  FROM  BODY', 'a   12 904  b     c', 'aa       5        d']);
});

test('a narrow table first cuts cuttable columns, then omits spare ones and names them', () => {
  const cut = table(headings, [row], 60);
  expect(cut.lines[1]).toMatch(/^01m81n91gp {2}5 {2}web#a02f {2}a body that is longer than any.*…$/);
  expect(cut.left).toEqual([]);
  const left = table(headings, [row], 36);
  expect(left.left).toEqual(['FROM']);
  expect(left.lines[1]).toMatch(/^01m81n91gp {2}5 {2}a body that is.*…$/);
});

test('on a terminal too narrow for columns each row is a paragraph of all values', () => {
  const { lines, left } = table(headings, [row, ['b', '', '', 'x']], 28);
  expect(left).toEqual([]);
  expect(lines.slice(0, 4)).toEqual(['ID    01m81n91gp', 'N     5', 'FROM  web#a02f', 'BODY  a body that is longer']);
  expect(lines.slice(-3)).toEqual(['', 'ID    b', 'BODY  x']);
});

test.each([20, 28, 36, 40, 60, 80])('no line is wider than %i columns, also with double-width characters', (width) => {
  const wide = ['日本語のキー', '5', '写真', '日本語の本文は二倍の幅を取る 👨‍👩‍👧‍👦 '.repeat(4)];
  for (const line of table(headings, [row, wide], width).lines) expect(stringWidth(line)).toBeLessThanOrEqual(width);
});

test('texts wrap between words, and within a word only when it exceeds the width', () => {
  expect(wrap('one two three', 8)).toEqual(['one two', 'three']);
  expect(wrap('abcdefghijkl', 8)).toEqual(['abcdefgh', 'ijkl']);
});
