/** Runs processes, restarts those that die, and leaves none running. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

export interface ProcessPlan {
  readonly name: string;
  /** Path in the folder of built modules, such as `web/index.js`. */
  readonly script: string;
  readonly env?: Readonly<Record<string, string>>;
}
export interface SupervisorOptions {
  /** The folder of the built modules. */
  readonly folder: string;
  readonly env: NodeJS.ProcessEnv;
  /** Prints a line of a child, or about it. */
  readonly print: (name: string, line: string) => void;
  /** Called when a process has ended and is not restarted. */
  readonly gaveUp?: (name: string) => void;
}

const firstBackoffMs = 200;
const backoffMsMax = 5_000;
const deathsMax = 8;
const deathsWindowMs = 60_000;
/** The exit code in `exitCodes` of busbar/host for an invalid configuration, which a restart cannot repair. */
const configExit = 78;

interface Running {
  readonly plan: ProcessPlan;
  child: ChildProcess;
  readonly deathsMs: number[];
  restart: NodeJS.Timeout | undefined;
  leaving: boolean;
}

export class Supervisor {
  readonly #running = new Map<string, Running>();

  constructor(private readonly options: SupervisorOptions) {}

  /**
   * Starts a process, and restarts it when it ends, with growing delays. Gives up after 8 deaths within a minute, or
   * when its configuration is invalid.
   */
  start(plan: ProcessPlan): void {
    const running: Running = { plan, child: this.#spawn(plan), deathsMs: [], restart: undefined, leaving: false };
    this.#running.set(plan.name, running);
    this.#watch(running);
  }

  /** Returns undefined while the process is not running. */
  pid(name: string): number | undefined {
    const child = this.#running.get(name)?.child;
    return child && isUp(child) ? child.pid : undefined;
  }

  /** Sends a signal and resolves when the process has ended; it is restarted as after any death. */
  async kill(name: string, signal: NodeJS.Signals): Promise<void> {
    const child = this.#running.get(name)?.child;
    if (!child || !isUp(child)) return;
    const gone = once(child, 'exit');
    child.kill(signal);
    await gone;
  }

  /** Sends SIGTERM, and SIGKILL after `withinMs`. Resolves when all processes have ended. */
  async stop(names: readonly string[] = [...this.#running.keys()], withinMs = 10_000): Promise<void> {
    await Promise.all(names.map((name) => this.#stopOne(name, withinMs)));
  }

  /** Kills all processes immediately. */
  killAll(): void {
    for (const running of this.#running.values()) {
      this.#noMore(running);
      running.child.kill('SIGKILL');
    }
  }

  async #stopOne(name: string, withinMs: number): Promise<void> {
    const running = this.#running.get(name);
    if (!running) return;
    this.#noMore(running);
    const { child } = running;
    if (!isUp(child)) return;
    const gone = once(child, 'exit');
    const timer = setTimeout(() => {
      this.options.print(name, `has not left within ${withinMs} ms: killed`);
      child.kill('SIGKILL');
    }, withinMs);
    child.kill('SIGTERM');
    await gone;
    clearTimeout(timer);
  }

  #noMore(running: Running): void {
    running.leaving = true;
    clearTimeout(running.restart);
  }

  #spawn({ name, script, env }: ProcessPlan): ChildProcess {
    const { folder, print } = this.options;
    // Detached: Ctrl-C reaches the supervisor alone, which signals each child once. `leave` ends them when the supervisor has ended.
    const child = spawn(
      process.execPath,
      ['--enable-source-maps', '--require', join(folder, 'leave.js'), join(folder, script)],
      {
        env: { ...this.options.env, ...env },
        stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
        detached: true,
      },
    );
    for (const stream of [child.stdout, child.stderr]) {
      if (stream) createInterface({ input: stream }).on('line', (line) => print(name, line));
    }
    return child;
  }

  #watch(running: Running): void {
    const { child, plan } = running;
    child.once('error', (error) => this.options.print(plan.name, `cannot be started: ${error.message}`));
    child.once('exit', (code, signal) => {
      if (running.leaving) return;
      if (code === configExit) return this.#giveUp(plan.name, 'its configuration is wrong');
      const why = signal ? `was ended by ${signal}` : `ended with exit code ${code}`;
      this.#startAgain(running, why);
    });
  }

  #giveUp(name: string, why: string): void {
    this.options.print(name, `${why}: not started again`);
    this.options.gaveUp?.(name);
  }

  #startAgain(running: Running, why: string): void {
    const nowMs = performance.now();
    const deaths = running.deathsMs.filter((atMs) => nowMs - atMs < deathsWindowMs);
    running.deathsMs.splice(0, Infinity, ...deaths, nowMs);
    const count = deaths.length + 1;
    const { name } = running.plan;
    if (count > deathsMax) {
      return this.#giveUp(name, `${why}, ${count} times within a minute`);
    }
    const delayMs = Math.min(backoffMsMax, firstBackoffMs * 2 ** (count - 1));
    this.options.print(name, `${why}; starts again in ${delayMs} ms (${count} of ${deathsMax} times within a minute)`);
    running.restart = setTimeout(() => {
      running.child = this.#spawn(running.plan);
      this.#watch(running);
    }, delayMs);
  }
}

function isUp(child: ChildProcess): boolean {
  return child.pid !== undefined && child.exitCode === null && child.signalCode === null;
}
