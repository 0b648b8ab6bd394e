/** Runs a shop in one process, and the command in others, and collects their output and exit codes. */
import { execFileSync, fork, spawn, type ChildProcess } from 'node:child_process';
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { transformSync } from '@swc/core';
import type { Job } from '../cli/shop';

const root = join(__dirname, '..', '..');
const register = ['--require', join(root, 'test', 'register.cjs')];
const patienceMs = 60_000;

/** The compiled command. It is compiled once for each test file, because it is started many times. */
let compiled: string | undefined;
function main(): string {
  if (compiled === undefined) {
    compiled = mkdtempSync(join(tmpdir(), 'bb-package-'));
    copyFileSync(join(root, 'package.json'), join(compiled, 'package.json'));
    symlinkSync(join(root, 'node_modules'), join(compiled, 'node_modules'));
    compile(join(compiled, 'dist'));
  }
  return join(compiled, 'dist', 'cli', 'main.js');
}
afterAll(() => {
  if (compiled !== undefined) rmSync(compiled, { recursive: true, force: true });
});

/** Builds the JavaScript of the package in `to`, as scripts/build.mjs does, but without a check of types. */
function compile(to: string): void {
  const modules = join(to, '..', 'compiled');
  for (const file of readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })) {
    if (!file.endsWith('.ts') || file.endsWith('.d.ts')) continue;
    const { code } = transformSync(readFileSync(join(root, 'src', file), 'utf8'), {
      jsc: {
        target: 'es2022',
        parser: { syntax: 'typescript', decorators: true },
        transform: { legacyDecorator: true, decoratorMetadata: true },
      },
      module: { type: 'es6' },
    });
    const out = join(modules, file.replace(/\.ts$/, '.js'));
    mkdirSync(dirname(out), { recursive: true });
    writeFileSync(out, code);
  }
  execFileSync(process.execPath, ['scripts/bundle.mjs', modules, to], { cwd: root });
}

export interface CommandResult {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}
export interface RunningCommand {
  readonly child: ChildProcess;
  readonly ended: Promise<CommandResult>;
  /** Resolves when stdout and stderr together match. */
  until(pattern: RegExp): Promise<void>;
}
export interface RunOptions {
  readonly env?: Record<string, string>;
  readonly stdin?: string;
}

/** Adds `more` to the environment of the shop and the command. */
export function shopCommand(more: Readonly<Record<string, string>> = {}) {
  const dir = mkdtempSync(join(tmpdir(), 'bb-'));
  const children = new Set<ChildProcess>();
  const env = { ...process.env, BUSBAR_DIR: join(dir, 'bus'), NO_COLOR: '1', ...more };

  function keep(child: ChildProcess): ChildProcess {
    children.add(child);
    child.once('exit', () => children.delete(child));
    return child;
  }

  function start(args: readonly string[], options: RunOptions = {}): RunningCommand {
    const child = keep(spawn(process.execPath, [main(), ...args], { cwd: dir, env: { ...env, ...options.env } }));
    child.stdin?.end(options.stdin ?? '');
    return follow(child);
  }
  /** Starts the command in a terminal with `columns` columns; stdout and stderr are merged. */
  function inTerminal(columns: number, args: readonly string[]): RunningCommand {
    const quoted = [process.execPath, main(), ...args].map((word) => `'${word}'`).join(' ');
    const command = `stty cols ${columns} -echo; ${quoted}`;
    return follow(keep(spawn('script', ['-qec', command, '/dev/null'], { cwd: dir, env })));
  }

  return {
    dir,
    start,
    inTerminal,
    run: (args: readonly string[], options?: RunOptions): Promise<CommandResult> => start(args, options).ended,
    /** Starts the shop, or another program of test/cli; `pack` submits jobs to the shop and returns their ids. */
    shop: async (more: Record<string, string> = {}, program = 'shop.ts') => {
      const child = keep(
        fork(join(__dirname, '../cli', program), { execArgv: register, cwd: dir, env: { ...env, ...more } }),
      );
      await message(child);
      return {
        child,
        async pack(jobs: readonly Job[]): Promise<readonly string[]> {
          child.send(jobs);
          return (await message(child)) as readonly string[];
        },
        async end(): Promise<void> {
          const ended = new Promise((resolve) => child.once('exit', resolve));
          child.send('end');
          await ended;
        },
      };
    },
    /** Runs the command until `enough` accepts its result, to wait for another process. */
    eventually: async (args: readonly string[], enough: (ended: CommandResult) => boolean): Promise<CommandResult> => {
      const untilMs = Date.now() + patienceMs;
      for (;;) {
        const ended = await start(args).ended;
        if (enough(ended)) return ended;
        if (Date.now() > untilMs) throw new Error(`still: ${ended.code} ${ended.out} ${ended.err}`);
      }
    },
    close: async (): Promise<void> => {
      const gone = [...children].map((child) => new Promise((resolve) => child.once('exit', resolve)));
      for (const child of children) child.kill('SIGKILL');
      await Promise.all(gone);
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

function follow(child: ChildProcess): RunningCommand {
  let out = '';
  let err = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => (out += text));
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (err += text));
  const ended = new Promise<CommandResult>((resolve) => child.once('close', (code) => resolve({ code, out, err })));
  return {
    child,
    ended,
    until: (pattern) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          if (!pattern.test(out + err)) return;
          clearTimeout(limit);
          resolve();
        };
        const limit = setTimeout(() => reject(new Error(`never ${String(pattern)}: ${out}${err}`)), patienceMs);
        child.stdout?.on('data', look);
        child.stderr?.on('data', look);
        look();
      }),
  };
}

function message(child: ChildProcess): Promise<unknown> {
  return new Promise((resolve, reject) => {
    child.once('message', resolve);
    child.once('exit', (code) => reject(new Error(`the shop ended with ${code}`)));
  });
}

/** Parses tab-separated lines into objects keyed by column name. */
export function rows(text: string): readonly Record<string, string>[] {
  const [head = '', ...lines] = text.trimEnd().split('\n');
  const names = head.split('\t');
  return lines.map((line) => Object.fromEntries(line.split('\t').map((cell, i) => [names[i] ?? '', cell])));
}
export const jsonLines = (text: string): readonly Record<string, unknown>[] =>
  text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);

export type ShopCommand = ReturnType<typeof shopCommand>;
export type Shop = Awaited<ReturnType<ShopCommand['shop']>>;

/**
 * Leaves the notes about slow brokers out of what `run` and `eventually` return. Tests on a cluster share it, and the
 * machine, with others.
 */
export function besideOthers(command: ShopCommand): ShopCommand {
  const slow = /^busbar: the broker at \S+ has not answered \w+ for 500 ms\n/gm;
  const without = (ended: CommandResult): CommandResult => ({ ...ended, err: ended.err.replace(slow, '') });
  return {
    ...command,
    run: async (args, options) => without(await command.run(args, options)),
    eventually: async (args, enough) => without(await command.eventually(args, (ended) => enough(without(ended)))),
  };
}
