/** Runs the programs of examples/ as a reader does: built, each in a process of its own. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { root } from '../scenarios/site';

export interface Program {
  /** Resolves when the program has printed `line`. Rejects when it ends before. */
  printed(line: string): Promise<void>;
  /** Resolves with all printed lines when the program has ended with code 0. Rejects for another code. */
  readonly ended: Promise<readonly string[]>;
  kill(): void;
}

/** Starts `node` with `args` in build/examples. Variables of `env` are added to those of this process. */
export function startProgram(args: readonly string[], env: Readonly<Record<string, string>>): Program {
  return start(process.execPath, args, env);
}

/** Starts any command in build/examples. */
export function start(command: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): Program {
  // node --test prints nothing readable in a process that believes to be part of another test run.
  const { NODE_TEST_CONTEXT: _, NODE_OPTIONS: __, ...inherited } = process.env;
  const child = spawn(command, args, {
    cwd: join(root, 'build', 'examples'),
    env: { ...inherited, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const lines: string[] = [];
  const waiting = new Set<() => void>();
  createInterface({ input: child.stdout }).on('line', (line) => {
    lines.push(line);
    for (const look of waiting) look();
  });
  let errors = '';
  child.stderr.on('data', (bytes: Buffer) => (errors += bytes.toString()));

  const ended = new Promise<readonly string[]>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => {
      if (code === 0) resolve(lines);
      else reject(new Error(`${args.join(' ')} ended with ${signal ?? code}\n${lines.join('\n')}\n${errors}`));
    });
  });
  ended.catch(() => undefined); // each test awaits it
  return {
    ended,
    kill: () => void child.kill('SIGKILL'),
    printed: (line) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          if (!lines.includes(line)) return;
          waiting.delete(look);
          resolve();
        };
        waiting.add(look);
        look();
        ended.then(() => reject(new Error(`it ended without the line: ${line}\n${lines.join('\n')}`)), reject);
      }),
  };
}
