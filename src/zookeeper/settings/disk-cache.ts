/** Cache file of the settings, for a start while ZooKeeper is unreachable. */
import fs from 'node:fs';
import path from 'node:path';
import { randomHex, type Clock, type Random } from '../../base/clock';
import { BusError, isCode, errorMessage } from '../../base/errors';
import type { Notices } from '../../base/notices';
import type { Setting } from '../../ports/settings';

/** Dependencies of the cache. */
export interface CacheParts {
  /**
   * Directory of the file. It is created for this user only if it does not exist. Processes of one namespace can share
   * it.
   */
  readonly dir: string;
  readonly ns: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly notices: Notices;
}
/** Settings of an earlier run. */
export interface Cached {
  readonly settings: readonly Setting[];
  /** Time since they were last confirmed as current, in ms. */
  readonly ageMs: number;
}

/** Settings, and the time at which they were confirmed. */
interface Held {
  readonly settings: readonly Setting[];
  readonly atMs: number;
}

/**
 * The cache: one file with mode 0600, which each write replaces as a whole. Its modification time is the time at which
 * the content was last confirmed as current.
 */
export class SettingsCache {
  readonly file: string;
  private next: Held | undefined;
  private writing: Promise<void> = Promise.resolve();
  private reported = false;

  /** Creates the directory. Throws Config if that fails. */
  constructor(private readonly parts: CacheParts) {
    this.file = path.join(path.resolve(parts.dir), `${parts.ns}.settings.json`);
    try {
      fs.mkdirSync(path.dirname(this.file), { recursive: true, mode: 0o700 });
    } catch (error) {
      throw config(
        `the directory for the last known settings, ${parts.dir}, cannot be created: ${errorMessage(error)}`,
        'Set dir to a folder that this user can write.',
        error,
      );
    }
  }

  /**
   * Returns the cached settings, or undefined if there is no file. Throws Config if the file is damaged or if another
   * user can write it.
   */
  read(): Cached | undefined {
    let text: string;
    let stat: fs.Stats;
    try {
      [stat, text] = [fs.statSync(this.file), fs.readFileSync(this.file, 'utf8')];
    } catch (error) {
      if (isCode(error, 'ENOENT')) return undefined;
      throw config(
        `${this.file} cannot be read: ${errorMessage(error)}. Check its permissions.`,
        `Let this user read ${this.file}, or remove it.`,
        error,
      );
    }
    if ((stat.mode & 0o022) !== 0)
      throw config(
        `${this.file} can be written by other users. Remove it`,
        `Remove ${this.file}, or run chmod go-w on it.`,
      );
    const settings = parse(text);
    if (settings === undefined)
      throw config(`${this.file} is damaged. Remove it`, `Remove ${this.file}. ZooKeeper has the settings.`);
    return { settings, ageMs: Math.max(0, Math.round(this.parts.clock.now() - stat.mtimeMs)) };
  }

  /**
   * Schedules a write of the current settings. A newer call replaces one that waits. A failing disk is reported once.
   */
  keep(settings: readonly Setting[]): void {
    const waits = this.next !== undefined;
    this.next = { settings, atMs: this.parts.clock.now() };
    if (!waits) this.writing = this.writing.then(() => this.writeNext());
  }
  /** Resolves when every scheduled write has ended. */
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
      this.reported = false;
    } catch (error) {
      await fs.promises.rm(draft, { force: true }).catch(() => undefined);
      this.report(`${this.file} cannot be written: ${errorMessage(error)}; the next start can require ZooKeeper`);
    }
  }
  /**
   * Returns whether the file already has this content, and updates its time if so. Other content keeps its time:
   * another process can have written it, and it must not seem current.
   */
  private async confirm(text: string, seconds: number): Promise<boolean> {
    try {
      // an open file stays the same even if it is replaced meanwhile
      const handle = await fs.promises.open(this.file, 'r');
      try {
        const holds = (await handle.readFile()).equals(Buffer.from(text));
        if (holds) await handle.utimes(seconds, seconds);
        return holds;
      } finally {
        await handle.close();
      }
    } catch {
      return false; // the caller writes the file then, and reports the error
    }
  }
  private report(message: string): void {
    if (!this.reported) this.parts.notices.emit({ type: 'log', level: 'warn', message, fields: {} });
    this.reported = true;
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
/**
 * Returns the content of the file: one setting per line, for people. The order is the same in every process, so that
 * equal settings make equal files.
 */
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
function config(fault: string, remedy: string, cause?: unknown): BusError<'Config'> {
  return new BusError('Config', fault, { faults: [fault] }, cause, remedy);
}
