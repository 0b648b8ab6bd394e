/**
 * Cleans up the directory when a bus opens: removes what dead processes left, and refuses a directory that another pid
 * namespace uses.
 */
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import type { Clock } from '../../base/clock';
import { isCode } from '../../base/errors';
import type { Directory } from '../directory/directory';
import { optionOf, refuse } from '../directory/directory';
import { isAddress, isProcessRunning } from '../directory/process-liveness';
import type { Doorbells } from './doorbells';

/** A draft exists for milliseconds. An older one was left by a process that died. */
const draftMs = 60_000;
const answerMs = 1_000;

/**
 * Removes sockets and drafts of dead processes. Rejects with Config when a process of another pid namespace has this
 * directory open. Locks are identified by pid, so two processes with the same pid would block each other. The socket of
 * this bus must already exist. Of two buses that open at the same moment, each then looks after it is visible, so at
 * least one refuses.
 */
export async function removeLeftovers(directory: Directory, doorbells: Doorbells, clock: Clock): Promise<void> {
  const unidentified: string[] = [];
  for (const address of doorbells.others()) {
    const isRunning = isProcessRunning(address);
    if (isRunning === false) doorbells.removeDead(address);
    if (isRunning === undefined) unidentified.push(address);
  }
  for (const address of unidentified) {
    if (!(await listens(path.join(directory.sockets, address), clock))) doorbells.removeDead(address);
    else refuseForeign(directory, address);
  }
  for (const folder of [directory.path, directory.sockets, directory.instances, directory.settings]) {
    sweepDrafts(folder, clock.now() - draftMs);
  }
}

/**
 * Rejects with Config when a process of another pid namespace has this directory open. It changes nothing, and does not
 * notice a process that opens the directory later.
 */
export async function checkPidNamespaces(directory: Directory, clock: Clock): Promise<void> {
  const names = fs.existsSync(directory.sockets) ? fs.readdirSync(directory.sockets) : [];
  for (const address of names) {
    const isUnidentified = isAddress(address) && isProcessRunning(address) === undefined;
    if (isUnidentified && (await listens(path.join(directory.sockets, address), clock)))
      refuseForeign(directory, address);
  }
}
function refuseForeign({ path: at, use }: Directory, address: string): never {
  const found = `${at} is in use by a process of another pid namespace (${address}), such as another container`;
  refuse(use, found, `run both in one pid namespace, or set ${optionOf[use]} to another directory`);
}

/** Resolves to whether a process listens at a socket. A stopped process counts as listening. */
function listens(at: string, clock: Clock): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect({ path: at });
    const timer = clock.after(answerMs, () => done(true));
    socket.on('connect', () => done(true));
    socket.on('error', (error) => done(!isCode(error, 'ECONNREFUSED', 'ENOENT')));
    function done(found: boolean): void {
      timer.cancel();
      socket.destroy();
      resolve(found);
    }
  });
}

function sweepDrafts(folder: string, beforeMs: number): void {
  for (const name of fs.readdirSync(folder)) {
    if (!name.startsWith('~')) continue;
    const file = path.join(folder, name);
    const found = fs.statSync(file, { throwIfNoEntry: false });
    if (found !== undefined && found.mtimeMs < beforeMs) fs.rmSync(file, { force: true });
  }
}
