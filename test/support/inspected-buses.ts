/** Shared set-up of the inspection tests: buses on a memory world, and an inspector with its ports. */
import { openNotices, type Notice } from '../../src/base/notices';
import { buildBus } from '../../src/bus/bus';
import { defaults, liveConfig } from '../../src/config';
import type { Timings } from '../../src/bus/parts';
import type { Bus } from '../../src/bus/types';
import { defineModule, event, unchecked, work, request } from '../../src/contract/contract';
import { openInspector } from '../../src/inspect/inspector';
import type { InspectorParts } from '../../src/inspect/types';
import { memoryWorld, seededRandom, virtualClock, type WorldOptions } from '../../src/memory';

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

export function rig(options: Pick<WorldOptions, 'recordBytesMax' | 'holdsUnread'> = {}) {
  const clock = virtualClock();
  const random = seededRandom(1);
  const world = memoryWorld({ clock, stateBytesMax: 1_000_000, ...options });
  const sums = new Map<string, number>();

  function ports(module: string) {
    const number = (sums.get(module) ?? 0) + 1;
    sums.set(module, number);
    const instance = `${module}#${number}`;
    return { self: { module, instance }, ...world.process(instance) };
  }

  async function open(
    module: string,
    timings: Partial<Timings> = {},
  ): Promise<Bus & { crash(): void; tell(notice: Notice): void }> {
    const process = ports(module);
    const { self, log, messenger, registry, settings } = process;
    const notices = openNotices();
    const { bus, opened } = buildBus({
      clock: process.clock,
      random,
      notices,
      live: liveConfig(defaults, notices, clock),
      log,
      messenger,
      registry,
      settings,
      self,
      ns: 't',
      host: 'host',
      pid: 1,
      rssBytes: () => 1,
      version: '1.2.3',
      reached: 'disk',
      middleware: [],
      timings: {
        drainMs: 1_000,
        commitMs: 500,
        sessionMs: 10_000,
        keepMs: 86_400_000,
        lingerMs: 0,
        messageBytesMax: 1_000_000,
        ...timings,
      },
      async closePorts() {
        await Promise.all([registry.close(), messenger.close(), log.close(), settings.close()]);
      },
    });
    await opened;
    return Object.assign(bus, { crash: () => process.crash(), tell: (notice: Notice) => notices.emit(notice) });
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
