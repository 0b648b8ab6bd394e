/** Recreates missing folders and the marker of the shared directory, and detects that the directory was replaced. */
import fs from 'node:fs';
import path from 'node:path';
import type { Random } from '../../base/clock';
import { BusError, isCode, errorMessage } from '../../base/errors';
import type { Notices } from '../../base/notices';
import { fileIdentity } from './file-identity';
import { markerFile, readMarker, writeMarker, type Directory } from './directory';

/** A fault of the directory. `final`: the path now leads to a different directory than the one that this bus opened. */
interface DirectoryFault {
  readonly reason: string;
  readonly final: boolean;
}

export class Upkeep {
  private readonly device: number;
  private readonly inode: number;
  private reported: string | undefined;
  /** State of the marker when it was last read. The marker is reread only when this changes. */
  private marker: string | undefined;

  constructor(
    private readonly directory: Directory,
    private readonly random: Random,
    private readonly notices: Notices,
  ) {
    const { dev, ino } = fs.statSync(directory.path);
    [this.device, this.inode] = [dev, ino];
  }

  /**
   * Recreates missing parts, and reports a part that cannot be created as a state. Returns false when the directory is
   * no longer at its path. The caller must then create and read nothing there, since the path belongs to other
   * processes. Never throws.
   */
  look(): boolean {
    const fault = this.fault();
    if (fault?.reason !== this.reported) {
      this.reported = fault?.reason;
      const { reason, final } = fault ?? { reason: 'all of its parts exist', final: false };
      this.notices.emit({ type: 'state', part: 'directory', ok: fault === undefined, reason, ...(final && { final }) });
    }
    return fault?.final !== true;
  }

  /** Throws StoreBroken when {@link Upkeep.look} returns false. */
  check(): void {
    const { path: at } = this.directory;
    const cause = this.look() ? undefined : this.reported;
    if (cause === undefined) return;
    throw new BusError('StoreBroken', `${at} cannot be used: ${cause}`, { outcome: 'not-sent', path: at, cause });
  }

  private fault(): DirectoryFault | undefined {
    const { directory } = this;
    try {
      const now = fs.statSync(directory.path, { throwIfNoEntry: false });
      if (now === undefined) return directoryMoved(`${directory.path} was removed or renamed`);
      if (now.ino !== this.inode || now.dev !== this.device) {
        return directoryMoved(`${directory.path} was replaced by another directory`);
      }
      for (const folder of [directory.sockets, directory.instances, directory.settings]) this.keepFolder(folder);
      return this.keepMarker();
    } catch (error) {
      if (isCode(error, 'ENOTDIR', 'ELOOP') && !isFolder(directory.path))
        return directoryMoved(`${directory.path} was replaced`);
      const remedy = 'Check its permissions and the free disk space.';
      return { reason: `${directory.path} cannot be checked: ${errorMessage(error)}. ${remedy}`, final: false };
    }
  }

  private keepFolder(folder: string): void {
    if (fs.statSync(folder, { throwIfNoEntry: false })?.isDirectory() === true) return;
    try {
      fs.mkdirSync(folder, { mode: 0o700 });
      this.reportMade(folder);
    } catch (error) {
      // Another process created it at the same moment.
      if (!isCode(error, 'EEXIST') || !fs.statSync(folder).isDirectory()) throw error;
    }
  }

  private keepMarker(): DirectoryFault | undefined {
    const file = markerFile(this.directory.path);
    const seen = fileIdentity(file);
    if (seen !== undefined && seen === this.marker) return undefined;
    const found = seen === undefined ? undefined : readMarker(textOf(file));
    if (found === undefined) {
      // Remove a damaged marker, or a symbolic link without a target: both would block the write.
      if (fs.lstatSync(file, { throwIfNoEntry: false }) !== undefined) fs.rmSync(file, { force: true });
      writeMarker(this.directory.path, this.directory.ns, this.random, this.directory.use);
      this.reportMade(file);
    } else if (found.ns !== this.directory.ns) {
      return { reason: `${file} names ns ${found.ns}, but this bus has ns ${this.directory.ns}`, final: false };
    }
    this.marker = seen;
    return undefined;
  }

  private reportMade(file: string): void {
    const fields = { file: path.relative(this.directory.path, file) };
    const message = 'a part of the shared directory was missing and was recreated';
    this.notices.emit({ type: 'log', level: 'warn', message, fields });
  }
}

/** Returns the text of a file, or an empty text if it cannot be read. */
function textOf(file: string): string {
  try {
    return fs.readFileSync(file, 'utf8');
  } catch (error) {
    if (isCode(error, 'EACCES', 'ENOENT')) return '';
    throw error;
  }
}
function isFolder(at: string): boolean {
  try {
    return fs.statSync(at).isDirectory();
  } catch {
    return false;
  }
}
function directoryMoved(what: string): DirectoryFault {
  const remedy = 'Restart this process. The messages that it accepted are in the directory that it opened.';
  return { reason: `${what} while this process had it open. ${remedy}`, final: true };
}
