/** Collects everything that logs and instances still know of one message. */
import { isBusError } from '../base/errors';
import { selfContract } from '../bus/self-contract';
import type { EndedMessage } from '../delivery/recently-ended';
import type { HeldInQueue, KnownMessage } from '../bus/self-message';
import { timeOfId } from '../format/id';
import { requestInstances } from './instances';
import { viewOf, type DecodedMessage } from './message';
import { findQueues, type QueueName } from './names';
import { readRepairsOf, type RepairOf } from './parked';
import { budgetFor, readBacklogs, readUnsettled } from './queues';
import { findMessages } from './show';
import {
  StoppedEarly,
  UnknownName,
  type FoundView,
  type InspectorParts,
  type InstanceView,
  type MessageView,
} from './types';

/** The lane of a waiting or running message, read from the log. */
export interface LaneView {
  readonly queue: string;
  readonly key: string;
  /** The first unsettled message of the lane; null if it is the message itself. */
  readonly head: string | null;
  /** Number of unsettled messages of the same key before and after the message. */
  readonly before: number;
  readonly after: number;
  /** The instance that owns the partition; null if there is none. */
  readonly owner: string | null;
}
/** All facts about a message. */
export interface Facts {
  readonly id: string;
  readonly nowMs: number;
  /** Its records in the logs, with its state in each queue. Empty for a request, and for a message that was trimmed. */
  readonly found: readonly FoundView[];
  readonly held: readonly (HeldInQueue & OnInstance)[];
  readonly running: readonly (KnownMessage['running'][number] & OnInstance)[];
  readonly waiting: readonly (KnownMessage['waiting'][number] & OnInstance)[];
  readonly pending: readonly (KnownMessage['pending'][number] & OnInstance)[];
  readonly ended: readonly (EndedMessage & OnInstance)[];
  /** State of the head of each lane. */
  readonly heads: readonly (HeldInQueue & OnInstance)[];
  readonly lanes: readonly LaneView[];
  /** Messages that were sent while it was handled. */
  readonly children: readonly MessageView[];
  /** Number of children that are left out. */
  readonly childrenLeft: number;
  readonly repaired: readonly RepairOf[];
  /** Time at which the id was made; null if the id does not contain one. */
  readonly madeMs: number | null;
  readonly instances: readonly InstanceView[];
  /** Names of queues, with the retention of settled messages. */
  readonly keepMs: readonly { readonly topic: string; readonly keepMs: number | null }[];
  readonly silent: readonly string[];
}
/** The instance that reported something. */
export interface OnInstance {
  readonly on: string;
}

const childrenMax = 100;

/** Returns the facts about the message whose id begins with `idStart`. Throws UnknownName if several ids do. */
export async function factsOf(parts: InspectorParts, idStart: string): Promise<Facts> {
  const { log, ns, clock } = parts;
  const [queues, instances] = await Promise.all([findQueues(log, ns), requestInstances(parts)]);
  const children: MessageView[] = [];
  let childrenLeft = 0;
  const see = (decoded: DecodedMessage): void => {
    if (!decoded.envelope?.cause?.startsWith(idStart)) return;
    if (children.length < childrenMax) children.push(viewOf(decoded));
    else childrenLeft++;
  };
  const matches = await findMessages(parts, queues, instances, idStart, see);
  const known = await askAll(parts, instances, idStart);
  const repaired = await readRepairsOf(parts, idStart);
  const id = onlyId(idStart, [
    ...matches.map(({ message }) => message.id),
    ...known.flatMap(({ answer }) => idsIn(answer)),
    ...repaired.map((one) => one.id),
  ]);
  const found = matches.filter(({ message }) => message.id === id);
  const lanes = await lanesOf(parts, queues, found);
  const heads = [...new Set(lanes.flatMap(({ head }) => head ?? []))];
  const answers = (await Promise.all(heads.map((head) => askAll(parts, instances, head)))).flat();
  const pick = <T extends { readonly id: string }>(
    all: readonly { readonly on: string; readonly answer: KnownMessage }[],
    listOf: (answer: KnownMessage) => readonly T[],
    isMeant: (one: T) => boolean = (one) => one.id === id,
  ): readonly (T & OnInstance)[] =>
    all.flatMap(({ on, answer }) =>
      listOf(answer)
        .filter(isMeant)
        .map((one) => ({ ...one, on })),
    );
  const topics = await log.topics();
  return {
    id,
    nowMs: clock.now(),
    found,
    held: pick(known, ({ held }) => held),
    running: pick(known, ({ running }) => running),
    waiting: pick(known, ({ waiting }) => waiting),
    pending: pick(known, ({ pending }) => pending),
    ended: pick(known, ({ ended }) => ended),
    heads: pick(
      answers,
      ({ held }) => held,
      (one) => heads.includes(one.id),
    ),
    lanes,
    children: children.filter(({ cause }) => cause === id),
    childrenLeft,
    repaired: repaired.filter((one) => one.id === id),
    madeMs: timeOfId(id, clock.now()),
    instances,
    keepMs: topics.map(({ name, keepMs }) => ({ topic: name, keepMs })),
    silent: instances.flatMap(({ name, silent }) => (silent === null ? [] : name)),
  };
}

