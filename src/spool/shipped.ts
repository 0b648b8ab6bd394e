/** Encodes the state of a commit of the drain: the places of the last records on the servers, and refused records. */
import type { Place } from '../ports/log';

/** Consecutive records: `count` of them, from offset `from` of the spool and from offset `to` at the servers. */
export interface Run {
  readonly from: number;
  readonly count: number;
  readonly to: number;
}
/** A record that the servers refused for good, and the reason. */
export interface Refused {
  readonly offset: number;
  readonly reason: string;
}
export interface Shipped {
  readonly runs: readonly Run[];
  readonly refused: readonly Refused[];
}

export const nothingShipped: Shipped = { runs: [], refused: [] };

/** Limits of a state, which is written with each commit. Callers that wait read it within milliseconds. */
const runsMax = 64;
const refusedMax = 16;
const reasonCharsMax = 300;

/** Adds records of the spool whose places at the servers are `places`. Unknown places are left out. */
export function addShipped(
  { runs, refused }: Shipped,
  records: readonly Pick<Place, 'offset'>[],
  places: readonly (Pick<Place, 'offset'> | undefined)[],
): Shipped {
  const all: { readonly from: number; count: number; readonly to: number }[] = runs.map((run) => ({ ...run }));
  let last = all.at(-1);
  records.forEach(({ offset: from }, n) => {
    const to = places[n]?.offset;
    if (to === undefined) return;
    if (last && last.from + last.count === from && last.to + last.count === to) last.count++;
    else all.push((last = { from, count: 1, to }));
  });
  return { runs: all.slice(-runsMax), refused };
}
export function addRefused({ runs, refused }: Shipped, offset: number, reason: string): Shipped {
  const cut = reason.slice(0, reasonCharsMax).toWellFormed();
  return { runs, refused: [...refused, { offset, reason: cut }].slice(-refusedMax) };
}

/** Returns the offset at the servers of the record at an offset of the spool, if it is known. */
export function placeOf({ runs }: Shipped, offset: number): number | undefined {
  const run = runs.find(({ from, count }) => offset >= from && offset < from + count);
  return run && run.to + offset - run.from;
}

export function encodeShipped(shipped: Shipped): Uint8Array {
  return Buffer.from(JSON.stringify(shipped));
}
/** Decodes a state. One that cannot be read has no known places: waiting does not depend on it. */
export function decodeShipped(state: Uint8Array): Shipped {
  try {
    const { runs, refused } = JSON.parse(Buffer.from(state).toString()) as Shipped; // checked below
    return Array.isArray(runs) && Array.isArray(refused) ? { runs, refused } : nothingShipped;
  } catch {
    return nothingShipped;
  }
}
