/** Creates unique ids of messages and of sender incarnations without coordination. Message ids sort by time. */
import { randomHex, type Clock, type Random } from '../base/clock';

const alphabet = '0123456789abcdefghjkmnpqrstvwxyz'; // Crockford's alphabet, without i, l, o, u
const timeChars = 10; // 50 bits of milliseconds
const makerChars = 13; // 65 random bits, so that makers of the same millisecond differ
const countChars = 3;
const countEnd = 32 ** countChars;

/**
 * Returns a function that creates ids of 26 characters: time, maker, count. Each id is greater than the one before,
 * even when the clock moves back. Ids of different makers sort by their clocks.
 */
export function idMaker(clock: Clock, random: Random): () => string {
  const maker = Array.from({ length: makerChars }, () => digit(Math.floor(random.next() * 32))).join('');
  let timeMs = -1;
  let count = 0;
  let prefix = '';
  function startAt(ms: number): void {
    timeMs = ms;
    count = 0;
    prefix = base32(ms, timeChars) + maker;
  }
  return () => {
    const now = Math.floor(clock.now());
    if (now > timeMs) startAt(now);
    else if (count === countEnd) startAt(timeMs + 1); // uses the next millisecond, so that ids stay in order
    return prefix + base32(count++, countChars);
  };
}

/** Returns a random incarnation of a sender, 16 hex digits. */
export function incarnation(random: Random): string {
  return randomHex(random, 64);
}

function base32(number: number, chars: number): string {
  let text = '';
  for (let left = chars, rest = number; left > 0; left--, rest = Math.floor(rest / 32)) text = digit(rest % 32) + text;
  return text;
}

function digit(value: number): string {
  return alphabet.charAt(value);
}

/**
 * Returns the time at which an id was made, in ms since 1970. Returns null for an id that this code cannot have made
 * before `nowMs`, such as one that the caller chose.
 */
export function timeOfId(id: string, nowMs: number): number | null {
  if (!/^[0-9a-hjkmnp-tv-z]{26}$/.test(id)) return null;
  let ms = 0;
  for (const char of id.slice(0, timeChars)) ms = ms * 32 + alphabet.indexOf(char);
  return ms >= earliestMs && ms <= nowMs + clockErrorMsMax ? ms : null;
}
/** No id is older than this code: 2026-01-01. */
const earliestMs = 1_767_225_600_000;
/** Maximum error of another machine's clock that is tolerated. */
const clockErrorMsMax = 86_400_000;
