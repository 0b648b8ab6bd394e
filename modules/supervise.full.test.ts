import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Supervisor } from './supervise';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'bb-'));
  writeFileSync(join(folder, 'leave.js'), '');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Returns the first lines printed about a process with this script. */
async function printed(script: string, count: number): Promise<readonly string[]> {
  writeFileSync(join(folder, 'one.js'), script);
  const lines: string[] = [];
  let enough = (): void => undefined;
  const come = new Promise<void>((resolve) => (enough = resolve));
  const print = (name: string, line: string): void => {
    if (lines.push(`${name}: ${line}`) === count) enough();
  };
  const gaveUp = (name: string): void => print(name, 'given up');
  const supervisor = new Supervisor({ folder, env: process.env, print, gaveUp });
  supervisor.start({ name: 'one', script: 'one.js' });
  await come;
  await supervisor.stop();
  return lines.slice(0, count);
}

test('a process with an invalid configuration is not restarted, and reported once', async () => {
  expect(await printed('process.exit(78)', 2)).toEqual([
    'one: its configuration is wrong: not started again',
    'one: given up',
  ]);
});

test('a process that fails is restarted with growing delays', async () => {
  expect(await printed('process.exit(1)', 2)).toEqual([
    'one: ended with exit code 1; starts again in 200 ms (1 of 8 times within a minute)',
    'one: ended with exit code 1; starts again in 400 ms (2 of 8 times within a minute)',
  ]);
});
