/** Reads everything that the log still has of a queue, with the state of each message. */
import { placeOf } from '../work/message';
import { parkedKey } from '../work/parked/park';
import { isWithin } from './backlog';
import { doingOf, requestInstances } from './instances';
import { fits, viewOf } from './message';
import type { QueueName } from './names';
import { readParked, readRepaired, wholeTopics } from './parked';
import { waitingView } from './peek';
import { budgetFor, readBacklogs } from './queues';
import { scan } from './scan';
import type { InspectorParts, MessageFilter, MessageView, ParkedView, PlaceView } from './types';

/** A message of a queue, whether it is handled or not. */
export interface HistoryView extends MessageView {
  readonly state: PlaceView['state'];
  readonly attempts: number;
  /** The instance that handles it now. */
  readonly on: string | null;
  /** The reason for which it is parked; null if it is not. */
  readonly reason: string | null;
  /** The repair by which it was settled; null when there was none or the log no longer has the record. */
  readonly repaired: PlaceView['repaired'];
}

/** Yields the messages that the log has of a queue, oldest first. Throws StoppedEarly at the limit of records. */
export async function* readHistory(
  parts: InspectorParts,
  { queue, sources }: QueueName,
  filter: MessageFilter,
): AsyncGenerator<HistoryView> {
  // Read the backlogs before the records, so that a message that is settled in between is shown as waiting.
  const backlogs = await readBacklogs(parts, { queue, module: '', kind: 'work', sources });
  const doing = doingOf(queue, await requestInstances(parts));
  const parked = new Map<string, ParkedView>();
  for await (const view of readParked(parts, queue, {})) parked.set(view.origin, view);
  const repaired = await readRepaired(parts);
  const topics = [...new Set(sources.map(({ topic }) => topic))];
  for await (const [decoded] of scan(parts.log, await wholeTopics(parts, topics), budgetFor(parts))) {
    const { topic, entry, record } = decoded;
    const isOf = sources.some((one) => one.topic === topic && (one.entry === null || one.entry === entry));
    if (!isOf || !fits(decoded, filter)) continue;
    const about = { ...viewOf(decoded), attempts: 0, on: null, reason: null, repaired: null };
    const aside = parked.get(placeOf(topic, record));
    const backlog = backlogs.find((one) => one.topic === topic && one.partition === record.partition);
    if (aside) yield { ...about, state: 'parked', attempts: aside.attemptCount, reason: aside.reason };
    else if (!backlog || !isWithin(backlog, record.offset)) {
      yield { ...about, state: 'settled', repaired: repaired.get(parkedKey(queue, topic, record)) ?? null };
    } else {
      const { state, attempts, on } = waitingView(decoded, backlog, doing, null);
      yield { ...about, state, attempts, on };
    }
  }
}
