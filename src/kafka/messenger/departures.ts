/** Tells who vanished from the registry: from what is watched there anyway, and a look at each who left that. */
import { sleep, type Clock } from '../../base/clock';
import { closable, type Closable } from '../../base/lifecycle';
import type { Instance, Registry } from '../../ports/registry';

/** Closing it ends only what it asks by itself. */
export interface Living extends Closable {
  /** The registry, for everybody who watches: what they see is heard here too. */
  readonly registry: Registry;
  /** To be called once, before anything is watched. */
  hear(listener: LivingListener): void;
  /** The addresses of all that are alive; where that cannot be read soon, of those who are seen in what is watched. */
  everybody(): Promise<readonly string[]>;
}
export interface LivingListener {
  /** Somebody is there, perhaps again. */
  up(address: string): void;
  /** They were there, and nothing in the registry tells of them any more. */
  vanished(addresses: readonly string[]): void;
  /** Whether anything was exchanged with it, so that its end must be told whenever it comes. */
  knows(address: string): boolean;
}

const againMs = 1_000;
const listMs = 250;

interface Watch {
  /** Names by address. */
  seen: ReadonlyMap<string, string>;
}

export function watchLiving(registry: Registry, clock: Clock): Living {
  const watches = new Set<Watch>();
  /** Who is in nothing that is watched, and not known to be gone: names by address. */
  const suspects = new Map<string, string>();
  let listener: LivingListener | undefined;
  let checking = false;
  let closed = false;
  let pause = new AbortController();

  const isSeen = (address: string): boolean => [...watches].some(({ seen }) => seen.has(address));
  function note(watch: Watch, instances: readonly Instance[]): void {
    const before = watch.seen;
    watch.seen = new Map(instances.map(({ address, name }) => [address, name]));
    for (const address of watch.seen.keys()) {
      if (before.has(address)) continue;
      suspects.delete(address);
      listener?.up(address);
    }
    for (const [address, name] of before) if (!isSeen(address)) suspect(address, name);
  }
  function suspect(address: string, name: string): void {
    suspects.set(address, name);
    pause.abort();
    if (!checking) void check();
  }
  /**
   * Who no longer serves what we watch may live on: only who is not in the registry has vanished. Its own node says it,
   * one small question for each, at the moment by chance at which the change was read. Goes on with those who live, or
   * could not be asked after, as long as anybody needs to know.
   */
  async function check(): Promise<void> {
    checking = true;
    while (suspects.size > 0 && !closed) {
      pause = new AbortController();
      const asked = [...suspects];
      const found = await Promise.all(asked.map(([address, name]) => isAlive(address, name)));
      if (closed) break;
      const gone = asked.flatMap(([address], at) => (found[at] === false && suspects.has(address) ? [address] : []));
      for (const address of gone) suspects.delete(address);
      for (const [address] of asked) if (!listener?.knows(address)) suspects.delete(address);
      if (gone.length > 0) listener?.vanished(gone);
      if (suspects.size > 0) await sleep(clock, againMs, pause.signal);
    }
    checking = false;
  }
  /** Undefined when that cannot be known now. */
  function isAlive(address: string, name: string): Promise<boolean | undefined> {
    return registry.find(name).then(
      (found) => found?.address === address,
      () => undefined,
    );
  }
  async function watch(contract: string, see: (instances: readonly Instance[]) => void): Promise<Closable> {
    const mine: Watch = { seen: new Map() };
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
  async function everybody(): Promise<readonly string[]> {
    const seen = [...watches].flatMap((one) => [...one.seen.keys()]);
    const enough = new AbortController();
    const listed = registry.all().then(
      (all) => all.map(({ address }) => address),
      () => seen,
    );
    const found = await Promise.race([listed, sleep(clock, listMs, enough.signal).then(() => seen)]);
    enough.abort();
    return found;
  }
  const ending = closable(async () => {
    closed = true;
    pause.abort();
  });
  return {
    hear: (given) => void (listener = given),
    everybody,
    registry: {
      announce: (instance) => registry.announce(instance),
      withdraw: () => registry.withdraw(),
      all: () => registry.all(),
      find: (name) => registry.find(name),
      watch,
      ...closable(async () => {
        await ending.close();
        await registry.close();
      }),
    },
    ...ending,
  };
}
