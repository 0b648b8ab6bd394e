/** The settings as they were last seen, in a file, for a start while ZooKeeper is away. */
import fs from 'node:fs';
import path from 'node:path';
import { randomHex, type Clock, type Random } from '../../base/clock';
import { BusError, sayError } from '../../base/errors';
import type { Notices } from '../../base/notices';
import type { Setting } from '../../ports/settings';

export interface CacheParts {
  /** Made if it is not there, for this user only. Processes of one namespace may share it. */
  readonly dir: string;
  readonly ns: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly notices: Notices;
}
export interface Cached {
  readonly settings: readonly Setting[];
  /** Since somebody knew that they still hold. */
  readonly ageMs: number;
}

/** What held, and when that was known. */
interface Held {
  readonly settings: readonly Setting[];
  readonly atMs: number;
}

/** One file, mode 0600, replaced whole; its time is when what is in it was last known to hold. */
export class SettingsCache {
  readonly file: string;
  private next: Held | undefined;
  private writing: Promise<void> = Promise.resolve();
  private told = false;

  /** Throws Config when the directory cannot be used. */
  constructor(private readonly parts: CacheParts) {
    this.file = path.join(path.resolve(parts.dir), `${parts.ns}.settings.json`);
    try {
      fs.mkdirSync(path.dirname(this.file), { recursive: true, mode: 0o700 });
    } catch (error) {
      throw config(
        `the directory for the settings last seen, ${parts.dir}, cannot be made: ${sayError(error)}`,
        'Set dir to a folder that this user can write.',
        error,
      );
    }
  }

  /** Undefined if there is none. Throws Config when it is damaged or somebody else could have written it. */
  read(): Cached | undefined {
    let text: string;
    let stat: fs.Stats;
    try {
      [stat, text] = [fs.statSync(this.file), fs.readFileSync(this.file, 'utf8')];
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw config(
        `${this.file} cannot be read: ${sayError(error)}; see to its rights`,
        `Let this user read ${this.file}, or remove it.`,
        error,
      );
    }
    if ((stat.mode & 0o022) !== 0)
      throw config(`${this.file} may be written by others; remove it`, `Remove ${this.file}, or run chmod go-w on it.`);
    const settings = parse(text);
    if (settings === undefined)
      throw config(`${this.file} is damaged; remove it`, `Remove ${this.file}; ZooKeeper has the settings.`);
    return { settings, ageMs: Math.max(0, Math.round(this.parts.clock.now() - stat.mtimeMs)) };
  }

  /** These hold now: soon on the disk; of several that wait, only the last. A disk that refuses is told once. */
  keep(settings: readonly Setting[]): void {
    const waits = this.next !== undefined;
    this.next = { settings, atMs: this.parts.clock.now() };
    if (!waits) this.writing = this.writing.then(() => this.writeNext());
  }
  /** Resolves when all is written. */
  async close(): Promise<void> {
    await this.writing;
  }

  private async writeNext(): Promise<void> {
    if (!this.next) return;
    const [text, seconds] = [textOf(this.next.settings), this.next.atMs / 1_000];
    this.next = undefined;
    if (await this.confirm(text, seconds)) return;
    const draft = `${this.file}.${randomHex(this.parts.random, 32)}~`;
    try {
      await writeDurably(draft, text, seconds);
      await fs.promises.rename(draft, this.file);
      this.told = false;
    } catch (error) {
      await fs.promises.rm(draft, { force: true }).catch(() => undefined);
      this.tell(`${this.file} cannot be written: ${sayError(error)}; the next start may need ZooKeeper`);
    }
  }
  /** Whether this is in the file already: no other reading, be it of another process, is made younger. */
  private async confirm(text: string, seconds: number): Promise<boolean> {
    try {
      const handle = await fs.promises.open(this.file, 'r'); // so that what replaces it meanwhile stays as it is
      try {
        const holds = (await handle.readFile()).equals(Buffer.from(text));
        if (holds) await handle.utimes(seconds, seconds);
        return holds;
      } finally {
        await handle.close();
      }
    } catch {
      return false; // then it is written, which says what is wrong
    }
  }
  private tell(message: string): void {
    if (!this.told) this.parts.notices.tell({ type: 'log', level: 'warn', message, fields: {} });
    this.told = true;
  }
}

async function writeDurably(file: string, text: string, seconds: number): Promise<void> {
  const handle = await fs.promises.open(file, 'wx', 0o600);
  try {
    await handle.writeFile(text);
    await handle.utimes(seconds, seconds);
    await handle.sync();
  } finally {
    await handle.close();
  }
}
/** One setting a line, for people, and in the same order by whoever writes. */
function textOf(settings: readonly Setting[]): string {
  const sorted = settings.toSorted((one, other) => (one.key < other.key ? -1 : 1));
  return `[\n${sorted.map((setting) => JSON.stringify(setting)).join(',\n')}\n]\n`;
}
function parse(text: string): readonly Setting[] | undefined {
  try {
    const list: unknown = JSON.parse(text);
    return Array.isArray(list) && list.every(isSetting) ? list : undefined;
  } catch {
    return undefined;
  }
}
function isSetting(value: unknown): value is Setting {
  if (typeof value !== 'object' || value === null) return false;
  if (!('key' in value) || !('value' in value) || !('version' in value)) return false;
  return typeof value.key === 'string' && typeof value.value === 'string' && typeof value.version === 'number';
}
function isMissing(error: unknown): boolean {
  // Not `instanceof Error`: in jest the file system's errors are of another realm.
  return typeof error === 'object' && error !== null && 'code' in error && error.code === 'ENOENT';
}
function config(fault: string, remedy: string, cause?: unknown): BusError<'Config'> {
  return new BusError('Config', fault, { faults: [fault] }, cause, remedy);
}
