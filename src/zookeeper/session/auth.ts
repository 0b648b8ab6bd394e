/** User and password for ZooKeeper, from the environment or a file, where no configuration that is printed has them. */
import { readFileSync } from 'node:fs';
import { BusError, sayError } from '../../base/errors';

/** Where `user:password` is: the name of a variable, or the path of a file, whose last line break does not count. */
export type Secret = { readonly variable: string } | { readonly file: string };

/** Throws Config, naming the place and never what is there. */
export function readSecret(secret: Secret, env: Readonly<Record<string, string | undefined>> = process.env): string {
  const [place, text] = 'variable' in secret ? [secret.variable, env[secret.variable]] : readFrom(secret.file);
  const digest = text?.replace(/\r?\n$/, '') ?? '';
  if (digest === '') throw config(`${place}: user and password for ZooKeeper are not there`);
  if (!/^[^:\s]+:[^\r\n]+$/.test(digest)) throw config(`${place}: what is there is not user:password`);
  return digest;
}
function readFrom(file: string): readonly [string, string] {
  try {
    return [file, readFileSync(file, 'utf8')];
  } catch (error) {
    throw config(`user and password for ZooKeeper cannot be read: ${sayError(error)}`);
  }
}
function config(fault: string): BusError<'Config'> {
  const remedy = 'Put user:password of ZooKeeper, on one line, into the file or the variable that the message names.';
  return new BusError('Config', fault, { faults: [fault] }, undefined, remedy);
}
