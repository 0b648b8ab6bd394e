import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const root = join(__dirname, '..');
const readme = readFileSync(join(root, 'README.md'), 'utf8');
const blocks = readme.matchAll(/<!-- promises -->\n([^]*?)<!-- end of promises -->/g);
const promises = [...blocks].map(([, lines = '']) => lines.trim()).join('\n');

test('each promise of README names a test that is there', () => {
  const lines = promises.split('\n');
  expect(lines.length).toBeGreaterThan(20);
  const missing = lines.flatMap((line) => {
    const [, number = '', file = '', titles = ''] = /^(\d+)\. (\S+): (.+)$/.exec(line) ?? [];
    const text = file ? readFileSync(join(root, file), 'utf8') : '';
    return titles
      .split('; ')
      .filter((title) => !text.includes(`'${title}'`))
      .map((title) => `${number}. ${file}: ${title}`);
  });
  expect(missing).toEqual([]);
});

test('each number in the table of promises has its line', () => {
  const digits = '⁰¹²³⁴⁵⁶⁷⁸⁹';
  const plain = (number: string): string => Array.from(number, (digit) => digits.indexOf(digit)).join('');
  const used = [...readme.matchAll(/[⁰¹²³⁴⁵⁶⁷⁸⁹]+/g)].map(([number]) => plain(number));
  const listed = [...promises.matchAll(/^(\d+)\./gm)].map(([, number]) => number);
  expect(new Set(used)).toEqual(new Set(listed));
  expect(used).toHaveLength(listed.length);
});

test('every file that README names is there', () => {
  const files = [...readme.matchAll(/\b(?:src|test|modules|scripts)\/[\w/.-]+\.(?:ts|mjs)\b/g)].map(([file]) => file);
  const missing = [...new Set(files)].filter((file) => {
    try {
      readFileSync(join(root, file));
      return false;
    } catch {
      return true;
    }
  });
  expect(missing).toEqual([]);
});
