/**
 * Writes and reads the announcements in the shared directory. Each is a small file that never changes after it has its
 * name.
 */
import fs from 'node:fs';
import path from 'node:path';
import type { Clock } from '../../base/clock';
import { BusError, isCode, errorMessage } from '../../base/errors';
import type { Notices } from '../../base/notices';
import { isInstance, type Instance } from '../../ports/registry';
import { fileIdentity } from './file-identity';
import { FolderChanges } from './folder-changes';
import { isAddress } from './process-liveness';

/**
 * An announcement. Its file is `<address>.<change>`, so that a changed announcement has a new name and readers notice
 * it.
 */
export interface Entry {
  readonly file: string;
  readonly instance: Instance;
}

export interface AnnouncementsParts {
  readonly folder: string;
  readonly address: string;
  readonly clock: Clock;
  /** Returns whether to accept a file that was not known before. Processes that died leave their files behind. */
  readonly alive: (address: string) => boolean;
  readonly notices: Notices;
}

const fileBytesMax = 64 * 1024;

export class Announcements {
  /** The newest announcement of each address that this process has read. */
  readonly entries = new Map<string, Entry>();
  /** Increases when `entries` changes. */
  version = 0;
  private readonly folder: FolderChanges;
  /** Files that were reported as damaged, so that each is reported only once. */
  private readonly damaged = new Set<string>();
  /** Files that the file system did not return at the last attempt, and why. Each read retries them. */
  private readonly unread = new Map<string, string>();
  private own: string | undefined;
  private ownInstance: Instance | undefined;
  /** Identity of the file that this instance wrote, used to detect that it was removed or changed. */
  private ownIdentity: string | undefined;
  private written = 0;

  constructor(private readonly parts: AnnouncementsParts) {
    this.folder = new FolderChanges(parts.folder, parts.clock);
  }

  /** Names an announcement that could not be read, for health; undefined when all of them were read. */
  get fault(): string | undefined {
    const [first] = this.unread;
    if (first === undefined) return undefined;
    const [file, reason] = first;
    const more = this.unread.size === 1 ? '' : `, and ${this.unread.size - 1} more`;
    return `${this.path(file)}${more} cannot be read: ${reason}. Check its permissions, the disk and the open files.`;
  }

  /** Reads every announcement that is new or could not be read before. Removes the files of processes that died. */
  read(): void {
    if (!this.folder.look()) return;
    try {
      this.readAll();
    } catch (error) {
      this.folder.unread();
      throw error;
    }
  }
  private readAll(): void {
    this.unread.clear();
    const files = fs.readdirSync(this.parts.folder);
    const there = newest(files);
    for (const address of this.entries.keys()) if (!there.has(address)) this.forget(address);
    for (const [address, file] of there) if (this.entries.get(address)?.file !== file) this.readFile(address, file);
    for (const file of this.damaged) if (!files.includes(file)) this.damaged.delete(file);
  }

  /** Reads one file after it was added or removed. */
  readOne(file: string): void {
    const address = addressOf(file);
    if (!isAddress(address)) return;
    if (this.entries.get(address)?.file !== file) this.readFile(address, file);
    else if (!fs.existsSync(this.path(file))) this.forget(address);
  }

  /** Removes an instance that is known to be dead from `entries`, even if its file still exists. */
  forget(address: string): void {
    const entry = this.entries.get(address);
    if (entry === undefined) return;
    this.entries.delete(address);
    this.version++;
    this.parts.notices.emit({ type: 'instance', instance: entry.instance.name, change: 'gone' });
  }

  /** Reverts {@link Announcements.forget}. */
  restore(address: string, entry: Entry): void {
    this.entries.set(address, entry);
    this.version++;
    this.parts.notices.emit({ type: 'instance', instance: entry.instance.name, change: 'up' });
  }

