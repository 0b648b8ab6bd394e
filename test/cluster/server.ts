/** Runs one Java server as a process: starts, stops, kills, freezes and thaws it. It never outlives the run. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { openSync, closeSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { until } from './ports';

const run = promisify(execFile);

/** Actions of a test on a server. */
export interface Server {
  /** Sends SIGKILL; resolves when the process has exited. */
  kill(): Promise<void>;
  /** Sends SIGTERM: the server hands over its leaderships. Resolves when the process has exited. */
  stop(): Promise<void>;
  /** Sends SIGSTOP: its sockets accept connections and never answer. */
  freeze(): Promise<void>;
  thaw(): Promise<void>;
  /** Makes its writes fail as on a full disk until the server is restarted. Kafka then ends by itself. */
  fill(): Promise<void>;
  /** Restarts it, stopping it first if it runs. Resolves when it serves. */
  restart(): Promise<void>;
}

export interface ServerOptions {
  readonly name: string;
  /** Folder of its pid file and its log file. */
  readonly dir: string;
  readonly java: readonly string[];
  /** Returns whether the server serves. */
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

  /** Resolves when the server serves. Rejects with its last output when it ended instead. */
  async start(): Promise<void> {
    this.#spawn();
    const { name, startMs } = this.options;
    await until(`${name} serves`, startMs, async () => {
      if (this.#child === undefined) throw new Error(`${name} ended:\n${this.said()}`);
      return this.options.serves();
    });
  }

  /** Starts the process in its own process group, so that Ctrl-C reaches only the run, which then ends the server. */
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

  /** Returns the end of its output. */
  said(): string {
    return readFileSync(path.join(this.options.dir, `${this.options.name}.log`), 'utf8').slice(-4_000);
  }

  async kill(): Promise<void> {
    this.#child?.kill('SIGKILL');
    await this.#ended();
  }

  /** Resolves when the process has exited. Only this wait keeps the event loop alive for the child. */
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

  /** Limits the file size of the process. Kafka treats EFBIG as it treats ENOSPC, and the limit needs no root rights. */
  async fill(): Promise<void> {
    if (this.#child?.pid !== undefined) await run('prlimit', ['--pid', `${this.#child.pid}`, '--fsize=1:unlimited']);
  }

  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }
}
