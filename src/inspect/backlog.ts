/** What of a queue is not settled: from the watermark to the end of each partition, without what is settled between. */
import type { Log } from '../ports/log';
import { decodeState, emptyState, type State, type Tried } from '../work/progress/commit-state';
import type { Range } from '../work/progress/watermark';
import type { Source } from './names';

/** Records of one partition from `from` up to but without `end`, but for those in `without`. */
export interface Span {
  readonly topic: string;
  readonly partition: number;
  readonly from: number;
  readonly end: number;
  /** Rising. */
  readonly without: readonly Range[];
}
export interface Backlog extends Span {
  readonly source: Source;
  /** Unsettled messages that were tried, by offset. */
  readonly tried: ReadonlyMap<number, Tried>;
  /** Offsets behind `end` that cannot be read yet: there are at most so many records. */
  readonly blocked: number;
  /** The instance that works on it now. */
  readonly owner: string | null;
  /**
   * False when the commit cannot be read, or belongs to another log, as its place lies beyond the end of this one: then
   * what it settled counts as waiting.
   */
  readonly readable: boolean;
}

export async function readBacklog(log: Log, source: Source): Promise<readonly Backlog[]> {
  // Places first: what is appended or settled between the two calls can only make it look like more, never like less.
  const places = source.group === null ? [] : await log.places(source.group, source.topic);
  const placeOf = new Map(places.map((place) => [place.partition, place]));
  return (await log.bounds(source.topic)).map(({ partition, start, end, high = end }) => {
    const found = placeOf.get(partition);
    const isBeyond = found !== undefined && found.offset > high;
    const place = found && (isBeyond ? { ...found, offset: start, state: new Uint8Array() } : found);
    const state = place ? readState(place.offset, place.state) : emptyState(start);
    return {
      source,
      topic: source.topic,
      partition,
      from: Math.max(place?.offset ?? start, start), // retention may have passed a listener
      end,
      without: state?.ranges ?? [],
      tried: new Map(state?.tried.map((one) => [one.offset, one])),
      blocked: high - end,
      owner: place?.owner ?? null,
      readable: state !== undefined && !isBeyond,
    };
  });
}

function readState(offset: number, state: Uint8Array): State | undefined {
  try {
    return decodeState(offset, state);
  } catch (error) {
    if (error instanceof RangeError) return undefined; // of a newer version
    throw error;
  }
}

/** How many records the span has, where every offset has one; it has no more. */
export function sizeOf({ from, end, without }: Span): number {
  let size = Math.max(0, end - from);
  for (const range of without) size -= Math.max(0, Math.min(range.to, end) - Math.max(range.from, from));
  return Math.max(0, size);
}

export function isWithin({ from, end, without }: Span, offset: number): boolean {
  return offset >= from && offset < end && !without.some((range) => offset >= range.from && offset < range.to);
}
