/**
 * Reads and writes one generation of all settings as a text file. It is written in full and durably; damage is
 * reported.
 */
import fs from 'node:fs';
import { BusError, isCode, errorMessage, type SendOutcome } from '../../base/errors';
import { limits } from '../../base/limits';
import type { Setting } from '../../ports/settings';

/** Limits the text of all settings together. A larger one is refused as TooLarge before it is written. */
const fileBytesMax = 4 * limits.messageBytesMax;

// Writes one setting per line, so that an operator can read and compare the files.
export function textOf(settings: ReadonlyMap<string, Setting>): string {
  const text = `[\n${[...settings.values()].map((setting) => JSON.stringify(setting)).join(',\n')}\n]\n`;
  const bytes = Buffer.byteLength(text);
  if (bytes <= fileBytesMax) return text;
  const message = `all settings together would have ${bytes} bytes, the limit is ${fileBytesMax}`;
  throw new BusError('TooLarge', message, { bytes, limitBytes: fileBytesMax });
}
export function parse(text: string, file: string): ReadonlyMap<string, Setting> {
  try {
    const list: unknown = JSON.parse(text);
    if (!Array.isArray(list) || !list.every(isSetting)) throw new Error('it is not a list of settings');
    return new Map(list.map((setting) => [setting.key, setting]));
  } catch (error) {
    const fault = `${file} is damaged (${errorMessage(error)}). Correct it, or remove it to use the previous settings`;
    const remedy = `Correct ${file}, or remove it to use the previous settings.`;
    throw new BusError('Config', fault, { faults: [fault] }, error, remedy);
  }
}
function isSetting(value: unknown): value is Setting {
  if (typeof value !== 'object' || value === null) return false;
  if (!('key' in value) || !('value' in value) || !('version' in value)) return false;
  return typeof value.key === 'string' && typeof value.value === 'string' && typeof value.version === 'number';
}

export function readIfThere(file: string): string | undefined {
  try {
    return fs.readFileSync(file, 'utf8');
  } catch (error) {
    if (isCode(error, 'ENOENT')) return undefined;
    throw unreachable('not-sent', `${file} cannot be read: ${errorMessage(error)}. Check its permissions.`, error);
  }
}
export async function writeDurably(file: string, text: string): Promise<void> {
  const handle = await fs.promises.open(file, 'wx', 0o600);
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
}
export async function syncDirectory(at: string): Promise<void> {
  const handle = await fs.promises.open(at, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
export function unreachable(outcome: SendOutcome, message: string, cause?: unknown): BusError {
  return new BusError('Unreachable', message, { outcome, waitedMs: 0, cause: message }, cause);
}
