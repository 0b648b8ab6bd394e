/** Implements `busbar spool export`, which writes what waits in the spool of a machine to a file. */
import { open } from 'node:fs/promises';
import { errorMessage } from '../../base/errors';
import { exits, Usage, type Exit } from '../exit';
import { toJson } from '../json';
import type { LocalDesk } from '../run';
import { count, plural } from '../words';
import type { SpoolOptions } from './spool';

export interface SpoolExportOptions extends SpoolOptions {
  readonly topic?: string;
}

export async function exportSpool(
  { out, signal }: LocalDesk,
  file: string,
  { dir, topic }: SpoolExportOptions,
): Promise<Exit> {
  const { spoolMessages } = await import('../../inspect');
  const handle = await open(file, 'wx', 0o600).catch((error: unknown) => {
    throw new Usage(`${file} cannot be created: ${errorMessage(error)}`);
  });
  let written = 0;
  try {
    for await (const message of spoolMessages(dir)) {
      if (signal.aborted) break;
      if (topic !== undefined && message.topic !== topic) continue;
      await handle.write(`${toJson(message)}\n`);
      written++;
    }
    await handle.sync();
  } finally {
    await handle.close();
  }
  if (out.forPeople) out.line(`wrote ${plural(written, 'message')} to ${file}; they stay in the spool`);
  else await out.list({ columns: [{ name: 'WRITTEN', show: String }] }, [written]);
  if (signal.aborted) out.note(`stopped: ${file} has the first ${count(written)}`);
  if (signal.aborted) return exits.interrupted;
  return written > 0 ? exits.done : exits.warning;
}
