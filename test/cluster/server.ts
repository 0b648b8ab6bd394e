/** One Java server as a process: started, stopped, killed, frozen and thawed, and never left behind. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { openSync, closeSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { until } from './ports';

const run = promisify(execFile);

/** What a test can do to a server. */
export interface Server {
  /** SIGKILL; resolves when the process is gone. */
  kill(): Promise<void>;
  /** SIGTERM: the server hands over what it leads; resolves when the process is gone. */
  stop(): Promise<void>;
  /** SIGSTOP: its sockets accept and never answer. */
  freeze(): Promise<void>;
  thaw(): Promise<void>;
  /** Its disk takes no more bytes, as when it is full, until the server is started again. Kafka then ends by itself. */
  fill(): Promise<void>;
  /** Starts it again, stopping it first if it runs; resolves when it serves. */
  restart(): Promise<void>;
}

export interface ServerOptions {
  readonly name: string;
  /** Where its process id and what it says go. */
  readonly dir: string;
  readonly java: readonly string[];
  /** Whether it serves. */
  serves(): Promise<boolean>;
  readonly startMs: number;
}

const stopMs = 20_000;

export class JavaServer implements Server {
  #child: ChildProcess | undefined;
  #gone: Promise<unknown> = Promise.resolve();

  constructor(readonly options: ServerOptions) {}

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Resolves when it serves; rejects with what it said last when it ended instead. */
  async start(): Promise<void> {
    this.#spawn();
    const { name, startMs } = this.options;
    await until(`${name} serves`, startMs, async () => {
      if (this.#child === undefined) throw new Error(`${name} ended:\n${this.said()}`);
      return this.options.serves();
    });
  }

  /** In a group of its own, so that Ctrl-C reaches only the run, which then ends it. */
  #spawn(): void {
    const { dir, name, java } = this.options;
    const out = openSync(path.join(dir, `${name}.log`), 'a');
    const child = spawn('java', java, { cwd: dir, detached: true, stdio: ['ignore', out, out] });
    closeSync(out);
    const pidFile = path.join(dir, `${name}.pid`);
    if (child.pid !== undefined) writeFileSync(pidFile, `${child.pid}`);
    child.unref();
    this.#child = child;
    this.#gone = new Promise((resolve) => {
      child.once('error', resolve);
      child.once('exit', resolve);
    }).then(() => {
      this.#child = undefined;
      rmSync(pidFile, { force: true });
    });
  }

  /** The last lines of what it wrote. */
  said(): string {
    return readFileSync(path.join(this.options.dir, `${this.options.name}.log`), 'utf8').slice(-4_000);
  }

  async kill(): Promise<void> {
    this.#child?.kill('SIGKILL');
    await this.#ended();
  }

  /** Its process does not hold ours, but for as long as we wait for its end. */
  #ended(): Promise<unknown> {
    this.#child?.ref();
    return this.#gone;
  }

  async stop(): Promise<void> {
    this.#child?.kill('SIGCONT');
    this.#child?.kill('SIGTERM');
    const timer = setTimeout(() => this.#child?.kill('SIGKILL'), stopMs);
    await this.#ended();
    clearTimeout(timer);
  }

  freeze(): Promise<void> {
    this.#child?.kill('SIGSTOP');
    return Promise.resolve();
  }

  thaw(): Promise<void> {
    this.#child?.kill('SIGCONT');
    return Promise.resolve();
  }

  /** Every write that makes a file longer fails in this process; EFBIG is to Kafka what ENOSPC is, and needs no rights. */
  async fill(): Promise<void> {
    if (this.#child?.pid !== undefined) await run('prlimit', ['--pid', `${this.#child.pid}`, '--fsize=1:unlimited']);
  }

  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }
}
