/** Shared set-up of the inspection tests: buses on a memory world, and an inspector with its ports. */
import type { Notice } from '../../src/base/notices';
import { buildBus } from '../../src/bus/bus';
import type { Timings } from '../../src/bus/parts';
import type { Bus } from '../../src/bus/types';
import { defineModule, event, unchecked, work, request } from '../../src/contract/contract';
import { openInspector } from '../../src/inspect/inspector';
import type { InspectorParts } from '../../src/inspect/types';
import { memoryWorld, seededRandom, virtualClock, type WorldOptions } from '../../src/memory';
import { memoryBusParts } from '../../src/testing/parts';

export interface Job {
  readonly n: number;
  readonly key: string;
}
export const photos = defineModule('photos', {
  add: request(unchecked<{ name: string }>(), unchecked<string>()),
  resize: work(unchecked<Job>(), { key: ({ key }) => key, attempts: 2, backoffMs: 60_000 }),
  rotate: work(unchecked<Job>(), { queue: 'slow' }),
  added: event(unchecked<Job>(), { key: ({ key }) => key }),
  removed: event(unchecked<Job>()),
});

export function inspectedBuses(options: Pick<WorldOptions, 'recordBytesMax' | 'holdsUnread'> = {}) {
  const clock = virtualClock();
  const random = seededRandom(1);
  const world = memoryWorld({ clock, stateBytesMax: 1_000_000, ...options });
  const sums = new Map<string, number>();

  function ports(module: string) {
    const number = (sums.get(module) ?? 0) + 1;
    sums.set(module, number);
    const instance = `${module}#${number}`;
    return world.process(instance);
  }

  async function open(
    module: string,
    timings: Partial<Timings> = {},
  ): Promise<Bus & { crash(): void; tell(notice: Notice): void }> {
    const process = ports(module);
    const parts = memoryBusParts(process, { drainMs: 1_000, keepMs: 86_400_000, ...timings });
    const { bus, opened } = buildBus({ ...parts, random, ns: 't', host: 'host', rssBytes: () => 1, version: '1.2.3' });
    await opened;
    return Object.assign(bus, { crash: () => process.crash(), tell: (notice: Notice) => parts.notices.emit(notice) });
  }

  async function inspector(more: Partial<InspectorParts> = {}) {
    const { log, registry } = ports('console');
    const bus = await open('console');
    const parts: InspectorParts = { log, registry, bus, ns: 't', clock, random, ...more };
    return { ...openInspector(parts), parts };
  }
  /** Advances time until `promise` settles, because two observations are a second apart. */
  async function soon<T>(promise: Promise<T>, ms = 5_000): Promise<T> {
    let done = false;
    const end = promise.finally(() => (done = true));
    end.catch(() => undefined);
    await clock.runUntil(() => done, ms);
    return end;
  }
  return { clock, world, open, inspector, soon, ports };
}

export async function all<T>(list: AsyncIterable<T>, most = 1_000): Promise<T[]> {
  const found: T[] = [];
  for await (const one of list) {
    found.push(one);
    if (found.length >= most) break;
  }
  return found;
}
