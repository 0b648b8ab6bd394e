/** Detects every change of a folder, although file systems have coarse timestamps. */
import fs from 'node:fs';
import path from 'node:path';
import { systemClock } from '../../../src/base/clock';
import { FolderChanges } from '../../../src/embedded/directory/folder-changes';
import { cleanUp, freshDirectory } from '../../support/embedded-buses';

afterEach(cleanUp);

function open(dir: string): { changes: FolderChanges; at: (nowMs: number) => void } {
  let nowMs = 0;
  const clock = { ...systemClock, now: () => nowMs };
  return { changes: new FolderChanges(dir, clock), at: (ms) => (nowMs = ms) };
}
const touch = (dir: string, atMs: number): void => fs.utimesSync(dir, atMs / 1000, atMs / 1000);

test('a folder that has not changed for a while is not reread', () => {
  const dir = freshDirectory();
  const { changes, at } = open(dir);
  touch(dir, 1_000_000);
  at(1_005_000);
  expect([changes.look(), changes.look(), changes.look()]).toEqual([true, false, false]);
  touch(dir, 1_006_000);
  at(1_007_000);
  expect([changes.look(), changes.look()]).toEqual([true, false]);
});
test('a folder that has just changed is reread, because timestamps are coarse', () => {
  const dir = freshDirectory();
  const { changes, at } = open(dir);
  touch(dir, 1_000_000);
  at(1_000_004);
  expect([changes.look(), changes.look()]).toEqual([true, true]);
  at(1_000_100);
  expect([changes.look(), changes.look()]).toEqual([true, false]);
});
test('adding or removing an entry is a change', () => {
  const dir = freshDirectory();
  const { changes, at } = open(dir);
  at(Date.now() + 10_000);
  changes.look();
  for (const change of [fs.mkdirSync, fs.rmdirSync]) {
    touch(dir, 1_000_000);
    changes.look();
    change(path.join(dir, 'x'));
    expect(changes.look()).toBe(true);
  }
});
