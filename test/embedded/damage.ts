/** The files of the shared directory, the kinds of damage, and a process whose buses use the damaged files. */
import { fork, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Reply } from './damagechild';

/** The path of each part in a directory; paths that depend on the run are looked up. */
export const parts = {
  dir: () => '',
  marker: () => 'busbar.json',
  mark: () => 'log.json',
  sockets: () => 's',
  socket: (dir: string) => `s/${onlyIn(dir, 's')}`,
  instances: () => 'instances',
  announcement: (dir: string) => `instances/${onlyIn(dir, 'instances')}`,
  settings: () => 'settings',
  generation: (dir: string) => `settings/${newestIn(path.join(dir, 'settings'))}`,
  log: () => 'log',
  'log data': () => 'log/data.mdb',
  'log lock': () => 'log/lock.mdb',
  'log gate': () => 'log/opening',
  live: (dir: string) => liveIn(dir),
  'live data': (dir: string) => `${liveIn(dir)}/data.mdb`,
  'live lock': (dir: string) => `${liveIn(dir)}/lock.mdb`,
} as const;
export type Part = keyof typeof parts;

const onlyIn = (dir: string, folder: string): string =>
  fs.readdirSync(path.join(dir, folder)).find((name) => !name.startsWith('~')) ?? 'none';
const newestIn = (folder: string): number => Math.max(...fs.readdirSync(folder).map(Number).filter(Number.isInteger));
const liveIn = (dir: string): string => fs.readdirSync(dir).find((name) => name.startsWith('live-')) ?? 'none';

const overwrite = (file: string, position: number, bytes: Uint8Array): void => {
  const opened = fs.openSync(file, 'r+');
  fs.writeSync(opened, bytes, 0, bytes.length, position);
  fs.closeSync(opened);
};
/** Returns a name that no part has, and that does not start with `live-`: the bus removes such names. */
const moved = (at: string): string => path.join(path.dirname(at), `moved-${path.basename(at)}`);
/** Replaces in one step where possible, because a bus can recreate the part at any moment. */
const replace = (at: string, make: (draft: string) => void): void => {
  const draft = `${at}.draft`;
  make(draft);
  if (fs.statSync(at).isDirectory() || !fs.lstatSync(draft).isFile()) fs.renameSync(at, moved(at));
  fs.renameSync(draft, at);
};
const removeTriesMax = 100;
/** Removes a folder although a bus creates files in it at the same time, which makes one pass end with `ENOTEMPTY`. */
const remove = (at: string): void => {
  for (let tries = 1; ; tries++) {
    try {
      return fs.rmSync(at, { recursive: true, force: true });
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'ENOTEMPTY') || tries === removeTriesMax)
        throw error;
    }
  }
};

/** The kinds of damage to the file or folder `at`, by name. */
export const damages = {
  removed: remove,
  renamed: (at) => fs.renameSync(at, moved(at)),
  emptied: (at) =>
    fs.statSync(at).isDirectory()
      ? fs.readdirSync(at).forEach((name) => remove(path.join(at, name)))
      : fs.truncateSync(at, 0),
  'cut in half': (at) => fs.truncateSync(at, Math.floor(fs.statSync(at).size / 2)),
  'cut by a page': (at) => fs.truncateSync(at, fs.statSync(at).size - 4_096),
  'noise appended': (at) => fs.appendFileSync(at, randomBytes(10_000)),
  'noise at its end': (at) =>
    overwrite(
      at,
      fs.statSync(at).size - Math.min(4_096, fs.statSync(at).size),
      randomBytes(Math.min(4_096, fs.statSync(at).size)),
    ),
  'noise all over': (at) => overwrite(at, 0, randomBytes(fs.statSync(at).size)),
  'first head flipped': (at) => overwrite(at, 16, Buffer.alloc(144, 0xa5)),
  'both heads flipped': (at) =>
    [16, 4_096 + 16].forEach((position) => overwrite(at, position, Buffer.alloc(144, 0xa5))),
  'replaced by a copy': (at) => {
    fs.copyFileSync(at, moved(at));
    fs.renameSync(moved(at), at);
  },
  'replaced by an empty file': (at) => replace(at, (draft) => fs.writeFileSync(draft, '')),
  'replaced by an empty folder': (at) => replace(at, (draft) => fs.mkdirSync(draft, { mode: 0o700 })),
  'moved behind a link': (at) => {
    fs.renameSync(at, moved(at));
    fs.symlinkSync(moved(at), at);
  },
  'replaced by a link to nothing': (at) => replace(at, (draft) => fs.symlinkSync(`${at}.nothing`, draft)),
  unreadable: (at) => fs.chmodSync(at, 0),
  'of another bus': (at) =>
    fs.writeFileSync(at, fs.readFileSync(at, 'utf8').replace(/"(ns|log)":"\w+"/, '"$1":"other"')),
} satisfies Record<string, (at: string) => void>;
export type Damage = keyof typeof damages;

export function damage(dir: string, part: Part, kind: Damage): void {
  damages[kind](path.join(dir, parts[part](dir)));
}

export class Failed extends Error {
  constructor(
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

/** A process of damagechild.ts. */
export class Process {
  private readonly waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  private asked = 0;
  readonly child: ChildProcess;
  readonly ended: Promise<string>;
  private end: string | undefined;

  /** Starts it as root, or as user `uid`. */
  constructor(uid?: number) {
    this.child = fork(path.join(__dirname, 'damagechild.ts'), uid === undefined ? [] : [String(uid)], {
      execArgv: ['-r', path.join(__dirname, '..', 'register.cjs')],
      cwd: tmpdir(), // another user can be unable to read the folder of the repository, where the configuration is
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    let said = '';
    this.child.stderr?.on('data', (data) => (said = `${said}${String(data)}`.slice(-2_000)));
    this.child.on('message', ({ id, value, code, message = '' }: Reply) => {
      const one = this.waiting.get(id);
      this.waiting.delete(id);
      if (code === undefined) one?.resolve(value);
      else one?.reject(new Failed(code, message));
    });
    this.ended = new Promise((resolve) => {
      this.child.on('exit', (code, signal) => {
        this.end = `ended by ${signal ?? code}: ${said}`;
        for (const { reject } of this.waiting.values()) reject(new Failed('dead', this.end));
        resolve(this.end);
      });
    });
  }

  tell<T = unknown>(command: string, ...args: unknown[]): Promise<T> {
    if (this.end !== undefined) return Promise.reject(new Failed('dead', this.end));
    const id = ++this.asked;
    return new Promise<T>((resolve, reject) => {
      this.waiting.set(id, { resolve: (value) => resolve(value as T), reject }); // the result of the command
      this.child.send({ id, command, args });
    });
  }
  /** The code with which it failed, or 'ok'. */
  async codeOf(command: string, ...args: unknown[]): Promise<string> {
    try {
      await this.tell(command, ...args);
      return 'ok';
    } catch (error) {
      return error instanceof Failed ? error.code : String(error);
    }
  }
  get isOver(): boolean {
    return this.end !== undefined;
  }
  async kill(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.ended;
  }
}

/** Runs at most `free` pieces of work at the same time. */
export class Slots {
  private readonly waiting: (() => void)[] = [];

  constructor(private free: number) {}

  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.free === 0) await new Promise<void>((resolve) => this.waiting.push(resolve));
    else this.free -= 1;
    try {
      return await work();
    } finally {
      const next = this.waiting.shift();
      if (next === undefined) this.free += 1;
      else next();
    }
  }
}
