/** Asks all living instances what they do now. */
import { sayError } from '../base/errors';
import { selfContract, type InstanceStatus } from '../bus/self';
import type { Instance } from '../ports/registry';
import type { Running } from '../work/types';
import type { InspectorParts, InstanceView } from './types';

/** The module that inspectors are instances of; they look at others, and are left out themselves. */
export const consoleModule = 'console';

/** By name. Those that do not answer are among them, with the reason. */
export async function askInstances(parts: InspectorParts, module?: string): Promise<readonly InstanceView[]> {
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
    return { ...about, status: null, silent: sayError(error) };
  }
}

export type QueueStatus = InstanceStatus['queues'][number];

/** What instances say of one queue. */
export function* sayingOf(queue: string, instances: readonly InstanceView[]): Generator<[InstanceView, QueueStatus]> {
  for (const instance of instances) {
    for (const one of instance.status?.queues ?? []) if (one.queue === queue) yield [instance, one];
  }
}

/** A handler call that goes on, and where. */
export interface RunningOn extends Running {
  readonly on: string;
}

export function runningOf(queue: string, instances: readonly InstanceView[]): readonly RunningOn[] {
  return [...sayingOf(queue, instances)].flatMap(([{ name }, { running }]) =>
    running.map((one) => ({ ...one, on: name })),
  );
}
