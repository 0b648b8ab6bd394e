/** Requests from all live instances the handlers that run there, and the requests that have no reply yet. */
import { errorMessage } from '../base/errors';
import { selfContract } from '../bus/self-contract';
import type { Activity, PendingRequest, RunningHandler, WaitingRequest } from '../bus/self-activity';
import { moduleOf } from '../contract/contract';
import type { Instance } from '../ports/registry';
import { askCheck } from './check';
import { consoleModule } from './instances';
import { findQueues, nearNames } from './names';
import { UnknownName, type InspectorParts } from './types';

/** A handler call that has not ended, and the instance that runs it. */
export interface RunningView extends RunningHandler {
  readonly on: string;
}
/** A request without a reply: the caller, the responder, and the state of the request there. */
export interface PendingView extends Omit<PendingRequest, 'reached'> {
  /** The instance that sent the request. */
  readonly from: string;
  /**
   * - `running`: its handler runs in `to`.
   * - `waiting`: it waits in `to` for a handler.
   * - `sent`: `to` has not confirmed it, or has answered in the meantime.
   * - `no instance`: the caller waits for an instance that serves the entry.
   * - `unknown`: `to` does not respond to the inspector.
   */
  readonly state: 'running' | 'waiting' | 'sent' | 'no instance' | 'unknown';
  /** Time for which its handler has been running, in ms; null if it does not run. */
  readonly runsForMs: number | null;
  /** Last text that its handler passed to `progress`. */
  readonly note: string;
  /** The request of the same entry that has been running there for the longest time; null unless this one waits. */
  readonly behind: string | null;
  /** Concurrency limit of the entry in `to`; null unless the request waits there. */
  readonly concurrency: number | null;
}
/** The result of {@link Inspector.running} and {@link Inspector.pending}. */
export interface ActivityList<T> {
  /** The matching items, longest first. */
  readonly items: readonly T[];
  /** Number of items that instances left out of their lists, because a list has a maximum length. */
  readonly left: number;
  /** Instances that did not answer, with the reason. Their activity is not included. */
  readonly silent: readonly { readonly instance: string; readonly reason: string }[];
}
/** A selection of activity. */
export interface ActivityFilter {
  /** Minimum duration, in ms. */
  readonly olderMs?: number;
}

interface Reported {
  readonly instance: Instance;
  readonly activity: Activity | null;
  readonly reason: string;
}

async function requestActivity(parts: InspectorParts): Promise<readonly Reported[]> {
  const { registry, bus, answerMs = 2_000 } = parts;
  const all = (await registry.all()).filter(({ module }) => module !== consoleModule);
  return Promise.all(
    all.map(async (instance): Promise<Reported> => {
      try {
        const to = { to: instance.name, timeoutMs: answerMs };
        return { instance, activity: await bus.request(selfContract.activity, undefined, to), reason: '' };
      } catch (error) {
        return { instance, activity: null, reason: errorMessage(error) };
      }
    }),
  );
}

/** Returns the running handlers of a module, queue, entry or instance; of all if `name` is undefined. */
export async function runningHandlers(
  parts: InspectorParts,
  name: string | undefined,
  { olderMs = 0 }: ActivityFilter,
): Promise<ActivityList<RunningView>> {
  const reports = await requestActivity(parts);
  const views = reports.flatMap(({ instance, activity }) =>
    (activity?.running.items ?? []).map((one): RunningView => ({ ...one, on: instance.name })),
  );
  const isNamed = ({ on, queue, entry }: RunningView): boolean =>
    name === undefined || [on, moduleOfInstance(on), queue, entry, moduleOf({ name: entry })].includes(name);
  const named = views.filter(isNamed);
  if (name !== undefined && named.length === 0) await mustExist(parts, name, reports);
  return {
    items: longest(named.filter(({ forMs }) => forMs >= olderMs)),
    left: sum(reports, ({ running }) => running.left),
    silent: silentOf(reports),
  };
}

/**
 * Returns the requests without a reply that a module, an instance or an entry sent or received; all if `name` is
 * undefined.
 */
export async function pendingRequests(
  parts: InspectorParts,
  name: string | undefined,
  { olderMs = 0 }: ActivityFilter,
): Promise<ActivityList<PendingView>> {
  const reports = await requestActivity(parts);
  const byName = new Map(reports.map((one) => [one.instance.name, one]));
  const views = reports.flatMap(({ instance, activity }) =>
    (activity?.pending.items ?? []).map((one) => pendingView(instance.name, one, byName)),
  );
  const isNamed = ({ from, to, entry }: PendingView): boolean => {
    const names = [from, to, entry, moduleOfInstance(from), moduleOf({ name: entry })];
    return name === undefined || names.includes(name);
  };
  const named = views.filter(isNamed);
  if (name !== undefined && named.length === 0) await mustExist(parts, name, reports);
  return {
    items: longest(named.filter(({ forMs }) => forMs >= olderMs)),
    left: sum(reports, ({ pending }) => pending.left),
    silent: silentOf(reports),
  };
}

function pendingView(
  from: string,
  { reached: _reached, ...one }: PendingRequest,
  reports: ReadonlyMap<string, Reported>,
): PendingView {
  const about = { ...one, from, runsForMs: null, note: '', behind: null, concurrency: null };
  if (one.to === null) return { ...about, state: 'no instance' };
  const there = reports.get(one.to)?.activity;
  if (!there) return { ...about, state: 'unknown' };
  const running = there.running.items.find(isSame(one));
  if (running) return { ...about, state: 'running', runsForMs: running.forMs, note: running.note };
  const waiting = there.waiting.items.find(isSame(one));
  if (!waiting) return { ...about, state: 'sent' };
  // The lists are sorted by duration, so this is the handler that holds up the entry for the longest time.
  const [first] = there.running.items.filter(({ queue, entry }) => queue === null && entry === one.entry);
  return { ...about, state: 'waiting', behind: first?.id ?? null, concurrency: waiting.concurrency };
}

function isSame({ id }: { readonly id: string }): (other: RunningHandler | WaitingRequest) => boolean {
  return (other) => other.id === id;
}

function moduleOfInstance(name: string): string {
  return name.slice(0, name.indexOf('#'));
}

/** Throws UnknownName unless the name is one of a module, queue, entry or instance. */
async function mustExist(parts: InspectorParts, name: string, reports: readonly Reported[]): Promise<void> {
  const instances = reports.map(({ instance }) => instance);
  const modules = instances.flatMap(({ module, serves }) => [module, ...Object.keys(serves)]);
  const known = new Set([...modules, ...instances.map((one) => one.name)]);
  if (known.has(name)) return;
  const queues = await findQueues(parts.log, parts.ns);
  for (const { queue, module } of queues.values()) known.add(queue).add(module);
  if (known.has(name)) return;
  if (name.includes('.')) {
    const answer = await askCheck(parts, name, undefined);
    if (answer.known) return;
    for (const entry of answer.entries) known.add(entry);
  }
  known.delete('busbar');
  throw new UnknownName('module, queue, entry or instance', name, nearNames(name, [...known]));
}

function longest<T extends { readonly forMs: number }>(items: readonly T[]): readonly T[] {
  return items.toSorted((one, other) => other.forMs - one.forMs);
}

function sum(reports: readonly Reported[], leftOf: (activity: Activity) => number): number {
  return reports.reduce((total, { activity }) => total + (activity ? leftOf(activity) : 0), 0);
}

function silentOf(reports: readonly Reported[]): ActivityList<never>['silent'] {
  return reports.flatMap(({ instance, activity, reason }) => (activity ? [] : [{ instance: instance.name, reason }]));
}
