/** Child processes with one embedded log each, for tests that kill and stop them. */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock, systemRandom } from '../../src/base/clock';
import { openNotices } from '../../src/base/notices';
import { openEmbeddedLog } from '../../src/embedded/log';
import type { Log } from '../../src/ports/log';

/** A note of a child; the fields after `atMs` depend on `what`. */
export interface Note {
  readonly what: string;
  readonly name: string;
  readonly atMs: number;
  readonly partition: number;
  readonly epoch: number;
  readonly offset: number;
  readonly n: number;
  readonly offsets: readonly number[];
  readonly from: number;
  readonly to: number;
  readonly reason: string;
}
export const nowMs = (): number => Number(process.hrtime.bigint()) / 1e6;

/** A directory for one test, with the processes on it; `end` kills and removes all. */
export class Yard {
  readonly dir = fs.mkdtempSync(join(tmpdir(), 'busbar-yard-'));
  readonly notesFile = join(this.dir, '..', `${this.dir.split('/').at(-1)}.notes`);
  private readonly children: Child[] = [];
  private readonly logs: Log[] = [];

  constructor() {
    fs.writeFileSync(this.notesFile, '');
  }

  async child(name: string): Promise<Child> {
    const child = new Child(name, this.dir, this.notesFile);
    this.children.push(child);
    await child.opened;
    return child;
  }

  /** A log in this process. */
  async log(): Promise<Log> {
    const neighbours = {
      address: `${process.pid}`,
      alive: () => true,
      ring: () => undefined,
      onRing: () => () => undefined,
    };
    const log = await openEmbeddedLog({
      dir: this.dir,
      self: 'test',
      clock: systemClock,
      random: systemRandom,
      notices: openNotices(),
      peers: neighbours,
    });
    this.logs.push(log);
    return log;
  }

  notes(what?: string): readonly Note[] {
    const lines = fs.readFileSync(this.notesFile, 'utf8').split('\n').slice(0, -1);
    const notes = lines.map((line) => JSON.parse(line) as Note);
    return what === undefined ? notes : notes.filter((note) => note.what === what);
  }

  async until(condition: (notes: readonly Note[]) => boolean, what: string, withinMs = 30_000): Promise<void> {
    const startMs = performance.now();
    while (!condition(this.notes())) {
      if (performance.now() - startMs > withinMs) throw new Error(`not within ${withinMs} ms: ${what}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  async end(): Promise<void> {
    await Promise.all(this.children.map((child) => child.kill()));
    await Promise.all(this.logs.map((log) => log.close()));
    fs.rmSync(this.dir, { recursive: true, force: true });
    fs.rmSync(this.notesFile, { force: true });
  }
}

export class Child {
  readonly process: ChildProcess;
  /** The time that opening the log took, in ms. */
  readonly opened: Promise<number>;
  private readonly waiting = new Map<number, (answer: { value?: unknown; error?: string }) => void>();
  private asked = 0;
  private readonly ended: Promise<unknown>;

  constructor(
    readonly name: string,
    dir: string,
    notes: string,
  ) {
    this.process = fork(join(__dirname, 'logchild.ts'), [dir, name, notes], {
      execArgv: ['-r', join(__dirname, '../register.cjs')],
    });
    this.ended = once(this.process, 'exit');
    this.opened = this.answer(0) as Promise<number>;
    this.opened.catch(() => undefined); // handled by the caller that awaits it
    this.process.on('message', (answer: { id: number; value?: unknown; error?: string }) => {
      this.waiting.get(answer.id)?.(answer);
      this.waiting.delete(answer.id);
    });
    this.process.on('exit', (code, signal) => {
      for (const answer of this.waiting.values()) answer({ error: `${name} ended (${code ?? signal})` });
    });
  }

  private answer(id: number): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.waiting.set(id, ({ value, error }) => (error === undefined ? resolve(value) : reject(new Error(error))));
    });
  }

  /** Resolves with the result of the command; rejects when it fails, or when the process ends first. */
  tell(command: string, ...args: unknown[]): Promise<unknown> {
    const id = ++this.asked;
    const answer = this.answer(id);
    answer.catch(() => undefined); // handled by the caller that awaits it
    this.process.send({ id, command, args });
    return answer;
  }

  async kill(): Promise<void> {
    this.process.kill('SIGKILL');
    await this.ended;
  }
  /** Resolves when the process is stopped. */
  async stopped(): Promise<void> {
    for (let looks = 0; looks < 6_000; looks += 1) {
      if (/^State:\s*T/m.test(fs.readFileSync(`/proc/${this.process.pid}/status`, 'latin1'))) return;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    throw new Error(`${this.name} did not stop within 30 seconds`);
  }
  go(): void {
    this.process.kill('SIGCONT');
  }
}
