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
  /** Offset at the servers that no copy of the records above the commit precedes. */
  readonly after: number;
  readonly runs: readonly Run[];
  readonly refused: readonly Refused[];
}

export const nothingShipped: Shipped = { after: 0, runs: [], refused: [] };

/** Limits of a state, which is written with each commit. Callers that wait read it within milliseconds. */
const runsMax = 64;
const refusedMax = 16;
const reasonCharsMax = 300;

/** Adds records of the spool whose places at the servers are `places`. Unknown places are left out. */
export function addShipped(
  { runs, ...rest }: Shipped,
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
  return { ...rest, runs: all.slice(-runsMax) };
}
export function addRefused({ refused, ...rest }: Shipped, offset: number, reason: string): Shipped {
  const cut = reason.slice(0, reasonCharsMax).toWellFormed();
  return { ...rest, refused: [...refused, { offset, reason: cut }].slice(-refusedMax) };
}

/** Returns the offset at the servers of the record at an offset of the spool, if it is known. */
export function placeOf({ runs }: Shipped, offset: number): number | undefined {
  const run = runs.find(({ from, count }) => offset >= from && offset < from + count);
  return run && run.to + offset - run.from;
}

/** Returns the offset at the servers after the last record that they have acknowledged; 0 if none is known. */
export function endOf({ runs }: Shipped): number {
  const last = runs.at(-1);
  return last ? last.to + last.count : 0;
}

export function encodeShipped(shipped: Shipped): Uint8Array {
  return Buffer.from(JSON.stringify(shipped));
}
/** Decodes a state. One that cannot be read has no known places: waiting does not depend on it. */
export function decodeShipped(state: Uint8Array): Shipped {
  try {
    const { after, runs, refused } = JSON.parse(Buffer.from(state).toString()) as Shipped; // checked below
    if (!Array.isArray(runs) || !Array.isArray(refused)) return nothingShipped;
    return { after: Number.isSafeInteger(after) ? after : 0, runs, refused }; // earlier versions wrote none
  } catch {
    return nothingShipped;
  }
}
