import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join, normalize } from 'node:path';
import { busCodes } from '../src/base/errors';
import { anchors, page, pages, root, withoutCode } from './documentation';

const documentation = pages();
const text = documentation.map((one) => one.text).join('\n');
const blocks = page('docs/guarantees.md').text.matchAll(/<!-- promises -->\n([^]*?)<!-- end of promises -->/g);
const promises = [...blocks].map(([, lines = '']) => lines.trim()).join('\n');

test('each promise of docs/guarantees.md names a test that exists', () => {
  const lines = promises.split('\n');
  expect(lines.length).toBeGreaterThan(50);
  const missing = lines.flatMap((line) => {
    const [, number = '', file = '', titles = ''] = /^(\d+)\. (\S+): (.+)$/.exec(line) ?? [];
    const source = file ? readFileSync(join(root, file), 'utf8') : '';
    return titles
      .split('; ')
      .filter((title) => !source.includes(`'${title}'`))
      .map((title) => `${number}. ${file}: ${title}`);
  });
  expect(missing).toEqual([]);
});

test('each raised number of the documentation is cited once and has one promise', () => {
  const digits = '⁰¹²³⁴⁵⁶⁷⁸⁹';
  const plain = (number: string): string => Array.from(number, (digit) => digits.indexOf(digit)).join('');
  const used = [...text.matchAll(/[⁰¹²³⁴⁵⁶⁷⁸⁹]+/g)].map(([number]) => plain(number));
  const listed = [...promises.matchAll(/^(\d+)\./gm)].map(([, number]) => number);
  expect(new Set(used)).toEqual(new Set(listed));
  expect(listed.filter((number, n) => listed.indexOf(number) !== n)).toEqual([]);
  expect(used).toHaveLength(listed.length);
});

test('every file that the documentation names exists', () => {
  const files = [...text.matchAll(/\b(?:src|test|modules|examples|scripts)\/[\w/.-]+\.(?:ts|mjs)\b/g)].map(
    ([file]) => file,
  );
  expect(files.length).toBeGreaterThan(20);
  expect([...new Set(files)].filter((file) => !existsSync(join(root, file)))).toEqual([]);
});

test('README has at most 200 lines', () => {
  expect(page('README.md').text.trimEnd().split('\n').length).toBeLessThanOrEqual(200);
});

test('every relative link points to a file, and to a heading of it', () => {
  const links = documentation.flatMap(({ file, text: source }) =>
    [...withoutCode(source).matchAll(/\]\(([^)\s]+)\)/g)].map(([, to = '']) => ({ file, to })),
  );
  const relative = links.filter(({ to }) => !/^[a-z]+:/.test(to));
  expect(relative.length).toBeGreaterThan(50);
  const broken = relative.filter(({ file, to }) => {
    const [path = '', anchor] = to.split('#');
    const target = path === '' ? file : normalize(join(dirname(file), path));
    if (target.startsWith('..') || !existsSync(join(root, target))) return true;
    return anchor !== undefined && !anchors(page(target).text).has(anchor);
  });
  expect(broken).toEqual([]);
});

test('every other page is linked from README', () => {
  const readme = page('README.md').text;
  const unlinked = documentation.filter(({ file }) => file !== 'README.md' && !readme.includes(`](${file})`));
  expect(unlinked.map(({ file }) => file)).toEqual([]);
});

test('every page of docs/ begins with what its reader can do after reading it', () => {
  const others = documentation.filter(({ file }) => file.startsWith('docs/'));
  expect(others.filter((one) => !/^# .+\n\nAfter this page you /.test(one.text)).map(({ file }) => file)).toEqual([]);
});

test('every page of docs/ above 100 lines has a table of contents with all chapters', () => {
  const twoScreens = 100;
  const long = documentation.filter(
    (one) => one.file.startsWith('docs/') && one.text.trimEnd().split('\n').length > twoScreens,
  );
  const missing = long.flatMap(({ file, text: source }) => {
    const chapters = [...withoutCode(source).matchAll(/^## .+$/gm)].flatMap(([heading]) => [...anchors(heading)]);
    return chapters.filter((anchor) => !source.includes(`](#${anchor})`)).map((anchor) => `${file}#${anchor}`);
  });
  expect(missing).toEqual([]);
});

test('tables have at most five columns and 160 characters a row, except the generated one', () => {
  const wrong = documentation.flatMap(({ file, text: source }) => {
    const written = withoutCode(source).replace(/<!-- options -->[^]*?<!-- end of options -->/, '');
    const rows = written.split('\n').filter((line) => line.startsWith('|'));
    const tooWide = rows.filter((row) => row.length > 160 || row.split(/(?<!\\)\|/).length - 2 > 5);
    return tooWide.map((row) => `${file}: ${row.slice(0, 80)}`);
  });
  expect(wrong).toEqual([]);
});

test('docs/architecture.md names only existing files and folders of src', () => {
  const { text: source } = page('docs/architecture.md');
  const existing = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' });
  const names = new Set(existing.map((file) => basename(file)));
  const named = [...source.matchAll(/`([a-z0-9-]+\.ts|[a-z0-9-]+(?=\/`))/g)].map(([, name = '']) => name);
  expect(named.length).toBeGreaterThan(100);
  expect(named.filter((name) => !names.has(name))).toEqual([]);
});

test('docs/architecture.md names each file of the folders that it describes', () => {
  const { text: source } = page('docs/architecture.md');
  const folders = ['embedded', 'kafka', 'zookeeper', 'work', 'request', 'broadcast', 'bus'];
  const files = folders.flatMap((folder) =>
    readdirSync(join(root, 'src', folder), { recursive: true, encoding: 'utf8' }).map((file) => basename(file)),
  );
  const described = files.filter((name) => /(?<!\.d)\.ts$/.test(name) && !name.endsWith('-requests.ts'));
  expect(described.length).toBeGreaterThan(150);
  expect(described.filter((name) => !source.includes(`\`${name}\``))).toEqual([]);
});

test('docs/errors.md has an entry for each code', () => {
  const codes = Object.keys(busCodes);
  const entries = [...page('docs/errors.md').text.matchAll(/^### (\w+)$/gm)].map(([, code]) => code);
  expect(new Set(entries)).toEqual(new Set(codes));
  expect(entries).toHaveLength(codes.length);
});
