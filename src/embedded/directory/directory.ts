/**
 * Opens the directory that the processes of one machine share. Refuses a directory whose use would damage data or
 * expose it.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { Random } from '../../base/clock';
import { randomHex } from '../../base/clock';
import { BusError, isCode, errorMessage, sentence } from '../../base/errors';
import { addressCharactersMax } from './process-liveness';

/** Use of a directory: the embedded transport, or the spool in front of Kafka. One cannot be opened as the other. */
export type DirectoryUse = 'directory' | 'spool';
const uses = { directory: 'the directory of an embedded bus', spool: 'a spool' } as const;
/** Option that names the directory, for remedies. */
export const optionOf = { directory: 'dir', spool: 'spool' } as const;

/** The shared directory and its parts, as absolute paths. Only the owner has access to them (0700, files 0600). */
export interface Directory {
  readonly path: string;
  readonly ns: string;
  readonly use: DirectoryUse;
  /** Folder with one socket for each open bus. */
  readonly sockets: string;
  /** Folder with one small file for each announced instance. */
  readonly instances: string;
  readonly settings: string;
}

const layout = 1;
const markerName = 'busbar.json';
const openNames = new RegExp(`^~?${markerName.replace('.', '\\.')}`);
/** Longest path of a socket: `sun_path` with its terminating zero has 108 bytes on Linux, and 104 elsewhere. */
const socketPathBytesMax = process.platform === 'linux' ? 107 : 103;

/**
 * Returns the default directory. It is durable, unlike /tmp and /run, so that waiting work survives a restart of the
 * machine.
 */
export function defaultDirectory(ns: string): string {
  const state = process.env['XDG_STATE_HOME'] ?? '';
  return path.join(path.isAbsolute(state) ? state : path.join(os.homedir(), '.local', 'state'), 'busbar', ns);
}

/**
 * Opens or creates the directory of namespace `ns`. Throws Config if the path is not a directory, belongs to another
 * user, is open to other users, or holds foreign files. Also throws Config for a newer layout, another namespace, a
 * network file system, or a path too long for a socket. An existing directory that is refused is left unchanged.
 */
export function openDirectory(
  dir: string | undefined,
  ns: string,
  random: Random,
  use: DirectoryUse = 'directory',
): Directory {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(ns)) {
    refuse(use, `ns ${JSON.stringify(ns)} is not a name`, 'use 1 to 64 letters, digits, dots, dashes or underscores');
  }
  const at = path.resolve(dir ?? defaultDirectory(ns));
  checkLength(at, use);
  checkFileSystem(at, use);
  const found = look(at, use);
  if (found === undefined) create(at, use);
  else checkOwner(at, found, use);
  if (checkMarker(at, ns, use) === undefined) attempt(at, use, () => writeMarker(at, ns, random, use));
  checkMarker(at, ns, use);
  const directory = partsOf(at, ns, use);
  attempt(at, use, () => {
    for (const part of [directory.sockets, directory.instances, directory.settings]) {
      fs.mkdirSync(part, { recursive: true, mode: 0o700 });
    }
  });
  return directory;
}

/**
 * Returns the directory at `dir`, of any namespace. Throws Config like {@link openDirectory}, and if it does not exist
 * or was never opened. Changes nothing.
 */
export function findDirectory(dir: string, use: DirectoryUse): Directory {
  const at = path.resolve(dir);
  checkFileSystem(at, use);
  const found = look(at, use);
  const remedy = 'name the directory that the option spool of the processes names';
  if (found === undefined) refuse(use, `${at} does not exist`, remedy);
  checkOwner(at, found, use);
  const ns = checkMarker(at, undefined, use);
  if (ns === undefined) refuse(use, `${at} is empty, so it is not ${uses[use]}`, remedy);
  return partsOf(at, ns, use);
}

function partsOf(at: string, ns: string, use: DirectoryUse): Directory {
  return {
    path: at,
    ns,
    use,
    sockets: path.join(at, 's'),
    instances: path.join(at, 'instances'),
    settings: path.join(at, 'settings'),
  };
}

/**
 * Refused file systems by statfs type. On these, locks, mapped memory or sockets fail silently; most are shared by
 * several machines.
 */
const refusedFileSystems: Readonly<Record<number, string>> = {
  0x6969: 'NFS',
  0x517b: 'SMB',
  0xfe534d42: 'SMB',
  0xff534d42: 'CIFS',
  0x65735546: 'FUSE',
  0x01021997: '9p',
  0x5346414f: 'AFS',
  0x6b414653: 'AFS',
  0x73757245: 'Coda',
  0x564c: 'NCP',
  0x00c36400: 'Ceph',
  0x01161970: 'GFS2',
  0x7461636f: 'OCFS2',
  0x0bd00bd0: 'Lustre',
  0x47504653: 'GPFS',
  0x19830326: 'BeeGFS',
};

function checkFileSystem(at: string, use: DirectoryUse): void {
  const there = nearestThere(at);
  const type = attempt(at, use, () => fs.statfsSync(there).type) >>> 0;
  const name = refusedFileSystems[type];
  if (name !== undefined) {
    const found = `${at} is on a network or foreign file system (${name})`;
    refuse(use, found, `set ${optionOf[use]} to a directory on a disk of this machine`);
  }
}
function nearestThere(at: string): string {
  let there = at;
  while (!fs.existsSync(there) && path.dirname(there) !== there) there = path.dirname(there);
  return there;
}

