/** Formats ages, counts and sizes in few characters, and escapes text that could control the terminal. */

/** Formats an age, such as `120ms`, `48s`, `6m11s`, `2h10m` or `2d4h`. */
export function age(ms: number | null): string {
  if (ms === null) return none;
  if (ms < 1_000) return `${Math.max(0, Math.round(ms))}ms`;
  const s = Math.floor(ms / 1_000);
  if (s < 60) return `${s}s`;
  const m = Math.floor(s / 60);
  if (m < 60) return pair(m, 'm', s % 60, 's');
  const h = Math.floor(m / 60);
  return h < 24 ? pair(h, 'h', m % 60, 'm') : pair(Math.floor(h / 24), 'd', h % 24, 'h');
}

/** Formats a duration of a handler, such as `0.3 ms`, `22 ms` or `3.1 s`. */
export function milliseconds(ms: number): string {
  const [value, unit] = ms < 1_000 ? [ms, 'ms'] : [ms / 1_000, 's'];
  return `${Number(value.toFixed(value < 10 ? 1 : 0))} ${unit}`;
}

function pair(large: number, unit: string, small: number, smallUnit: string): string {
  return small === 0 ? `${large}${unit}` : `${large}${unit}${small}${smallUnit}`;
}

/** The placeholder for a missing value. */
export const none = '–';

/** Formats a number with a space between thousands, such as `12 904`. */
export function count(number: number): string {
  return String(number).replace(/\B(?=(?:\d{3})+$)/g, ' ');
}

/** Formats a number of bytes, such as `84 B`, `1.1 kB` or `2.1 MB`. */
export function size(bytes: number): string {
  if (bytes < 1_000) return `${bytes} B`;
  const units = ['kB', 'MB', 'GB'];
  let value = bytes / 1_000;
  let unit = 0;
  for (; value >= 1_000 && unit < units.length - 1; unit++) value /= 1_000;
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${units[unit] ?? ''}`;
}

/** Formats a time in the local time zone, such as `2026-11-22 03:12:07.120`. */
export function time(ms: number): string {
  const at = new Date(ms - new Date(ms).getTimezoneOffset() * 60_000);
  return at.toISOString().slice(0, 23).replace('T', ' ');
}
export const clockTime = (ms: number): string => time(ms).slice(11, 19);

export function plural(many: number, one: string, more = `${one}s`): string {
  return `${count(many)} ${many === 1 ? one : more}`;
}

/**
 * Returns the text on one line, with characters escaped that could move the cursor, change colors or reverse the
 * writing direction.
 */
export function oneLine(text: string): string {
  return text.replace(unseen, escape);
}
/** Splits the text at line ends and escapes each line as {@link oneLine} does. */
export function lines(text: string): readonly string[] {
  return text.split(/\r?\n/).map(oneLine);
}

// eslint-disable-next-line no-control-regex
const unseen = /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;
const named: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

function escape(char: string): string {
  return named[char] ?? `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

/** Returns the shortest prefix of each id that no other id of the list has, with at least 10 characters. */
export function shortIds(ids: readonly string[]): ReadonlyMap<string, string> {
  const sorted = [...new Set(ids)].toSorted();
  const short = new Map<string, string>();
  sorted.forEach((id, i) => {
    const shared = Math.max(sharedStart(id, sorted[i - 1]), sharedStart(id, sorted[i + 1]));
    short.set(id, id.slice(0, Math.max(idCharsMin, shared + 1)));
  });
  return short;
}
/**
 * Minimum length of a shortened id. The first 10 characters of an id encode its time in milliseconds, so they differ
 * between most ids.
 */
const idCharsMin = 10;

function sharedStart(one: string, other = ''): number {
  let length = 0;
  while (length < one.length && one[length] === other[length]) length++;
  return length;
}
