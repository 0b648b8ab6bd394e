/** Dependencies of a bus on in-memory ports. */
import { allEnded } from '../base/lifecycle';
import { openNotices } from '../base/notices';
import type { BusParts, Timings } from '../bus/parts';
import { defaults, liveConfig } from '../config';
import type { MemoryProcess } from '../memory';

type Ports = Pick<MemoryProcess, 'name' | 'clock' | 'random' | 'log' | 'messenger' | 'registry' | 'settings'>;

/**
 * Returns the dependencies of a bus on the ports of a simulated process, whose name is the instance. The timings are
 * the defaults without lingering: in memory, no instance reads the registry late, and a closing test must not have to
 * advance the time.
 */
export function memoryBusParts(ports: Ports, timings: Partial<Timings> = {}): BusParts {
  const { name, clock, random, log, messenger, registry, settings } = ports;
  const notices = openNotices();
  return {
    clock,
    random,
    notices,
    log,
    messenger,
    registry,
    settings,
    live: liveConfig(defaults, notices, clock),
    self: { module: name.split('#')[0] ?? name, instance: name },
    ns: 'test',
    host: 'test',
    pid: 1,
    rssBytes: () => 0,
    version: '0',
    reached: 'disk',
    middleware: [],
    timings: { ...defaults, lingerMs: 0, ...timings },
    closePorts: async () =>
      allEnded('closing the ports', [registry.close(), messenger.close(), log.close(), settings.close()]),
  };
}