function checkLength(at: string, use: DirectoryUse): void {
  const bytes = Buffer.byteLength(at) + '/s/~'.length + addressCharactersMax;
  if (bytes <= socketPathBytesMax) return;
  const most = socketPathBytesMax - bytes + Buffer.byteLength(at);
  const found = `${at} has ${Buffer.byteLength(at)} bytes, but sockets allow ${most}`;
  refuse(use, found, `set ${optionOf[use]} to a shorter path`);
}

function look(at: string, use: DirectoryUse): fs.Stats | undefined {
  return attempt(at, use, () => fs.statSync(at, { throwIfNoEntry: false }));
}

function create(at: string, use: DirectoryUse): void {
  attempt(at, use, () => {
    fs.mkdirSync(at, { recursive: true, mode: 0o700 });
    checkOwner(at, fs.statSync(at), use);
  });
}

function checkOwner(at: string, found: fs.Stats, use: DirectoryUse): void {
  const option = optionOf[use];
  if (!found.isDirectory()) refuse(use, `${at} is not a directory`, `set ${option} to a directory, or remove the file`);
  const user = process.geteuid?.();
  if (user !== undefined && found.uid !== user) {
    const owner = `${at} belongs to user ${found.uid}, this process runs as ${user}`;
    refuse(use, owner, `set ${option} to a directory of this user`);
  }
  const mode = found.mode & 0o777;
  const shown = `mode 0${mode.toString(8)}`;
  if ((mode & 0o077) !== 0) refuse(use, `${at} can be accessed by other users (${shown})`, `chmod 700 ${at}`);
  if ((mode & 0o700) !== 0o700) refuse(use, `${at} cannot be written (${shown})`, `chmod 700 ${at}`);
}

/**
 * Returns the namespace in the marker, or undefined if there is no marker. Throws Config for a directory that busbar
 * must not use, and for another namespace than `ns`.
 */
function checkMarker(at: string, ns: string | undefined, use: DirectoryUse): string | undefined {
  const option = optionOf[use];
  const file = markerFile(at);
  // List the names before looking for the marker. Another process that has just written the marker immediately adds
  // files beside it, and these would be taken for foreign ones.
  const names = attempt(at, use, () => fs.readdirSync(at));
  const text = attempt(at, use, () => (fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : undefined));
  if (text === undefined) {
    const foreign = names.filter((name) => !openNames.test(name));
    if (foreign.length === 0) return undefined;
    const found = `${at} contains foreign files (${foreign.slice(0, 3).join(', ')})`;
    refuse(use, found, `set ${option} to an empty or a new directory`);
  }
  const marker = readMarker(text);
  if (marker === undefined)
    refuse(use, `${file} is not a marker of busbar`, `set ${option} to an empty or a new directory`);
  if (marker.layout > layout) {
    const found = `${at} has layout ${marker.layout}, but this version of busbar supports ${layout}`;
    refuse(use, found, `update busbar, or set ${option} to another one`);
  }
  if (marker.busbar !== use) {
    const [found, wanted] = [uses[marker.busbar], uses[use]];
    refuse(use, `${at} is ${found}, not ${wanted}`, `set ${option} to another directory`);
  }
  if (ns !== undefined && marker.ns !== ns) {
    const found = `${at} belongs to ns ${marker.ns}, not ${ns}`;
    refuse(use, found, `set ns to ${marker.ns}, or set ${option} to another one`);
  }
  return marker.ns;
}

export function markerFile(at: string): string {
  return path.join(at, markerName);
}

/** Returns the content of a marker, or undefined if the text is not that of a marker. */
export function readMarker(text: string): { busbar: DirectoryUse; layout: number; ns: string } | undefined {
  try {
    const marker: unknown = JSON.parse(text);
    if (typeof marker !== 'object' || marker === null || !('layout' in marker) || !('ns' in marker)) return undefined;
    const { layout: found, ns } = marker;
    const busbar = 'busbar' in marker && marker.busbar === 'spool' ? 'spool' : 'directory';
    return typeof found === 'number' && typeof ns === 'string' ? { busbar, layout: found, ns } : undefined;
  } catch {
    return undefined;
  }
}

/** Writes the marker in full or not at all. If two processes write it at the same time, the first one's is kept. */
export function writeMarker(at: string, ns: string, random: Random, use: DirectoryUse): void {
  const draft = path.join(at, `~${markerName}.${randomHex(random, 32)}`);
  try {
    fs.writeFileSync(draft, `${JSON.stringify({ busbar: use, layout, ns })}\n`, { mode: 0o600, flag: 'wx' });
    fs.linkSync(draft, markerFile(at));
  } catch (error) {
    if (!isCode(error, 'EEXIST')) throw error;
  } finally {
    fs.rmSync(draft, { force: true });
  }
}

function attempt<T>(at: string, use: DirectoryUse, run: () => T): T {
  try {
    return run();
  } catch (error) {
    if (error instanceof BusError) throw error;
    const remedy = `check its permissions and the free disk space, or set ${optionOf[use]} to another one`;
    return refuse(use, `${at} cannot be used: ${errorMessage(error)}`, remedy);
  }
}

export function refuse(use: DirectoryUse, found: string, remedy: string): never {
  const fault = `${found}; ${remedy}`;
  const message = `${use === 'spool' ? 'the spool' : 'the directory of the bus'} is refused: ${fault}`;
  throw new BusError('Config', message, { faults: [fault] }, undefined, sentence(remedy));
}
