/** Parses the arguments of the command: durations, times, counts and bodies. */
import { accept, variableOf } from '../base/options';
import { errorMessage } from '../base/errors';
import { busOptions } from '../options';
import { Usage } from './exit';
import { fromJson } from './json';

const day = 86_400_000;

/** Returns the name of an option as it is typed: `drainMs` becomes `drain-ms`. */
export const flagOf = (name: string): string => name.replace(/[A-Z]/g, (capital) => `-${capital.toLowerCase()}`);

/**
 * Replaces the names of variables by the options that were typed, because typed options are passed on as variables. An
 * error text then names the option that the user can correct.
 */
export function asTyped(text: string, given: object): string {
  const typed = ['config', ...Object.keys(busOptions)].filter((name) => Object.hasOwn(given, name));
  return typed.reduce((replaced, name) => replaced.replaceAll(`(${variableOf(name)})`, `(--${flagOf(name)})`), text);
}

/** Parses a duration such as `5s`, `250ms` or `10m`, in ms. Throws Usage for any other text. */
export function duration(name: string, text: string): number {
  const read = accept({ type: 'duration', min: 1, max: 3_650 * day, description: '' }, text);
  if ('fault' in read || /^\d+$/.test(text)) {
    throw new Usage(`${name} ${text} is not a duration such as 250ms, 10s, 5m or 1h`);
  }
  return Number(read.value);
}

/** Parses a duration before now, or a time such as 2026-11-22T03:10. Throws Usage for any other text. */
export function since(text: string, nowMs: number, name = '--since'): number {
  if (/^\d+(\.\d+)?(ms|s|m|h|d)$/.test(text)) return nowMs - duration(name, text);
  const atMs = Date.parse(text);
  if (Number.isNaN(atMs))
    throw new Usage(`${name} ${text} is neither a duration such as 1h nor a time such as 2026-11-22T03:10`);
  return atMs;
}

export function countOf(name: string, text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new Usage(`${name} ${text} is not a whole number from 1`);
  return Number(text);
}

/** Parses a rate such as `10/s` or `30/m`, in messages per second. Throws Usage for any other text. */
export function rateOf(name: string, text: string): number {
  const [, many = '', unit = ''] = /^([1-9]\d{0,5})\/(s|m|h)$/.exec(text) ?? [];
  if (many === '') throw new Usage(`${name} ${text} is not a rate such as 10/s, 30/m or 100/h`);
  return Number(many) / { s: 1, m: 60, h: 3_600 }[unit as 's' | 'm' | 'h']; // the pattern allows only these units
}

/** Returns the body that was typed, or read from stdin when `-` was typed. Rejects with Usage when it is not JSON. */
export async function body(text: string, stdin: AsyncIterable<unknown>): Promise<unknown> {
  const json = text === '-' ? await read(stdin) : text;
  try {
    return fromJson(json);
  } catch (error) {
    throw new Usage(`the body is not JSON: ${errorMessage(error)}`);
  }
}

/**
 * Maximum characters of a body on stdin, which bounds memory. It fits the JSON of the largest message, with space for
 * indentation.
 */
const stdinCharsMax = 16_000_000;

async function read(stdin: AsyncIterable<unknown>): Promise<string> {
  let text = '';
  for await (const chunk of stdin) {
    text += String(chunk);
    if (text.length > stdinCharsMax) throw new Usage(`stdin has more than ${stdinCharsMax} characters`);
  }
  return text;
}
