import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { built, needBuild, until } from './site';

jest.setTimeout(240_000);
let directory: string;
let children: number[] = [];
let parent: ChildProcess | undefined;
beforeAll(needBuild);
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'bb-start-'));
});
afterEach(async () => {
  for (const pid of [parent?.pid, ...children]) if (pid !== undefined && isUp(pid)) process.kill(pid, 'SIGKILL');
  children = [];
  await rm(directory, { recursive: true, force: true });
});

const isUp = (pid: number): boolean =>
  existsSync(`/proc/${pid}`) && !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
/** The child processes of `pid`, read from /proc. */
const childrenOf = (pid: number): number[] =>
  readdirSync(`/proc/${pid}/task`).flatMap((task) =>
    readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').split(' ').filter(Boolean).map(Number),
  );

/** Starts the site like `npm start`; resolves with its lines and the URLs it prints once it is running. */
async function start(more: Readonly<Record<string, string>> = { BUSBAR_DIR: join(directory, 'bus') }) {
  const env = { ...process.env, SITE_DIR: join(directory, 'site'), PORT: '0', ...more };
  const stdio = ['ignore', 'pipe', 'inherit'] as const;
  const child = spawn(process.execPath, [join(built, 'start.js')], { env, cwd: directory, stdio: [...stdio] });
  parent = child;
  const lines: string[] = [];
  const heard = new Set<() => void>();
  createInterface({ input: child.stdout }).on('line', (line) => {
    lines.push(line);
    for (const hear of heard) hear();
  });
  const hear = (words: RegExp, withinMs = 60_000) =>
    new Promise<RegExpExecArray>((resolve, reject) => {
      const look = (): void => {
        const found = lines.map((line) => words.exec(line)).find((match) => match !== null);
        if (!found) return;
        clearTimeout(timer);
        heard.delete(look);
        resolve(found);
      };
      const timer = setTimeout(() => reject(new Error(`not printed: ${String(words)}\n${lines.join('\n')}`)), withinMs);
      heard.add(look);
      look();
    });
  const [, one = '', two = ''] = await hear(/is up: (http:\S+) {2}and {2}(http:\S+)/);
  children = childrenOf(child.pid ?? 0);
  return { child, hear, urls: [one, two] };
}

test('the site starts with sample pictures, and Ctrl-C leaves no process behind', async () => {
  const { child, hear, urls } = await start();
  await hear(/added 6 sample pictures/);
  await until('six thumbnails', async () => {
    const page = await (await fetch(urls[1] ?? '')).text();
    return (page.match(/data-state="ready"/g) ?? []).length === 6;
  });
  expect(children).toHaveLength(6);
  const gone = once(child, 'exit');
  child.kill('SIGINT');
  expect(await gone).toEqual([0, null]);
  expect(children.filter(isUp)).toEqual([]);
});

test('a second Ctrl-C immediately ends processes that do not exit', async () => {
  const { child, hear } = await start();
  const [stuck] = children;
  if (stuck === undefined) throw new Error('no children');
  process.kill(stuck, 'SIGSTOP');
  const gone = once(child, 'exit');
  child.kill('SIGINT');
  await hear(/leaving; once more/);
  child.kill('SIGINT');
  expect(await gone).toEqual([130, null]);
  await until('all are gone', async () => !children.some(isUp));
});

test('a process that dies is restarted, and the log has the reason', async () => {
  const { child, hear, urls } = await start();
  const before = await pidsByPort();
  const web = before.get(Number(new URL(urls[0] ?? '').port));
  expect(web).toBeDefined();
  if (web !== undefined) process.kill(web, 'SIGKILL');
  await hear(/web-1 .*was ended by SIGKILL; starts again in 200 ms \(1 of 8/);
  await until('it answers again', async () => (await fetch(`${urls[0]}/photos`)).ok);
  children = childrenOf(child.pid ?? 0);
  const gone = once(child, 'exit');
  child.kill('SIGTERM');
  expect(await gone).toEqual([0, null]);
  expect(children.filter(isUp)).toEqual([]);
});

test('the children exit by themselves when their parent is killed with -9', async () => {
  const { child } = await start();
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
  await until('all children have left', async () => children.every((pid) => !isUp(pid)));
  expect(children.filter(isUp)).toEqual([]);
});

/** Returns the process ids of the children by their PORT. */
async function pidsByPort(): Promise<Map<number, number>> {
  const portOf = (pid: number): number =>
    Number(/(?:^|\0)PORT=(\d+)/.exec(readFileSync(`/proc/${pid}/environ`, 'utf8'))?.[1]);
  return new Map(children.map((pid) => [portOf(pid), pid]));
}

test('the site has its own bus by default, wherever it is started', async () => {
  const { child } = await start({ XDG_STATE_HOME: join(directory, 'state') });
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  await ended;
  expect(readdirSync(join(directory, 'state', 'busbar'))).toEqual(['photo-site']);
});