/** The answer of one instance. */
interface Answer {
  readonly on: string;
  readonly answer: KnownMessage;
}

/** Requests from every live instance what it knows of a message. Instances that do not answer are skipped. */
async function askAll(
  { bus, answerMs = 2_000 }: InspectorParts,
  instances: readonly InstanceView[],
  idStart: string,
): Promise<readonly Answer[]> {
  const answering = instances.filter(({ silent }) => silent === null);
  const answers = await Promise.all(
    answering.map(async ({ name }): Promise<readonly Answer[]> => {
      try {
        const options = { to: name, timeoutMs: answerMs };
        return [{ on: name, answer: await bus.request(selfContract.message, { id: idStart }, options) }];
      } catch (error) {
        if (isBusError(error)) return []; // it left meanwhile, or is of an earlier version
        throw error;
      }
    }),
  );
  return answers.flat();
}

function idsIn({ held, running, waiting, pending, ended }: KnownMessage): readonly string[] {
  return [...held, ...running, ...waiting, ...pending, ...ended].map(({ id }) => id);
}

/** Returns the only id, or the text itself if no message has an id that begins with it. */
function onlyId(idStart: string, ids: readonly string[]): string {
  const all = new Set(ids);
  if (all.has(idStart)) return idStart;
  const [first = idStart, ...others] = all;
  if (others.length === 0) return first;
  const listed = [first, ...others].slice(0, idsListed).map((id) => `\n  busbar why ${id}`);
  throw new UnknownName('single message', idStart, [], `: ${all.size} ids begin with it.${listed.join('')}`);
}
const idsListed = 10;

/** Returns the lane of each unsettled record. It reads the unsettled part of their partitions. */
async function lanesOf(
  parts: InspectorParts,
  queues: ReadonlyMap<string, QueueName>,
  found: readonly FoundView[],
): Promise<readonly LaneView[]> {
  const open = found.flatMap(({ message, places }) =>
    places
      .filter(({ state }) => state !== 'settled' && state !== 'parked')
      .flatMap(({ queue }) => {
        const name = queues.get(queue);
        return name && message.key !== null ? [{ message, name, key: message.key }] : [];
      }),
  );
  return Promise.all(open.map(async ({ message, name, key }) => laneOf(parts, name, message, key)));
}

async function laneOf(
  parts: InspectorParts,
  name: QueueName,
  { topic, partition, offset }: MessageView,
  key: string,
): Promise<LaneView> {
  const backlogs = (await readBacklogs(parts, name)).filter(
    (one) => one.topic === topic && one.partition === partition,
  );
  let head: string | null = null;
  let [before, after] = [0, 0];
  try {
    for await (const [decoded] of readUnsettled(parts, backlogs, budgetFor(parts))) {
      if (decoded.key !== key || decoded.record.offset === offset) continue;
      if (decoded.record.offset < offset) {
        head ??= decoded.id;
        before++;
      } else after++;
    }
  } catch (error) {
    if (!(error instanceof StoppedEarly)) throw error; // the counts until there are lower bounds
  }
  return { queue: name.queue, key, head, before, after, owner: backlogs[0]?.owner ?? null };
}
