/** The photo site as real processes in a fresh directory, for tests that upload to it and kill parts of it. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { freePorts } from '../../modules/ports';
import { Supervisor } from '../../modules/supervise';

export const root = resolve(__dirname, '../..');
export const built = join(root, 'build', 'modules');

/** Compiles if there is no build; `npm test` has built before. */
export function needBuild(): void {
  const outputs = ['build/modules/start.js', 'build/examples/package.json', 'dist/index.js'];
  if (outputs.every((file) => existsSync(join(root, file)))) return;
  const { status, stdout } = spawnSync(process.execPath, ['scripts/build.mjs'], { cwd: root, encoding: 'utf8' });
  if (status !== 0) throw new Error(`the build failed: ${stdout}`);
}

export interface RunningSite {
  readonly directory: string;
  readonly env: NodeJS.ProcessEnv;
  readonly urls: readonly [string, string];
  readonly supervisor: Supervisor;
  /** The output of the processes, for a failed test. */
  readonly lines: readonly string[];
  /** Ends all processes and removes the directory. */
  end(): Promise<void>;
}

/**
 * Starts two instances of web and thumbnails, and one of photos and search. Resolves when both web instances answer
 * with the gallery. `more` is added to the environment of all of them.
 */
export async function startSite(more: Readonly<Record<string, string>> = {}): Promise<RunningSite> {
  needBuild();
  const directory = await mkdtemp(join(tmpdir(), 'bb-site-'));
  const env = { ...process.env, SITE_DIR: join(directory, 'site'), BUSBAR_DIR: join(directory, 'bus'), ...more };
  const lines: string[] = [];
  const supervisor = new Supervisor({ folder: built, env, print: (name, line) => lines.push(`${name} ${line}`) });
  const end = async (): Promise<void> => {
    await supervisor.stop();
    await rm(directory, { recursive: true, force: true });
  };
  try {
    for (const name of ['photos', 'thumbnails-1', 'thumbnails-2', 'search']) {
      supervisor.start({ name, script: `${name.replace(/-\d$/, '')}/index.js` });
    }
    const [one = 0, two = 0] = await freePorts(2, 0);
    const ports = [one, two] as const;
    ports.forEach((port, index) =>
      supervisor.start({ name: `web-${index + 1}`, script: 'web/index.js', env: { PORT: `${port}` } }),
    );
    const urls = [`http://127.0.0.1:${ports[0]}`, `http://127.0.0.1:${ports[1]}`] as const;
    for (const url of urls) await until(`${url} answers`, async () => (await fetch(`${url}/photos`)).ok);
    return { directory, env, urls, supervisor, lines, end };
  } catch (error) {
    await end();
    throw new Error(`${String(error)}\n${lines.join('\n')}`, { cause: error });
  }
}

/** Resolves when `holds` returns true. Checks every 50 ms, since a page in another process sends no notification. */
export async function until(what: string, holds: () => Promise<boolean>, withinMs = 60_000): Promise<void> {
  const endMs = performance.now() + withinMs;
  let last: unknown = 'false';
  while (performance.now() < endMs) {
    try {
      if (await holds()) return;
    } catch (error) {
      last = error instanceof Error ? (error.cause ?? error) : error;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`not within ${withinMs} ms: ${what} (last: ${String(last)})`);
}

export interface SiteEvent {
  readonly event: string;
  readonly data: { readonly id?: string; readonly reason?: string; readonly file?: string };
}
/** The events that a browser receives from one web instance. */
export class Viewer {
  readonly #heard: SiteEvent[] = [];
  readonly #waiting = new Set<() => void>();
  readonly #controller = new AbortController();

  static async open(url: string): Promise<Viewer> {
    const viewer = new Viewer();
    const response = await fetch(`${url}/events`, { signal: viewer.#controller.signal });
    if (!response.body) throw new Error('no events');
    void viewer.#read(response.body);
    return viewer;
  }
  close(): void {
    this.#controller.abort();
  }
  get heard(): readonly SiteEvent[] {
    return this.#heard;
  }

  /** Resolves with the first matching event, including earlier ones. */
  async hear(what: string, passes: (event: SiteEvent) => boolean, withinMs = 60_000): Promise<SiteEvent> {
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      this.#wake();
    }, withinMs);
    try {
      for (;;) {
        const found = this.#heard.find(passes);
        if (found) return found;
        if (late) throw new Error(`not received within ${withinMs} ms: ${what}`);
        await new Promise<void>((resolve) => this.#waiting.add(resolve));
      }
    } finally {
      clearTimeout(timer);
    }
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }
  async #read(body: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    let rest = '';
    try {
      for await (const chunk of body) {
        const parts = (rest + decoder.decode(chunk, { stream: true })).split('\n\n');
        rest = parts.pop() ?? '';
        for (const part of parts) this.#take(part);
        this.#wake();
      }
    } catch {
      // closed by the test, or the web instance has ended
    }
  }
  #take(part: string): void {
    const event = /^event: (.*)$/m.exec(part)?.[1];
    const data = /^data: (.*)$/m.exec(part)?.[1];
    if (event !== undefined && data !== undefined)
      this.#heard.push({ event, data: JSON.parse(data) as SiteEvent['data'] });
  }
}
