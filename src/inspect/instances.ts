/** Requests from all live instances the status that they report. */
import { errorMessage } from '../base/errors';
import { selfContract, type InstanceStatus } from '../bus/self-contract';
import type { Instance } from '../ports/registry';
import type { Running } from '../work/types';
import type { InspectorParts, InstanceView, UnservedView } from './types';

/** The module of inspectors. Inspectors are left out of the instances that they list. */
export const consoleModule = 'console';

/** Returns the instances sorted by name. One that does not answer is included, with the reason in `silent`. */
export async function requestInstances(parts: InspectorParts, module?: string): Promise<readonly InstanceView[]> {
  const all = await parts.registry.all();
  const asked = all.filter((one) => one.module !== consoleModule && (module === undefined || one.module === module));
  const views = await Promise.all(asked.map((instance) => ask(parts, instance)));
  return views.toSorted((one, other) => (one.name < other.name ? -1 : 1));
}

async function ask({ bus, answerMs = 2_000 }: InspectorParts, instance: Instance): Promise<InstanceView> {
  const { name, module, host, pid, version, sinceMs, leaving, serves } = instance;
  const about = { name, module, host, pid, version, sinceMs, leaving, serves };
  try {
    const status = await bus.request(selfContract.status, undefined, { to: name, timeoutMs: answerMs });
    return { ...about, status, silent: null };
  } catch (error) {
    return { ...about, status: null, silent: errorMessage(error) };
  }
}

export type QueueStatus = InstanceStatus['queues'][number];

type ByQueue = ReadonlyMap<string, readonly (readonly [InstanceView, QueueStatus])[]>;
/** The statuses of each list of instances by queue, because hundreds of queues are looked up in the same list. */
const statuses = new WeakMap<readonly InstanceView[], ByQueue>();

/** Returns each instance that reports a queue, with its status of that queue. */
export function statusesOf(
  queue: string,
  instances: readonly InstanceView[],
): readonly (readonly [InstanceView, QueueStatus])[] {
  const known = statuses.get(instances) ?? byQueue(instances);
  statuses.set(instances, known);
  return known.get(queue) ?? [];
}
function byQueue(instances: readonly InstanceView[]): ByQueue {
  const found = new Map<string, (readonly [InstanceView, QueueStatus])[]>();
  for (const instance of instances) {
    for (const one of instance.status?.queues ?? []) {
      found.set(one.queue, [...(found.get(one.queue) ?? []), [instance, one]]);
    }
  }
  return found;
}

export function unservedIn(queue: string, instances: readonly InstanceView[]): readonly UnservedView[] {
  const waiting = new Map<string, number>();
  for (const [, { unserved }] of statusesOf(queue, instances)) {
    for (const one of unserved) waiting.set(one.entry, (waiting.get(one.entry) ?? 0) + one.waiting);
  }
  return [...waiting].map(([entry, many]) => ({ entry, waiting: many, knownTo: knowing(queue, entry, instances) }));
}

function knowing(queue: string, entry: string, instances: readonly InstanceView[]): number {
  return statusesOf(queue, instances).filter(([, { entries }]) => entries.includes(entry)).length;
}

/** The current work of the instances that consume a queue, as they report it. */
export interface Doing {
  readonly running: readonly RunningOn[];
  /** Returns true when instances consume the queue and none of them knows the entry. */
  readonly isUnserved: (entry: string) => boolean;
}

export function doingOf(queue: string, instances: readonly InstanceView[]): Doing {
  const taken = statusesOf(queue, instances).length > 0;
  return {
    running: runningOf(queue, instances),
    isUnserved: (entry) => taken && entry !== '' && knowing(queue, entry, instances) === 0,
  };
}

/** A running handler call, and the instance that runs it. */
export interface RunningOn extends Running {
  readonly on: string;
}

export function runningOf(queue: string, instances: readonly InstanceView[]): readonly RunningOn[] {
  return statusesOf(queue, instances).flatMap(([{ name }, { running }]) =>
    running.map((one) => ({ ...one, on: name })),
  );
}
