/** Folders that must be there before anything can be put into them. */
import { BusError } from '../../base/errors';
import type { Connection } from './connection';
import { codes, isServerError } from './errors';

/** Makes the folder, and those above it, where they are missing. What is there is never touched. */
export async function ensure(connection: Connection, path: string): Promise<void> {
  if (await connection.exists(path)) return;
  const above = path.slice(0, path.lastIndexOf('/'));
  if (above !== '') await ensure(connection, above);
  try {
    await connection.create(path, '');
  } catch (error) {
    if (!isServerError(error, codes.nodeExists)) throw error; // somebody else was quicker
  }
}

/** The names in a folder, made if it is not there. `changed` is called at most once, by the first change. */
export async function list(connection: Connection, path: string, changed: () => void): Promise<readonly string[]> {
  for (let tries = 0; tries < 3; tries++) {
    const names = await connection.children(path, changed);
    if (names !== undefined) return names;
    await ensure(connection, path);
  }
  const message = `${path} is removed again and again; somebody else must stop that`;
  throw new BusError('Unreachable', message, { outcome: 'not-sent', waitedMs: 0, cause: message });
}
