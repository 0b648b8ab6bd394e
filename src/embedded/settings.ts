/** Settings as one text file that is replaced whole, in a race that only one writer wins; durable and watched. */
import fs from 'node:fs';
import path from 'node:path';
import type { Clock, Random } from '../base/clock';
import { every, randomHex, sleep } from '../base/clock';
import { BusError, isBusError, sayError, type SendOutcome } from '../base/errors';
import type { Closable } from '../base/lifecycle';
import { closable } from '../base/lifecycle';
import { limits } from '../base/limits';
import type { Notices } from '../base/notices';
import type { Setting, Settings } from '../ports/settings';
import { FolderChanges } from './changes';
import type { Directory } from './directory';
import { isCode } from './directory';
import type { Rings } from './rings';

export interface SettingsParts {
  readonly directory: Directory;
  readonly rings: Rings;
  readonly clock: Clock;
  readonly random: Random;
  readonly notices: Notices;
}

const topic = 'settings';
const pollMs = 500;
/** Generations that stay: a slow reader still finds the one it chose, a slow writer finds its number taken. */
const generationsKept = 16;
const triesMax = 200;
/** Of all settings together, as the file has them. */
const fileBytesMax = 4 * limits.messageBytesMax;

/**
 * All settings as of one write. The file's name is its generation, and a link that is made only if the name is free
 * decides who wrote it: so there is no lock that a dead process could leave.
 */
interface Generation {
  readonly number: number;
  readonly settings: ReadonlyMap<string, Setting>;
}

export function openSettings(parts: SettingsParts): Settings {
  return new FileSettings(parts);
}

class FileSettings implements Settings {
  private readonly watchers = new Set<(settings: readonly Setting[]) => void>();
  private newest: Generation = { number: 0, settings: new Map() };
  /** Writes of this process go one after the other. */
  private lastWrite: Promise<unknown> = Promise.resolve();
  private closedAtMs: number | undefined;
  private readonly changes: FolderChanges;
  private readonly stops: (() => void)[];
  private closing: Promise<void> | undefined;

  constructor(private readonly parts: SettingsParts) {
    this.changes = new FolderChanges(parts.directory.settings, parts.clock);
    const poll = every(parts.clock, pollMs, () => this.refresh());
    const deaf = parts.rings.onRing((rung) => {
      if (rung === topic) this.refresh();
    });
    this.stops = [() => poll.cancel(), deaf];
  }

  async get(key: string): Promise<Setting | undefined> {
    this.checkOpen();
    return this.read().settings.get(key);
  }
  async all(): Promise<readonly Setting[]> {
    this.checkOpen();
    return [...this.read().settings.values()];
  }

  async set(key: string, value: string | null, was: number): Promise<number> {
    this.checkOpen();
    const write = this.lastWrite.then(() => this.write(key, value, was));
    this.lastWrite = write.catch(() => undefined);
    return write;
  }

  async watch(see: (settings: readonly Setting[]) => void): Promise<Closable> {
    this.checkOpen();
    this.read();
    this.watchers.add(see);
    see([...this.newest.settings.values()]);
    return closable(async () => void this.watchers.delete(see));
  }

  close(): Promise<void> {
    return (this.closing ??= this.closeOnce());
  }
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
  private async closeOnce(): Promise<void> {
    await this.lastWrite;
    this.closedAtMs = this.parts.clock.now();
    for (const stop of this.stops) stop();
    this.watchers.clear();
  }
  private checkOpen(): void {
    if (this.closedAtMs === undefined) return;
    throw new BusError('Closed', 'this bus is closed', {
      outcome: 'not-sent',
      sinceMs: this.parts.clock.now() - this.closedAtMs,
    });
  }

  private async write(key: string, value: string | null, was: number): Promise<number> {
    for (let tries = 0; tries < triesMax; tries++) {
      const { number, settings } = this.read();
      if (await this.replace(number, changed(settings, key, value, was))) return value === null ? 0 : was + 1;
      await sleep(this.parts.clock, this.parts.random.next() * Math.min(tries, 20));
    }
    throw unreachable(
      'not-sent',
      `${this.parts.directory.settings}: ${triesMax} times somebody else wrote at the same moment`,
    );
  }

  /** Makes generation `was` + 1, unless another process did first. */
  private async replace(was: number, settings: ReadonlyMap<string, Setting>): Promise<boolean> {
    const draft = this.path(`~${this.parts.rings.address}.${randomHex(this.parts.random, 32)}`);
    try {
      await writeDurably(draft, textOf(settings));
      if (!(await this.publish(draft, was + 1))) return false;
    } catch (error) {
      if (isBusError(error)) throw error;
      throw unreachable(
        'unknown',
        `${draft} cannot be written: ${sayError(error)}; see to its rights and space`,
        error,
      );
    } finally {
      fs.rmSync(draft, { force: true });
    }
    this.refresh();
    this.parts.rings.ring(this.parts.rings.others(), topic);
    return true;
  }

