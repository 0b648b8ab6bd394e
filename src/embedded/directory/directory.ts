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
    refuse(`ns ${JSON.stringify(ns)} is not a name`, 'use 1 to 64 letters, digits, dots, dashes or underscores');
  }
  const at = path.resolve(dir ?? defaultDirectory(ns));
  checkLength(at);
  checkFileSystem(at);
  const found = look(at);
  if (found === undefined) create(at);
  else checkOwner(at, found);
  const directory = {
    path: at,
    ns,
    use,
    sockets: path.join(at, 's'),
    instances: path.join(at, 'instances'),
    settings: path.join(at, 'settings'),
  };
  if (!checkMarker(at, ns, use)) attempt(at, () => writeMarker(at, ns, random, use));
  checkMarker(at, ns, use);
  attempt(at, () => {
    for (const part of [directory.sockets, directory.instances, directory.settings]) {
      fs.mkdirSync(part, { recursive: true, mode: 0o700 });
    }
  });
  return directory;
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

function checkFileSystem(at: string): void {
  const there = nearestThere(at);
  const type = attempt(at, () => fs.statfsSync(there).type) >>> 0;
  const name = refusedFileSystems[type];
  if (name !== undefined) {
    refuse(
      `${at} is on a network or foreign file system (${name})`,
      'set dir to a directory on a disk of this machine',
    );
  }
}
function nearestThere(at: string): string {
  let there = at;
  while (!fs.existsSync(there) && path.dirname(there) !== there) there = path.dirname(there);
  return there;
}

function checkLength(at: string): void {
  const bytes = Buffer.byteLength(at) + '/s/~'.length + addressCharactersMax;
  if (bytes <= socketPathBytesMax) return;
  const most = socketPathBytesMax - bytes + Buffer.byteLength(at);
  refuse(`${at} has ${Buffer.byteLength(at)} bytes, but sockets allow ${most}`, 'set dir to a shorter path');
}

function look(at: string): fs.Stats | undefined {
  return attempt(at, () => fs.statSync(at, { throwIfNoEntry: false }));
}

function create(at: string): void {
  attempt(at, () => {
    fs.mkdirSync(at, { recursive: true, mode: 0o700 });
    checkOwner(at, fs.statSync(at));
  });
}

function checkOwner(at: string, found: fs.Stats): void {
  if (!found.isDirectory()) refuse(`${at} is not a directory`, 'set dir to a directory, or remove the file');
  const user = process.geteuid?.();
  if (user !== undefined && found.uid !== user) {
    refuse(`${at} belongs to user ${found.uid}, this process runs as ${user}`, 'set dir to a directory of this user');
  }
  const mode = found.mode & 0o777;
  if ((mode & 0o077) !== 0)
    refuse(`${at} can be accessed by other users (mode 0${mode.toString(8)})`, `chmod 700 ${at}`);
  if ((mode & 0o700) !== 0o700) refuse(`${at} cannot be written (mode 0${mode.toString(8)})`, `chmod 700 ${at}`);
}

/** Returns whether the marker exists. Throws Config for a directory that busbar must not use. */
function checkMarker(at: string, ns: string, use: DirectoryUse): boolean {
  const file = markerFile(at);
  // List the names before looking for the marker. Another process that has just written the marker immediately adds
  // files beside it, and these would be taken for foreign ones.
  const names = attempt(at, () => fs.readdirSync(at));
  const text = attempt(at, () => (fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : undefined));
  if (text === undefined) {
    const foreign = names.filter((name) => !openNames.test(name));
    if (foreign.length === 0) return false;
    refuse(
      `${at} contains foreign files (${foreign.slice(0, 3).join(', ')})`,
      'set dir to an empty or a new directory',
    );
  }
  const marker = readMarker(text);
  if (marker === undefined) refuse(`${file} is not a marker of busbar`, 'set dir to an empty or a new directory');
  if (marker.layout > layout) {
    refuse(
      `${at} has layout ${marker.layout}, but this version of busbar supports ${layout}`,
      'update busbar, or set dir to another one',
    );
  }
  if (marker.busbar !== use) {
    const [found, wanted] = [uses[marker.busbar], uses[use]];
    refuse(`${at} is ${found}, not ${wanted}`, `set ${use === 'spool' ? 'spool' : 'dir'} to another directory`);
  }
  if (marker.ns !== ns)
    refuse(`${at} belongs to ns ${marker.ns}, not ${ns}`, `set ns to ${marker.ns}, or set dir to another one`);
  return true;
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

function attempt<T>(at: string, run: () => T): T {
  try {
    return run();
  } catch (error) {
    if (error instanceof BusError) throw error;
    return refuse(
      `${at} cannot be used: ${errorMessage(error)}`,
      'check its permissions and the free disk space, or set dir to another one',
    );
  }
}

export function refuse(found: string, remedy: string): never {
  const fault = `${found}; ${remedy}`;
  const message = `the directory of the bus is refused: ${fault}`;
  throw new BusError('Config', message, { faults: [fault] }, undefined, sentence(remedy));
}
