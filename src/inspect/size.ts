/**
 * Counts unsettled records by their offsets where the log has no gaps, and otherwise by reading up to a limit of bytes.
 */
import type { Log } from '../ports/log';
import { isWithin, sizeOf, type Span } from './backlog';
import { readEnvelopeAndBody, type DecodedMessage } from './message';

export interface Sized {
  readonly unsettled: number;
  /** True when the count is an upper bound: some records were not read, and their offsets can have gaps. */
  readonly about: boolean;
  /** The record with the earliest append time. */
  readonly oldest: DecodedMessage | undefined;
}

/** Maximum bytes read for all spans together, to count exactly: about one second of reading. */
export const exactBytesMax = 16 * 1024 * 1024;
/** Maximum bytes read for all spans together when a look at hundreds of queues must end within seconds. */
export const quickBytesMax = 64 * 1024;
const recordOverheadBytes = 100;
const chunk = { messages: 2_000, bytes: 1024 * 1024 };

export async function sizeUp(log: Log, spans: readonly Span[], bytesMax = exactBytesMax): Promise<Sized> {
  const budget = { leftBytes: bytesMax };
  const all = await Promise.all(spans.map((span) => sizeUpOne(log, span, budget)));
  const oldest = all.flatMap((one) => one.oldest ?? []);
  return {
    unsettled: all.reduce((sum, one) => sum + one.unsettled, 0),
    about: all.some(({ about }) => about),
    oldest: oldest.toSorted((one, other) => one.record.timeMs - other.record.timeMs)[0],
  };
}

async function sizeUpOne(log: Log, span: Span, budget: { leftBytes: number }): Promise<Sized> {
  const { topic, partition, end } = span;
  const bytes = Math.min(chunk.bytes, budget.leftBytes);
  const max = log.gapless ? { bytes, messages: 1 } : { ...chunk, bytes };
  let rest = { ...span, from: firstUnsettled(span) };
  let unsettled = 0;
  let oldest: DecodedMessage | undefined;
  while (sizeOf(rest) > 0 && budget.leftBytes > 0 && !(log.gapless && oldest)) {
    const records = await log.peek(topic, { partition, offset: rest.from }, max);
    const found = records.filter(({ offset }) => isWithin(rest, offset));
    oldest ??= found[0] && readEnvelopeAndBody(topic, found[0]);
    unsettled += found.length;
    for (const { value } of records) budget.leftBytes -= recordOverheadBytes + (value?.length ?? 0);
    const last = records.at(-1);
    rest = { ...rest, from: last && last.offset < end ? last.offset + 1 : end };
  }
  const unread = sizeOf(rest);
  return { unsettled: unsettled + unread, about: unread > 0 && !log.gapless, oldest };
}

/** Returns the lowest offset of the span that is not in a settled range. */
function firstUnsettled({ from, without }: Span): number {
  let first = from;
  for (const range of without) if (first >= range.from && first < range.to) first = range.to;
  return first;
}
