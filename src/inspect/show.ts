/** Finds the records of a message by its id in all logs, and reports its state in each queue. */
import { placeOf } from '../work/message';
import { parkedKey } from '../work/parked/park';
import { isWithin, type Backlog } from './backlog';
import { doingOf } from './instances';
import { viewOf, type DecodedMessage } from './message';
import { topicsOf, type QueueName } from './names';
import { readRepaired, readParked, wholeTopics } from './parked';
import { waitingView } from './peek';
import { budgetFor, readBacklogs } from './queues';
import { scan } from './scan';
import type { FoundView, InspectorParts, InstanceView, ParkedView, PlaceView } from './types';

/** Maximum number of records returned. A longer list means that the prefix is too short to be useful. */
const foundMax = 50;

/**
 * Returns the records of all messages whose id begins with `idStart`, oldest first, at most 50. Calls `see` for every
 * record that it reads.
 */
export async function findMessages(
  parts: InspectorParts,
  queues: ReadonlyMap<string, QueueName>,
  instances: readonly InstanceView[],
  idStart: string,
  see: (decoded: DecodedMessage) => void = () => undefined,
): Promise<readonly FoundView[]> {
  const parked = await parkedByOrigin(parts, idStart);
  const topics = await wholeTopics(parts, await topicsOf(parts.log, parts.ns, ['work', 'events']));
  const matches: DecodedMessage[] = [];
  for await (const [decoded] of scan(parts.log, topics, budgetFor(parts))) {
    see(decoded);
    if (decoded.id.startsWith(idStart)) matches.push(decoded);
    if (matches.length >= foundMax) break;
  }
  const placesOf = await openPlaces(parts, [...queues.values()], instances);
  const found = matches.map((decoded) => {
    const origin = placeOf(decoded.topic, decoded.record);
    const aside = parked.get(origin) ?? [];
    parked.delete(origin);
    return { message: viewOf(decoded), places: withParked(placesOf(decoded), aside) };
  });
  // The originals of these were deleted or not read, so the parked copy is shown.
  for (const [first, ...more] of parked.values()) {
    if (first) found.push({ message: first, places: withParked([], [first, ...more]) });
  }
  return found.slice(0, foundMax);
}

async function parkedByOrigin(parts: InspectorParts, idStart: string): Promise<Map<string, ParkedView[]>> {
  const byOrigin = new Map<string, ParkedView[]>();
  for await (const view of readParked(parts, undefined, {})) {
    if (!view.id.startsWith(idStart)) continue;
    byOrigin.set(view.origin, [...(byOrigin.get(view.origin) ?? []), view]);
    if (byOrigin.size >= foundMax) break;
  }
  return byOrigin;
}

export function withParked(places: readonly PlaceView[], parked: readonly ParkedView[]): readonly PlaceView[] {
  const aside = parked.map((one): PlaceView => ({
    queue: one.queue,
    state: 'parked',
    attempts: one.attemptCount,
    on: null,
    unserved: false,
    parked: one,
    repaired: null,
  }));
  return [...places.filter(({ queue }) => !parked.some((one) => one.queue === queue)), ...aside];
}

/** Returns a function that finds the state of a record in each queue that receives it. */
export async function openPlaces(
  parts: InspectorParts,
  queues: readonly QueueName[],
  instances: readonly InstanceView[],
): Promise<(decoded: DecodedMessage) => readonly PlaceView[]> {
  const all = await Promise.all(
    queues.map(async ({ queue, ...name }) => {
      const backlogs = await readBacklogs(parts, { queue, ...name });
      return { queue, backlogs, doing: doingOf(queue, instances) };
    }),
  );
  const repaired = await readRepaired(parts);
  return (decoded) =>
    all.flatMap(({ queue, backlogs, doing }): readonly PlaceView[] => {
      const backlog = backlogs.find((one) => isFor(one, decoded));
      if (!backlog) return [];
      if (!isWithin(backlog, decoded.record.offset)) {
        const by = repaired.get(parkedKey(queue, decoded.topic, decoded.record)) ?? null;
        return [{ queue, state: 'settled', attempts: 0, on: null, unserved: false, parked: null, repaired: by }];
      }
      const { state, attempts, on, unserved } = waitingView(decoded, backlog, doing, null);
      return [{ queue, state, attempts, on, unserved, parked: null, repaired: null }];
    });
}

function isFor({ topic, partition, source }: Backlog, decoded: DecodedMessage): boolean {
  if (topic !== decoded.topic || partition !== decoded.record.partition) return false;
  return source.entry === null || source.entry === decoded.entry;
}
