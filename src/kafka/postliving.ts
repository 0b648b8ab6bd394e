/** Tells who vanished from the registry: from what is watched there anyway, so that nothing more is asked of it. */
import { sleep, type Clock } from '../base/clock';
import { closable, type Closable } from '../base/lifecycle';
import type { Instance, Registry } from '../ports/registry';

export interface Living {
  /** The registry, for everybody who watches: what they see is heard here too. */
  readonly registry: Registry;
  /** To be called once, before anything is watched. */
  hear(listener: LivingListener): void;
}
export interface LivingListener {
  /** Somebody is there, perhaps again. */
  up(address: string): void;
  /** They were there, and nothing in the registry tells of them any more. */
  vanished(addresses: readonly string[]): void;
}

const againMs = 500;
/** A minute: whoever asked somebody who vanished has given up by then. */
const triesMax = 120;

export function watchLiving(registry: Registry, clock: Clock): Living {
  const watches = new Set<{ seen: ReadonlySet<string> }>();
  const suspects = new Set<string>();
  const closed = new AbortController();
  let listener: LivingListener | undefined;
  let checking = false;

  const isSeen = (address: string): boolean => [...watches].some(({ seen }) => seen.has(address));
  function note(watch: { seen: ReadonlySet<string> }, instances: readonly Instance[]): void {
    const before = watch.seen;
    watch.seen = new Set(instances.map(({ address }) => address));
    for (const address of watch.seen) if (!before.has(address)) listener?.up(address);
    for (const address of before) if (!isSeen(address)) suspects.add(address);
    if (suspects.size > 0 && !checking) void check();
  }
  /** Who no longer serves what we watch may live on: only who is nowhere in the registry has vanished. */
  async function check(): Promise<void> {
    checking = true;
    for (let tries = 0; suspects.size > 0 && tries < triesMax && !closed.signal.aborted; tries++) {
      const asked = [...suspects];
      const all = await registry.all().catch(() => undefined);
      if (closed.signal.aborted) break;
      if (!all) {
        await sleep(clock, againMs, closed.signal);
        continue;
      }
      const alive = new Set(all.map(({ address }) => address));
      for (const address of asked) suspects.delete(address);
      const gone = asked.filter((address) => !alive.has(address) && !isSeen(address));
      if (gone.length > 0) listener?.vanished(gone);
    }
    suspects.clear();
    checking = false;
  }
  async function watch(contract: string, see: (instances: readonly Instance[]) => void): Promise<Closable> {
    const mine = { seen: new Set<string>() as ReadonlySet<string> };
    watches.add(mine);
    try {
      const watching = await registry.watch(contract, (instances) => {
        if (watches.has(mine)) note(mine, instances);
        see(instances);
      });
      return closable(async () => {
        watches.delete(mine);
        await watching.close();
      });
    } catch (error) {
      watches.delete(mine);
      throw error;
    }
  }
  return {
    hear: (given) => void (listener = given),
    registry: {
      announce: (instance) => registry.announce(instance),
      withdraw: () => registry.withdraw(),
      all: () => registry.all(),
      watch,
      ...closable(async () => {
        closed.abort();
        await registry.close();
      }),
    },
  };
}
