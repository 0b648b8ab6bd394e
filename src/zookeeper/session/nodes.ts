/** Creates the folders that must exist before a node can be created in them. */
import { BusError } from '../../base/errors';
import type { Connection } from './connection';
import { codes, isServerError } from './errors';

/** Creates the folder and its parents if they do not exist. Existing nodes are not changed. */
export async function ensure(connection: Connection, path: string): Promise<void> {
  if (await connection.exists(path)) return;
  const above = path.slice(0, path.lastIndexOf('/'));
  if (above !== '') await ensure(connection, above);
  try {
    await connection.create(path, '');
  } catch (error) {
    if (!isServerError(error, codes.nodeExists)) throw error; // another process has created it
  }
}

/**
 * Returns the names in a folder, and creates it if it does not exist. The first change after that calls `changed`,
 * which is called at most once.
 */
export async function list(connection: Connection, path: string, changed: () => void): Promise<readonly string[]> {
  for (let tries = 0; tries < 3; tries++) {
    const names = await connection.children(path, changed);
    if (names !== undefined) return names;
    await ensure(connection, path);
  }
  const message = `another client keeps removing ${path}. Stop that client`;
  throw new BusError('Unreachable', message, { outcome: 'not-sent', waitedMs: 0, cause: message });
}
