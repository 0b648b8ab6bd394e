/** Counts the unsettled messages of a queue by entry, key, partition, sender or owner of the partition. */
import { isWithin, sizeOf, type Backlog } from './backlog';
import { runningOf } from './instances';
import { fits, readEnvelopeAndBody, type DecodedMessage } from './message';
import type { QueueKind } from './queue-view';
import type { InspectorParts, InstanceView, MessageFilter } from './types';

/** Property by which messages are counted. `sender` is the sending instance, `instance` the owner of the partition. */
export type By = (typeof byNames)[number];
/** Names of the properties by which messages can be counted. */
export const byNames = ['entry', 'key', 'partition', 'sender', 'instance'] as const;

export interface CountByOptions extends MessageFilter {
  /** Ends the count when it aborts. The counts until then are returned, with `exact: false`. */
  readonly signal?: AbortSignal;
  /** Called from time to time with the number of records that were read, and the number of all. */
  readonly progress?: (read: number, of: number) => void;
}

/** Maximum read from one partition at a time. Bodies are not decoded, so it is larger than for lists. */
const chunk = { messages: 2_000, bytes: 1024 * 1024 };
/** Maximum number of kinds that are kept. It bounds memory; messages of further kinds are counted together. */
const kindsMax = 100_000;

interface Kind {
  waiting: number;
  running: number;
  bytes: number;
  oldestMs: number;
  first: string;
}

/** Counts the messages of each kind. It reads every unsettled record, but does not decode bodies. */
export async function countBy(
  { log, clock }: InspectorParts,
  queue: string,
  by: By,
  backlogs: readonly Backlog[],
  instances: readonly InstanceView[],
  { signal, progress = () => {}, ...filter }: CountByOptions,
): Promise<{ readonly kinds: readonly QueueKind[]; readonly others: number; readonly exact: boolean }> {
  const running = new Set(runningOf(queue, instances).map(({ partition, offset }) => `${partition} ${offset}`));
  const kinds = new Map<string, Kind>();
  const of = backlogs.reduce((sum, one) => sum + sizeOf(one), 0);
  let [read, others] = [0, 0];

  function add(decoded: DecodedMessage, backlog: Backlog): void {
    const { partition, offset, timeMs, value } = decoded.record;
    const name = kindOf(by, decoded, backlog);
    let kind = kinds.get(name);
    if (!kind) {
      if (kinds.size >= kindsMax) return void others++;
      kind = { waiting: 0, running: 0, bytes: 0, oldestMs: timeMs, first: decoded.id };
      kinds.set(name, kind);
    }
    if (running.has(`${partition} ${offset}`)) kind.running++;
    else kind.waiting++;
    kind.bytes += value?.length ?? 0;
    if (timeMs >= kind.oldestMs) return;
    kind.oldestMs = timeMs;
    kind.first = decoded.id;
  }
  async function walk(backlog: Backlog): Promise<void> {
    const { topic, partition, from, end, source } = backlog;
    for (let next = from; next < end && !signal?.aborted;) {
      const records = await log.peek(topic, { partition, offset: next }, chunk);
      for (const record of records) {
        if (!isWithin(backlog, record.offset)) continue;
        const decoded = readEnvelopeAndBody(topic, record);
        if (source.entry !== null && source.entry !== decoded.entry) continue;
        if (fits(decoded, filter)) add(decoded, backlog);
      }
      const last = records.at(-1);
      read += records.length;
      progress(read, of);
      next = last ? last.offset + 1 : end;
    }
  }

  await Promise.all(backlogs.map((one) => walk(one)));
  const nowMs = clock.now();
  const found = [...kinds].map(([kind, { oldestMs, ...one }]) => ({ kind, ...one, oldestMs: nowMs - oldestMs }));
  const exact = !signal?.aborted && backlogs.every(({ readable, blocked }) => readable && blocked === 0);
  return {
    kinds: found.toSorted((one, other) => other.waiting - one.waiting || (one.kind < other.kind ? -1 : 1)),
    others,
    exact,
  };
}

function kindOf(by: By, decoded: DecodedMessage, { owner }: Backlog): string {
  switch (by) {
    case 'entry':
      return decoded.entry;
    case 'key':
      return decoded.key ?? '';
    case 'partition':
      return `${decoded.topic}/${decoded.record.partition}`;
    case 'sender':
      return decoded.envelope?.from ?? '';
    case 'instance':
      return owner ?? '';
  }
}