  /**
   * Writes or replaces the announcement of this instance, and returns its file. Readers find either the old or the new
   * one.
   */
  write(instance: Instance): string {
    const text = JSON.stringify(instance);
    const bytes = Buffer.byteLength(text);
    if (bytes > fileBytesMax) {
      const message = `${instance.name} announces ${bytes} bytes, the limit is ${fileBytesMax}`;
      throw new BusError('TooLarge', message, { bytes, limitBytes: fileBytesMax });
    }
    const was = this.own;
    const file = `${this.parts.address}.${++this.written}`;
    try {
      fs.writeFileSync(this.path(`~${file}`), text, { mode: 0o600 });
      fs.renameSync(this.path(`~${file}`), this.path(file));
    } catch (error) {
      fs.rmSync(this.path(`~${file}`), { force: true });
      const remedy = 'Check the permissions of its folder and the free disk space.';
      const message = `${this.path(file)} cannot be written: ${errorMessage(error)}. ${remedy}`;
      throw new BusError(
        'Unreachable',
        message,
        { outcome: 'not-sent', waitedMs: 0, cause: errorMessage(error) },
        error,
      );
    }
    this.own = file;
    this.ownInstance = instance;
    this.ownIdentity = fileIdentity(this.path(file));
    if (was !== undefined) this.removeFile(was);
    return file;
  }

  /**
   * Rewrites the announcement when `isNew`, or when its file was removed or changed. Returns the file if it was
   * rewritten.
   */
  keep(isNew: boolean): string | undefined {
    if (this.own === undefined || this.ownInstance === undefined) return undefined;
    if (!isNew && fileIdentity(this.path(this.own)) === this.ownIdentity) return undefined;
    return this.write(this.ownInstance);
  }

  /**
   * Withdraws the announcement of this instance; returns its file, if it had one. A file that cannot be removed is
   * reported: other processes remove it once the socket of this bus refuses connections.
   */
  withdraw(): string | undefined {
    const was = this.own;
    this.own = undefined;
    this.ownInstance = undefined;
    if (was === undefined) return undefined;
    try {
      this.removeFile(was);
    } catch (error) {
      const reason = `${this.path(was)} cannot be removed: ${errorMessage(error)}`;
      this.parts.notices.emit({ type: 'dropped', what: 'withdrawal', reason });
    }
    return was;
  }

  /**
   * Removes the announcement of a dead instance. Addresses are never reused, so this cannot remove a successor's file.
   */
  remove(address: string): string | undefined {
    const file = this.entries.get(address)?.file;
    if (file !== undefined) this.removeFile(file);
    return file;
  }

  private removeFile(file: string): void {
    try {
      fs.unlinkSync(this.path(file));
    } catch (error) {
      if (!isCode(error, 'ENOENT', 'ENOTDIR')) throw error;
    }
  }
  private path(file: string): string {
    return path.join(this.parts.folder, file);
  }

  private readFile(address: string, file: string): void {
    const known = this.entries.get(address);
    if (known !== undefined && changeOf(known.file) > changeOf(file)) return;
    if (known === undefined && address !== this.parts.address && !this.parts.alive(address)) {
      return this.removeFile(file);
    }
    const instance = this.parse(file);
    if (instance === undefined) return;
    this.entries.set(address, { file, instance });
    this.version++;
    if (known === undefined) this.parts.notices.emit({ type: 'instance', instance: instance.name, change: 'up' });
  }

  private parse(file: string): Instance | undefined {
    if (this.damaged.has(file)) return undefined;
    const text = this.textOf(file);
    if (text === undefined) return undefined;
    try {
      const value: unknown = JSON.parse(text);
      if (!isInstance(value)) throw new Error('the file is not an announcement');
      return value;
    } catch (error) {
      this.damaged.add(file);
      const reason = `${this.path(file)}: ${errorMessage(error)}`;
      this.parts.notices.emit({ type: 'dropped', what: 'announcement', reason });
      return undefined;
    }
  }

  /**
   * Returns the text of a file, or undefined if it cannot be read now. A failed system call, such as EMFILE, EIO or
   * EACCES, proves nothing about the content and can succeed later.
   */
  private textOf(file: string): string | undefined {
    this.unread.delete(file);
    try {
      return fs.readFileSync(this.path(file), 'utf8');
    } catch (error) {
      if (isCode(error, 'ENOENT')) return undefined; // replaced or withdrawn during the read
      this.unread.set(file, errorMessage(error));
      this.folder.unread();
      return undefined;
    }
  }
}

function addressOf(file: string): string {
  return file.slice(0, Math.max(0, file.lastIndexOf('.')));
}
/** Returns the newest file of each address. While an announcement is being replaced, the previous file still exists. */
function newest(files: readonly string[]): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const file of files) {
    const address = addressOf(file);
    const other = found.get(address);
    if (isAddress(address) && (other === undefined || changeOf(other) < changeOf(file))) found.set(address, file);
  }
  return found;
}
function changeOf(file: string): number {
  return Number(file.slice(file.lastIndexOf('.') + 1));
}
