/**
 * Records that the log was created. Without the record, a log whose data file was removed would silently start empty.
 */
import { linkSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { BusError, isCode } from '../../base/errors';
import { fileIdentity } from './file-identity';

const fileName = 'log.json';

/** Throws Config when the log was created before and its data file is now missing or empty. Changes nothing. */
export function checkLogFile(dir: string): void {
  const data = join(dir, 'log', 'data.mdb');
  if (bytesOf(data) > 0 || readMark(dir) === undefined) return;
  const mark = join(dir, fileName);
  refuse(
    `${data} is missing or empty, but ${mark} records that the log was created, so its messages are lost`,
    `Restore a backup of it, or remove ${mark} to start with an empty log.`,
  );
}

function bytesOf(file: string): number {
  try {
    return statSync(file, { throwIfNoEntry: false })?.size ?? 0;
  } catch (error) {
    if (isCode(error, 'ENOTDIR')) return 0;
    throw error;
  }
}

/** Throws Config when the mark names a log other than `id`. */
export function checkLogMark(dir: string, id: string): void {
  const found = readMark(dir) ?? '';
  if (found === id || found === '') return;
  const mark = join(dir, fileName);
  refuse(
    `${join(dir, 'log', 'data.mdb')} is log ${id}, but ${mark} names log ${found}`,
    `Restore a backup of that log, or remove ${mark} to use this one.`,
  );
}

/**
 * Writes the mark when none exists or it cannot be read, unless its identity equals `seen`. Returns the identity found
 * before the write. Throws the errors of the file system.
 */
export function keepLogMark(dir: string, id: string, seen: string | undefined): string | undefined {
  const now = fileIdentity(join(dir, fileName));
  if (now !== undefined && now === seen) return now;
  const found = readMark(dir);
  if (found === undefined || found === '') writeMark(join(dir, fileName), id);
  return now;
}

/** Returns the log that the mark names: empty if the mark cannot be read, undefined if none exists. */
function readMark(dir: string): string | undefined {
  try {
    const mark: unknown = JSON.parse(readFileSync(join(dir, fileName), 'utf8'));
    return typeof mark === 'object' && mark !== null && 'log' in mark && typeof mark.log === 'string' ? mark.log : '';
  } catch (error) {
    return isCode(error, 'ENOENT') ? undefined : '';
  }
}

/** Writes the mark in full or not at all. Another process can write it at the same moment, for the same log. */
function writeMark(mark: string, id: string): void {
  const draft = join(dirname(mark), `~${basename(mark)}.${process.pid}`);
  try {
    writeFileSync(draft, `${JSON.stringify({ busbar: 'log', log: id })}\n`, { mode: 0o600, flush: true });
    rmSync(mark, { force: true });
    linkSync(draft, mark);
  } catch (error) {
    if (!isCode(error, 'EEXIST')) throw error;
  } finally {
    rmSync(draft, { force: true });
  }
}

function refuse(found: string, remedy: string): never {
  const message = `${found}. ${remedy}`;
  throw new BusError('Config', message, { faults: [message] }, undefined, remedy);
}
