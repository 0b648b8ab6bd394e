/** Names for messages and for lives of senders: unique without asking anybody; ids sort by when they were made. */
import { randomHex, type Clock, type Random } from '../base/clock';

const alphabet = '0123456789abcdefghjkmnpqrstvwxyz'; // Crockford's: no i, l, o, u
const timeChars = 10; // 50 bits of milliseconds
const makerChars = 13; // 65 bits of chance: makers of one millisecond differ
const countChars = 3;
const countEnd = 32 ** countChars;

/**
 * Makes ids of 26 characters: time, maker, count. Each is greater than the one before, also when the clock goes back;
 * ids of different makers sort by their clocks.
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
    else if (count === countEnd) startAt(timeMs + 1); // borrowed from the future, so that order holds
    return prefix + base32(count++, countChars);
  };
}

/** One life of a sender: 16 hex digits. */
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
