/** Implements `busbar instances`, which lists the live instances, the contracts that they serve and their load. */
import type { EntryCounts, InstanceView } from '../../inspect';
import { exits, type Exit } from '../exit';
import type { Column } from '../output';
import type { Desk } from '../run';
import { age, milliseconds, none, size } from '../words';

const columns = (nowMs: number): readonly Column<InstanceView>[] => [
  { name: 'INSTANCE', show: ({ name }) => name },
  { name: 'STATE', show: stateOf },
  { name: 'UP', right: true, show: ({ sinceMs }) => age(nowMs - sinceMs) },
  { name: 'VERSION', spare: 1, show: ({ version }) => version || none },
  { name: 'HOST', spare: 3, show: ({ host, pid }) => `${host}:${pid}` },
  { name: 'JOBS', right: true, show: ({ status }) => (status ? String(jobsOf(status.queues)) : none) },
  {
    name: 'REQUESTS',
    right: true,
    show: ({ status }) => (status ? String(status.requests.filter(isOfOthers).length) : none),
  },
  { name: 'IN/s', right: true, spare: 2, show: ({ status }) => (status?.entries ? inPerSecond(status.entries) : none) },
  { name: 'p50', right: true, spare: 2, show: ({ status }) => handlerTime(status?.entries, 'p50Ms') },
  { name: 'p99', right: true, spare: 2, show: ({ status }) => handlerTime(status?.entries, 'p99Ms') },
  { name: 'MEMORY', right: true, spare: 2, show: ({ status }) => (status ? size(status.rssBytes) : none) },
  { name: 'SERVES', cut: true, show: servedBy },
];

export async function instances({ inspector, out, nowMs }: Desk, module: string | undefined): Promise<Exit> {
  const found = await inspector.instances(module);
  await out.list({ columns: columns(nowMs()) }, found);
  if (found.length > 0) return found.some(({ silent }) => silent !== null) ? exits.failed : exits.done;
  out.note('no instance is running');
  return exits.warning;
}

function stateOf({ status, silent, leaving }: InstanceView): string {
  if (!status) return `silent: ${silent ?? ''}`;
  const { live, ready, reasons } = status.health;
  const why = reasons.map(({ reason }) => reason).join('; ');
  if (!live) return `broken: ${why}`;
  if (leaving) return 'leaving';
  return ready ? 'ready' : `not ready: ${why}`;
}

function jobsOf(queues: NonNullable<InstanceView['status']>['queues']): number {
  return queues.reduce((sum, { running }) => sum + running.length, 0);
}

/** Returns the messages and requests that the instance received in a second, without the requests of operators. */
function inPerSecond(entries: readonly EntryCounts[]): string {
  const all = entries.filter(isOfOthers);
  return all.reduce((sum, one) => sum + (one.in / one.windowMs) * 1_000, 0).toFixed(1);
}
/** Returns the median or 99th percentile of the handlers of the entry that took most of the time. */
function handlerTime(entries: readonly EntryCounts[] = [], which: 'p50Ms' | 'p99Ms'): string {
  const calls = ({ done, failed, failures, parked, handlerMs }: EntryCounts): number =>
    (done + failed + failures + parked) * (handlerMs?.p50Ms ?? 0);
  const [busiest] = entries.filter(isOfOthers).toSorted((one, other) => calls(other) - calls(one));
  return busiest?.handlerMs ? milliseconds(busiest.handlerMs[which]) : none;
}

/**
 * Returns contracts with their fingerprints. Different fingerprints show that two versions of a module run side by
 * side.
 */
function servedBy({ serves }: InstanceView): string {
  const own = Object.entries(serves).filter(([contract]) => contract !== 'busbar');
  return own.map(([contract, print]) => `${contract} ${print}`).join(', ') || none;
}

/**
 * Returns false for the requests of operators, because the status request of this command would otherwise be counted.
 */
function isOfOthers({ entry }: { readonly entry: string }): boolean {
  return !entry.startsWith('busbar.');
}
