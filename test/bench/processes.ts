/** Starts the other processes of a benchmark, sends them questions, and ends them by their handles. */
import { fork, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import type { Question } from './child';

export interface Child {
  readonly pid: number;
  /** Sends one question and resolves with its answer. The caller waits for it before the next question. */
  ask(question: Question['ask'] | object): Promise<unknown>;
  close(): Promise<void>;
  /** Ends it with SIGKILL. */
  kill(): Promise<void>;
}

const answerMsMax = 120_000;

export function startChild(role: string, dir: string): Promise<Child> {
  return startProcess(join(__dirname, 'child.js'), [role, dir]);
}
/** Starts a process that ends with this one. Resolves when it reports that it is ready. */
export async function startProcess(file: string, args: readonly string[]): Promise<Child> {
  const child = fork(file, args, {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    serialization: 'advanced',
    execArgv: ['--expose-gc'],
  });
  const stop = (): void => void child.kill('SIGKILL');
  process.once('exit', stop);
  await next(child);
  return {
    pid: child.pid ?? 0,
    async ask(question) {
      const answered = next(child);
      child.send(typeof question === 'string' ? { ask: question } : question);
      return answered;
    },
    async kill() {
      const ended = new Promise((resolve) => child.once('exit', resolve));
      stop();
      await ended;
      process.off('exit', stop);
    },
    async close() {
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.send({ ask: 'close' } satisfies Question);
      const timer = setTimeout(stop, 10_000);
      await ended;
      clearTimeout(timer);
      process.off('exit', stop);
    },
  };
}

function next(child: ChildProcess): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const end = (act: () => void) => (): void => {
      clearTimeout(timer);
      child.off('message', heard).off('exit', died);
      act();
    };
    const heard = (message: unknown): void => end(() => resolve(message))();
    const died = (code: number | null): void =>
      end(() => reject(new Error(`process ${child.pid} ended with ${code}`)))();
    const timer = setTimeout(
      end(() => reject(new Error(`no answer from process ${child.pid} within ${answerMsMax} ms`))),
      answerMsMax,
    );
    child.on('message', heard).on('exit', died);
  });
}

export function ownCpuUs(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}
