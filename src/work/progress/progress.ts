/** Progress of a group on one partition, from a commit or from this process, and the merge of both. */
import type { Commit } from '../../ports/log';
import { mergeSenders } from './duplicate-filter';
import { emptyState, restoreState, type State, type Tried } from './commit-state';
import type { Range } from './watermark';

/** Progress on a partition: everything below `offset` is settled, and `state` holds the rest. */
export interface Progress {
  readonly offset: number;
  readonly state: State;
}

/**
 * Returns the progress of a commit, or the start of the log without one. Calls `report` when the state cannot be read.
 */
export function progressOf(commit: Commit | null, report: (reason: string) => void): Progress {
  const offset = commit?.offset ?? 0;
  return { offset, state: commit ? restoreState(offset, commit, report) : emptyState(offset) };
}

/**
 * Merges both sides. A message is settled when either side has it as settled: another owner's commit, or this process.
 */
export function mergeProgress(log: Progress, own: Progress): Progress {
  const settled = union([...settledBy(log), ...settledBy(own)]);
  const offset = settled[0]?.from === 0 ? settled[0].to : 0;
  const ranges = settled.filter(({ from }) => from > offset);
  const seen = Math.max(log.state.seen, own.state.seen, offset);
  const [newer, older] = own.state.seen >= log.state.seen ? [own.state, log.state] : [log.state, own.state];
  const open = (tried: Tried): boolean => tried.offset >= offset && !isWithin(ranges, tried.offset);
  return {
    offset,
    state: {
      seen,
      ...(newer.newest && { newest: newer.newest }),
      ...chosenOf(newer, older),
      ranges,
      tried: mergeTried(log.state.tried, own.state.tried).filter(open),
      senders: mergeSenders(newer.senders, older.senders),
    },
  };
}

/** Takes the higher start, since records before it are possibly unknown to one side. */
function chosenOf(newer: State, older: State): Pick<State, 'chosen'> {
  const [one, other] = [newer.chosen ?? older.chosen, older.chosen ?? newer.chosen];
  if (!one || !other) return {};
  const newest = one.newest.offset >= other.newest.offset ? one.newest : other.newest;
  return { chosen: { from: Math.max(one.from, other.from), newest } };
}

/** Returns true when both have the same messages as settled. */
export function isSameProgress(a: Progress, b: Progress): boolean {
  const [some, others] = [a.state.ranges, b.state.ranges];
  if (a.offset !== b.offset || some.length !== others.length) return false;
  return some.every(({ from, to }, at) => from === others[at]?.from && to === others[at].to);
}

export function isWithin(ranges: readonly Range[], offset: number): boolean {
  return ranges.some(({ from, to }) => offset >= from && offset < to);
}

function settledBy({ offset, state }: Progress): readonly Range[] {
  return offset > 0 ? [{ from: 0, to: offset }, ...state.ranges] : state.ranges;
}

function union(ranges: readonly Range[]): readonly Range[] {
  const merged: { from: number; to: number }[] = [];
  for (const { from, to } of ranges.toSorted((a, b) => a.from - b.from)) {
    const last = merged.at(-1);
    if (last && from <= last.to) last.to = Math.max(last.to, to);
    else merged.push({ from, to });
  }
  return merged;
}

/** Takes the line with more attempts for each message, because the other side does not know of the additional ones. */
function mergeTried(log: readonly Tried[], own: readonly Tried[]): readonly Tried[] {
  const found = new Map(own.map((one) => [one.offset, one]));
  for (const one of log) {
    const mine = found.get(one.offset);
    if (!mine || countOf(one) > countOf(mine)) found.set(one.offset, one);
  }
  return [...found.values()].toSorted((a, b) => a.offset - b.offset);
}
const countOf = ({ attempts, running }: Tried): number => attempts + (running ? 1 : 0);
