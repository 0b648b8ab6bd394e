/** Counts what is not settled: by offsets where each has a record, else by reading as far as that takes little time. */
import type { Log } from '../ports/log';
import { isWithin, sizeOf, type Span } from './backlog';
import { letterOf, type Letter } from './message';

export interface Sized {
  readonly unsettled: number;
  /** There may be fewer: the rest was not read, and the log may have gaps. */
  readonly about: boolean;
  /** The one that the log took first. */
  readonly oldest: Letter | undefined;
}

/** Of all spans together: about a second of reading. */
const readBytesMax = 16 * 1024 * 1024;
const recordOverheadBytes = 100;
const chunk = { messages: 2_000, bytes: 1024 * 1024 };
/** Where reading is only for the first one; a few, since the first may be settled already. */
const fewMessages = 16;

export async function sizeUp(log: Log, spans: readonly Span[]): Promise<Sized> {
  const budget = { leftBytes: readBytesMax };
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
  const max = log.gapless ? { ...chunk, messages: fewMessages } : chunk;
  let rest = span;
  let unsettled = 0;
  let oldest: Letter | undefined;
  while (sizeOf(rest) > 0 && budget.leftBytes > 0 && !(log.gapless && oldest)) {
    const records = await log.peek(topic, { partition, offset: rest.from }, max);
    const found = records.filter(({ offset }) => isWithin(rest, offset));
    oldest ??= found[0] && letterOf(topic, found[0]);
    unsettled += found.length;
    for (const { value } of records) budget.leftBytes -= recordOverheadBytes + (value?.length ?? 0);
    const last = records.at(-1);
    rest = { ...rest, from: last && last.offset < end ? last.offset + 1 : end };
  }
  const unread = sizeOf(rest);
  return { unsettled: unsettled + unread, about: unread > 0 && !log.gapless, oldest };
}
