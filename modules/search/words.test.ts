import { appendFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Words, wordsOf } from './words';

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'busbar-words-'));
  path = join(folder, 'search', 'words.jsonl');
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const photo = (id: string, text: string, addedAtMs = 0) => ({ id, addedAtMs, words: wordsOf(text) });

test('words are lower-case letters and digits without accents', () => {
  expect(wordsOf('Zürich-2024, zurich Straße.jpg')).toEqual(['zurich', '2024', 'straße', 'jpg']);
});

test('a photo is found when every search word starts one of its words', async () => {
  const words = new Words(path);
  await words.add(photo('a', 'Dawn over the ridge', 1));
  await words.add(photo('b', 'Dawn at sea', 2));
  expect(await words.find('daw', 10)).toEqual(['b', 'a']);
  expect(await words.find('RIDGE daw', 10)).toEqual(['a']);
  expect(await words.find('dawn desert', 10)).toEqual([]);
  expect(await words.find('daw', 1)).toEqual(['b']);
  expect(await words.find(' ,', 10)).toEqual([]);
});

test('a photo that one instance adds is found by another one', async () => {
  const [one, other] = [new Words(path), new Words(path)];
  expect(await other.find('eiger', 10)).toEqual([]);
  await one.add(photo('a', 'Eiger'));
  expect(await other.find('eiger', 10)).toEqual(['a']);
});

test('a repeated event changes nothing', async () => {
  const words = new Words(path);
  await words.add(photo('a', 'Eiger'));
  await words.add(photo('a', 'Eiger'));
  expect(await words.find('eiger', 10)).toEqual(['a']);
});

test('a partial line of a killed writer does not affect the lines around it', async () => {
  const words = new Words(path);
  await words.add(photo('a', 'Eiger'));
  await appendFile(path, '\n{"id":"b","wor');
  await words.add(photo('c', 'Eiger', 1));
  expect(await words.find('eiger', 10)).toEqual(['c', 'a']);
  expect(await new Words(path).find('eiger', 10)).toEqual(['c', 'a']);
});
