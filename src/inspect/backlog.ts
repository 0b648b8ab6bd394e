/**
 * Reads the unsettled part of a queue: each partition from the watermark to its end, except the ranges already settled.
 */
import type { Log } from '../ports/log';
import { decodeState, emptyState, type State, type Tried } from '../work/progress/commit-state';
import type { Range } from '../work/progress/watermark';
import type { Source } from './names';

/** Records of one partition from offset `from` (inclusive) to `end` (exclusive), except those in `without`. */
export interface Span {
  readonly topic: string;
  readonly partition: number;
  readonly from: number;
  readonly end: number;
  /** Settled ranges in ascending order of offset. */
  readonly without: readonly Range[];
}
export interface Backlog extends Span {
  readonly source: Source;
  /** Unsettled messages that were attempted, by offset. */
  readonly tried: ReadonlyMap<number, Tried>;
  /** Number of offsets after `end` that cannot be read yet. It is an upper bound of the records there. */
  readonly blocked: number;
  /** The instance that owns the partition now. */
  readonly owner: string | null;
  /**
   * False when the commit state cannot be decoded, or when its offset is beyond the end of the log (it belongs to
   * another log). Messages that it had settled then count as waiting.
   */
  readonly readable: boolean;
}

export async function readBacklog(log: Log, source: Source): Promise<readonly Backlog[]> {
  // Read the commits before the bounds. Records appended or settled between the two calls can then only make the
  // backlog look larger than it is, never smaller.
  const places = source.group === null ? [] : await log.committedOffsets(source.group, source.topic);
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
      from: Math.max(place?.offset ?? start, start), // retention can delete unsettled records
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
    if (error instanceof RangeError) return undefined; // a newer version wrote the state
    throw error;
  }
}

/** Returns the number of records in the span if every offset has one. It is an upper bound when offsets have gaps. */
export function sizeOf({ from, end, without }: Span): number {
  let size = Math.max(0, end - from);
  for (const range of without) size -= Math.max(0, Math.min(range.to, end) - Math.max(range.from, from));
  return Math.max(0, size);
}

export function isWithin({ from, end, without }: Span, offset: number): boolean {
  return offset >= from && offset < end && !without.some((range) => offset >= range.from && offset < range.to);
}
