/**
 * Implements settings as one text file. Each write replaces the whole file, durably, and only one of several concurrent
 * writers succeeds. The file is long because reading, replacing and repairing the file share one generation.
 */
import fs from 'node:fs';
import path from 'node:path';
import type { Clock, Random } from '../base/clock';
import { every, randomHex, sleep } from '../base/clock';
import { BusError, isBusError, isCode, errorMessage, type SendOutcome } from '../base/errors';
import { closable, type Closable } from '../base/lifecycle';
import type { Notices } from '../base/notices';
import type { Setting, Settings } from '../ports/settings';
import { fileIdentity } from './directory/file-identity';
import { FolderChanges } from './directory/folder-changes';
import type { Directory } from './directory/directory';
import type { Doorbells } from './sockets/doorbells';
import { parse, readIfThere, syncDirectory, textOf, unreachable, writeDurably } from './directory/settings-file';

export interface SettingsParts {
  readonly directory: Directory;
  readonly doorbells: Doorbells;
  readonly clock: Clock;
  readonly random: Random;
  readonly notices: Notices;
}

const topic = 'settings';
const pollMs = 500;
/** Generations that are kept. A slow reader still finds the one it chose, and a slow writer finds its number in use. */
const generationsKept = 16;
const triesMax = 200;

/**
 * All settings as of one write. The number is the file name. The file is created by a link that succeeds only if the
 * name is free, which decides between concurrent writers. No lock is needed that a dead process could leave behind.
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
  /** The last write of this process. Its writes run one after another. */
  private lastWrite: Promise<unknown> = Promise.resolve();
  private closedAtMs: number | undefined;
  private readonly changes: FolderChanges;
  /** Identity of the newest generation's file when it was last read. */
  private seen: string | undefined;
  /** Reason why the file currently cannot be read or recreated. */
  private fault: string | undefined;
  private readonly stops: (() => void)[];
  private readonly closing = closable(() => this.closeOnce());

  constructor(private readonly parts: SettingsParts) {
    this.changes = new FolderChanges(parts.directory.settings, parts.clock);
    const poll = every(parts.clock, pollMs, () => void this.keep());
    const deaf = parts.doorbells.onRing((rung) => {
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
    return this.closing.close();
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
      `${this.parts.directory.settings}: another process changed them during each of ${triesMax} tries`,
    );
  }

  /** Writes generation `was` + 1. Returns false if another process wrote it first. */
  private async replace(was: number, settings: ReadonlyMap<string, Setting>): Promise<boolean> {
    const draft = this.draft();
    /** Until the draft is published, no other process can read any of it. */
    let outcome: SendOutcome = 'not-sent';
    try {
      await writeDurably(draft, textOf(settings));
      outcome = 'unknown';
      if (!(await this.publish(draft, was + 1))) return false;
    } catch (error) {
      if (isBusError(error)) throw error;
      const remedy = 'Check the permissions of its folder and the free disk space.';
      throw unreachable(outcome, `cannot write ${draft}: ${errorMessage(error)}. ${remedy}`, error);
    } finally {
      fs.rmSync(draft, { force: true });
    }
    this.refresh();
    this.parts.doorbells.ring(this.parts.doorbells.others(), topic);
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
      // This process was stopped while other processes wrote. The number was free only because they had removed its
      // file.
      fs.rmSync(this.path(String(number)), { force: true });
      return false;
    }
    for (const old of there) if (old <= number - generationsKept) fs.rmSync(this.path(String(old)), { force: true });
    await syncDirectory(this.parts.directory.settings);
    return true;
  }

  private draft(): string {
    return this.path(`~${this.parts.doorbells.address}.${randomHex(this.parts.random, 32)}`);
  }
  private path(name: string): string {
    return path.join(this.parts.directory.settings, name);
  }
  private generations(): number[] {
    const names = namesIn(this.parts.directory.settings);
    return [0, ...names.filter((name) => /^\d{1,15}$/.test(name)).map(Number)];
  }

  /** Returns the newest generation, and notifies watchers when it is new. Throws Config when its file is damaged. */
  private read(): Generation {
    for (let tries = 0; tries < triesMax; tries++) {
      const number = Math.max(...this.generations());
      const file = this.path(String(number));
      const seen = fileIdentity(file);
      // Without any generation, the known settings stay and are rewritten; there is no earlier one to read.
      if (number === 0 || (number === this.newest.number && seen === this.seen)) return this.newest;
      const text = readIfThere(file);
      if (text === undefined) continue;
      const settings = parse(text, file);
      this.seen = seen;
      this.newest = { number, settings };
      for (const see of this.watchers) this.show(see);
      return this.newest;
    }
    throw unreachable('not-sent', `${this.parts.directory.settings} changed ${triesMax} times while it was read`);
  }

  private show(see: (settings: readonly Setting[]) => void): void {
    try {
      see([...this.newest.settings.values()]);
    } catch (error) {
      this.refused(`a listener threw: ${errorMessage(error)}`);
    }
  }

  /** Reads new settings. When they cannot be read, watchers keep the known ones. */
  private refresh(): void {
    try {
      this.changes.look();
      this.read();
    } catch (error) {
      this.refused(errorMessage(error));
    }
  }

  /**
   * Does the same as {@link FileSettings.refresh}, at little cost while nothing changes. Recreates a file that was
   * removed or damaged.
   */
  private async keep(): Promise<void> {
    const { number } = this.newest;
    try {
      if (!this.changes.look() && this.fault === undefined && this.seen === fileIdentity(this.path(String(number))))
        return;
      try {
        this.read();
      } catch (error) {
        if (number === 0 || Math.max(...this.generations()) !== number) throw error; // its content is not known here
        await this.restore('damaged');
      }
      if (number > 0 && Math.max(...this.generations()) === 0) await this.restore('removed');
      this.reportFault(undefined);
    } catch (error) {
      this.reportFault(errorMessage(error));
    }
  }
  /** Rewrites the newest generation that this process knows. All processes that do so write the same content. */
  private async restore(why: 'damaged' | 'removed'): Promise<void> {
    const { number, settings } = this.newest;
    if (this.closedAtMs !== undefined) return;
    const draft = this.draft();
    const file = this.path(String(number));
    try {
      await writeDurably(draft, textOf(settings));
      const written = fileIdentity(draft);
      if (why === 'damaged') fs.renameSync(draft, file);
      else fs.linkSync(draft, file);
      this.seen = written;
    } catch (error) {
      if (isCode(error, 'EEXIST')) return; // another process was faster, or damaged it again
      throw error;
    } finally {
      fs.rmSync(draft, { force: true });
    }
    const message = `the file of the newest settings was ${why}, and was rewritten from this process`;
    this.parts.notices.emit({ type: 'log', level: 'warn', message, fields: { file } });
    // A write of another process between the removal and this one would be hidden by the higher number.
    if (why === 'removed' && this.generations().some((other) => other !== 0 && other < number))
      fs.rmSync(file, { force: true });
  }
  private reportFault(reason: string | undefined): void {
    if (reason === this.fault) return;
    this.fault = reason;
    const message = reason ?? 'the files can be read again';
    this.parts.notices.emit({
      type: 'state',
      part: 'settings',
      ok: reason === undefined,
      reason: message,
      ...(reason !== undefined && { ready: true }),
    });
    if (reason !== undefined) this.refused(reason);
  }

  private refused(reason: string): void {
    this.parts.notices.emit({ type: 'setting', key: '*', change: 'refused', reason });
  }
}

/** Returns the settings after a write. Throws Conflict when the version differs from `was`. */
function changed(
  settings: ReadonlyMap<string, Setting>,
  key: string,
  value: string | null,
  was: number,
): ReadonlyMap<string, Setting> {
  const found = settings.get(key)?.version ?? 0;
  if (found !== was) {
    const message = `setting ${key} has version ${found}, not ${was}: another process changed it`;
    throw new BusError('Conflict', message, { key, expected: was, found });
  }
  const now = new Map(settings);
  if (value === null) now.delete(key);
  else now.set(key, { key, value, version: was + 1 });
  return now;
}

/** Returns the names in a folder, or none while the folder does not exist. */
function namesIn(folder: string): readonly string[] {
  try {
    return fs.readdirSync(folder);
  } catch (error) {
    if (isCode(error, 'ENOENT')) return [];
    throw error;
  }
}
