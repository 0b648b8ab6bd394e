/** Reads user and password for ZooKeeper from a variable or a file, so that no printed configuration contains them. */
import { readFileSync } from 'node:fs';
import { BusError, errorMessage } from '../../base/errors';

/** Location of `user:password`: the name of a variable, or the path of a file. A line break at the end is ignored. */
export type Secret = { readonly variable: string } | { readonly file: string };

/** Returns `user:password`. Throws Config, with the location but never the content. */
export function readSecret(secret: Secret, env: Readonly<Record<string, string | undefined>> = process.env): string {
  const [place, text] = 'variable' in secret ? [secret.variable, env[secret.variable]] : readFrom(secret.file);
  const digest = text?.replace(/\r?\n$/, '') ?? '';
  if (digest === '') throw config(`${place}: user and password for ZooKeeper are missing`);
  if (!/^[^:\s]+:[^\r\n]+$/.test(digest)) throw config(`${place}: the value is not user:password`);
  return digest;
}
function readFrom(file: string): readonly [string, string] {
  try {
    return [file, readFileSync(file, 'utf8')];
  } catch (error) {
    throw config(`user and password for ZooKeeper cannot be read: ${errorMessage(error)}`);
  }
}
function config(fault: string): BusError<'Config'> {
  const remedy = 'Put user:password of ZooKeeper, on one line, into the file or the variable that the message names.';
  return new BusError('Config', fault, { faults: [fault] }, undefined, remedy);
}