  private async publish(draft: string, number: number): Promise<boolean> {
    try {
      fs.linkSync(draft, this.path(String(number)));
    } catch (error) {
      if (isCode(error, 'EEXIST')) return false;
      throw error;
    }
    const there = this.generations();
    if (Math.max(...there) >= number + generationsKept) {
      // Others went on while this process stood still, and the number was free only because they removed it again.
      fs.rmSync(this.path(String(number)), { force: true });
      return false;
    }
    for (const old of there) if (old <= number - generationsKept) fs.rmSync(this.path(String(old)), { force: true });
    await syncDirectory(this.parts.directory.settings);
    return true;
  }

  private path(name: string): string {
    return path.join(this.parts.directory.settings, name);
  }
  private generations(): number[] {
    const names = fs.readdirSync(this.parts.directory.settings);
    return [0, ...names.filter((name) => /^\d{1,15}$/.test(name)).map(Number)];
  }

  /** The newest generation, told to those who watch when it is new. Throws Config when its file is damaged. */
  private read(): Generation {
    for (let tries = 0; tries < triesMax; tries++) {
      const number = Math.max(...this.generations());
      if (number === this.newest.number) return this.newest;
      const text = readIfThere(this.path(String(number)));
      if (text === undefined) continue;
      this.newest = { number, settings: parse(text, this.path(String(number))) };
      for (const see of this.watchers) this.show(see);
      return this.newest;
    }
    throw unreachable('not-sent', `${this.parts.directory.settings} changed ${triesMax} times while it was read`);
  }

  private show(see: (settings: readonly Setting[]) => void): void {
    try {
      see([...this.newest.settings.values()]);
    } catch (error) {
      this.refused(`a watcher threw: ${sayError(error)}`);
    }
  }

  /** Reads what is new; when it cannot be read, those who watch keep what they know. */
  private refresh(): void {
    try {
      if (this.changes.look()) this.read();
    } catch (error) {
      this.refused(sayError(error));
    }
  }
  private refused(reason: string): void {
    this.parts.notices.tell({ type: 'setting', key: '*', change: 'refused', reason });
  }
}

/** The settings after a write. Throws Conflict when the version is another, TooLarge when it is too much. */
function changed(
  settings: ReadonlyMap<string, Setting>,
  key: string,
  value: string | null,
  was: number,
): ReadonlyMap<string, Setting> {
  const found = settings.get(key)?.version ?? 0;
  if (found !== was) {
    const message = `setting ${key} has version ${found}, not ${was}: somebody else wrote it`;
    throw new BusError('Conflict', message, { key, expected: was, found });
  }
  const now = new Map(settings);
  if (value === null) now.delete(key);
  else now.set(key, { key, value, version: was + 1 });
  return now;
}

// One setting a line, so that a person can read and compare the files.
function textOf(settings: ReadonlyMap<string, Setting>): string {
  const text = `[\n${[...settings.values()].map((setting) => JSON.stringify(setting)).join(',\n')}\n]\n`;
  const bytes = Buffer.byteLength(text);
  if (bytes <= fileBytesMax) return text;
  const message = `all settings together would have ${bytes} bytes, the limit is ${fileBytesMax}`;
  throw new BusError('TooLarge', message, { bytes, limitBytes: fileBytesMax });
}
function parse(text: string, file: string): ReadonlyMap<string, Setting> {
  try {
    const list: unknown = JSON.parse(text);
    if (!Array.isArray(list) || !list.every(isSetting)) throw new Error('no list of settings');
    return new Map(list.map((setting) => [setting.key, setting]));
  } catch (error) {
    const fault = `${file} is damaged (${sayError(error)}); mend it, or remove it to go back to the one before`;
    throw new BusError('Config', fault, { faults: [fault] });
  }
}
function isSetting(value: unknown): value is Setting {
  if (typeof value !== 'object' || value === null) return false;
  if (!('key' in value) || !('value' in value) || !('version' in value)) return false;
  return typeof value.key === 'string' && typeof value.value === 'string' && typeof value.version === 'number';
}

function readIfThere(file: string): string | undefined {
  try {
    return fs.readFileSync(file, 'utf8');
  } catch (error) {
    if (isCode(error, 'ENOENT')) return undefined;
    throw unreachable('not-sent', `${file} cannot be read: ${sayError(error)}; see to its rights`, error);
  }
}
async function writeDurably(file: string, text: string): Promise<void> {
  const handle = await fs.promises.open(file, 'wx', 0o600);
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
}
async function syncDirectory(at: string): Promise<void> {
  const handle = await fs.promises.open(at, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
function unreachable(outcome: SendOutcome, message: string, cause?: unknown): BusError {
  return new BusError('Unreachable', message, { outcome, waitedMs: 0, cause: message }, cause);
}
