/** The examples that need no server: each ends by itself and prints what its README shows. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { needBuild, root } from '../scenarios/site';
import { startProgram, type Program } from './program';

let dir: string;
let program: Program | undefined;
beforeAll(needBuild, 240_000);
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'bb-example-'));
});
afterEach(async () => {
  program?.kill();
  await rm(dir, { recursive: true, force: true });
});

async function run(...args: readonly string[]): Promise<readonly string[]> {
  program = startProgram(args, { BUSBAR_DIR: dir });
  return program.ended;
}
/** Returns the output that the README of an example shows. */
async function shown(name: string): Promise<readonly string[]> {
  const readme = await readFile(join(root, 'examples', name, 'README.md'), 'utf8');
  const [, block = ''] = /^\$ node [^\n]*\n([^]*?)^```$/m.exec(readme) ?? [];
  return block.trimEnd().split('\n');
}
const sorted = (lines: readonly string[]): readonly string[] => lines.toSorted();

test('request prints a reply, a declared failure and NoHandler', async () => {
  const lines = await run('request/main.js');
  expect(lines).toEqual(await shown('request'));
  expect(lines.at(-1)).toBe('unanswered: NoHandler');
});

test('work-queue sends three mails, in the order of their key, and parks the fourth', async () => {
  const lines = await run('work-queue/main.js');
  expect(sorted(lines)).toEqual(sorted(await shown('work-queue')));
  const toAnn = lines.filter((line) => line.includes('ann'));
  expect(toAnn).toEqual(['sent to ann: welcome (attempt 1)', 'sent to ann: your order (attempt 1)']);
  expect(lines.at(-1)).toMatch(/^parked after 3 attempts: /); // its two waits are longer than the others
});

test('events keeps an order for the named listener while it is closed', async () => {
  const lines = await run('events/main.js');
  const expected = await shown('events');
  expect(sorted(lines.slice(0, 2))).toEqual(sorted(expected.slice(0, 2))); // the two listeners run side by side
  expect(lines.slice(2)).toEqual(expected.slice(2));
  expect(lines.at(-1)).toBe('mailer: order 2');
});

test('testing passes its three tests without waiting for their minutes', async () => {
  const lines = await run('--test', '--test-reporter', 'spec', 'testing/signup.test.js');
  const passed = lines.filter((line) => line.startsWith('✔')).map((line) => line.replace(/ \([\d.]+m?s\)$/, ''));
  expect(passed).toEqual((await shown('testing')).filter((line) => line.startsWith('✔')));
  expect(passed).toHaveLength(3);
});

test('kafka runs without servers as well', async () => {
  const lines = await run('kafka/main.js');
  const expected = (await shown('kafka')).map((line) => line.replace(/broker$/, 'disk'));
  expect(sorted(lines)).toEqual(sorted(expected));
});
