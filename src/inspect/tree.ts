/** Finds the messages that caused a message, and those that it caused, in all logs. */
import { findQueues, topicsOf } from './names';
import { readParked, wholeTopics } from './parked';
import { budgetFor } from './queues';
import { requestInstances } from './instances';
import { scan } from './scan';
import { openPlaces, withParked } from './show';
import type { DecodedMessage } from './message';
import { placeOf } from '../work/message';
import { StoppedEarly, type InspectorParts, type ParkedView, type PlaceView } from './types';

/** A message, and the messages that were sent while it was handled. */
export interface TreeNode {
  readonly id: string;
  /** Empty for a message that no log has, such as a request. */
  readonly entry: string;
  readonly sentMs: number | null;
  /** The state in each queue, such as `photos.work: settled`. */
  readonly state: string;
  readonly children: readonly TreeNode[];
  /** Number of children that are left out. */
  readonly left: number;
}

/** Maximum number of causes that are followed upwards. Each takes a read of all logs. */
const ancestorsMax = 10;
/** Maximum number of messages in the tree, which bounds its memory and its output. */
const nodesMax = 500;

/**
 * Returns the tree of the message with this id: from the first cause that a log has, down to all messages that it
 * caused. It reads all logs several times. What lies beyond the limit of records of one read is left out.
 */
export async function treeOf(parts: InspectorParts, id: string): Promise<TreeNode> {
  const root = await rootOf(parts, id);
  const found = new Map<string, DecodedMessage>();
  const children = new Map<string, string[]>();
  const left = new Map<string, number>();
  const inTree = new Set([root]);
  await each(parts, (decoded) => {
    const { cause } = decoded.envelope ?? {};
    if (decoded.id === root) found.set(root, found.get(root) ?? decoded);
    if (cause === undefined || !inTree.has(cause) || inTree.has(decoded.id)) return;
    if (inTree.size >= nodesMax) return void left.set(cause, (left.get(cause) ?? 0) + 1);
    inTree.add(decoded.id);
    found.set(decoded.id, decoded);
    children.set(cause, [...(children.get(cause) ?? []), decoded.id]);
  });
  const [queues, instances] = await Promise.all([findQueues(parts.log, parts.ns), requestInstances(parts)]);
  const placesOf = await openPlaces(parts, [...queues.values()], instances);
  const parked = new Map<string, ParkedView[]>();
  for await (const view of readParked(parts, undefined, {})) {
    if (inTree.has(view.id)) parked.set(view.origin, [...(parked.get(view.origin) ?? []), view]);
  }
  const stateOf = (decoded: DecodedMessage): string => {
    const aside = parked.get(placeOf(decoded.topic, decoded.record)) ?? [];
    return stateText(withParked(placesOf(decoded), aside));
  };
  const nodeOf = (one: string): TreeNode => {
    const decoded = found.get(one);
    return {
      id: one,
      entry: decoded?.entry ?? '',
      sentMs: decoded?.envelope?.sentMs ?? decoded?.record.timeMs ?? null,
      state: decoded ? stateOf(decoded) : 'not in a log',
      children: (children.get(one) ?? []).map(nodeOf),
      left: left.get(one) ?? 0,
    };
  };
  return nodeOf(root);
}

/** Returns the id of the first cause. A cause that no log has, such as a request, ends the search. */
async function rootOf(parts: InspectorParts, id: string): Promise<string> {
  let root = id;
  for (let n = 0; n < ancestorsMax; n++) {
    let cause: string | undefined;
    await each(parts, (decoded) => {
      if (decoded.id === root) cause ??= decoded.envelope?.cause;
    });
    if (cause === undefined || cause === id) return root;
    root = cause;
  }
  return root;
}

async function each(parts: InspectorParts, use: (decoded: DecodedMessage) => void): Promise<void> {
  const spans = await wholeTopics(parts, await topicsOf(parts.log, parts.ns, ['work', 'events']));
  try {
    for await (const [decoded] of scan(parts.log, spans, budgetFor(parts))) use(decoded);
  } catch (error) {
    if (!(error instanceof StoppedEarly)) throw error;
  }
}

function stateText(places: readonly PlaceView[]): string {
  return places.map(({ queue, state }) => `${queue}: ${state}`).join(', ') || 'received by no queue';
}
