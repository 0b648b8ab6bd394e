/** Detects instances that left the registry, from existing watches and a lookup of each that is missing there. */
import { sleep, type Clock } from '../../base/clock';
import { closable, type Closable } from '../../base/lifecycle';
import type { Instance, Registry } from '../../ports/registry';

/** Detector of departures. Closing it ends its own lookups, but does not close the registry. */
export interface Departures extends Closable {
  /** Registry for all components that watch instances. The listener receives the changes that they see. */
  readonly registry: Registry;
  /** Sets the listener, in place of an earlier one. Called before anything is watched. */
  watch(listener: DepartureListener): void;
  /**
   * Returns the addresses of all running instances. If the registry does not respond in time, returns those in the
   * current watches.
   */
  allAddresses(): Promise<readonly string[]>;
}
export interface DepartureListener {
  /** Called when an instance appears in a watch, possibly again. */
  up(address: string): void;
  /** Called with the addresses of instances that are no longer in the registry. */
  vanished(addresses: readonly string[]): void;
  /** Returns true if packets were exchanged with the address, so that its departure must be reported at any time. */
  knows(address: string): boolean;
}

/** Interval between lookups of an instance that left the watches, but is still registered or could not be looked up. */
const againMs = 1_000;
/** Maximum wait for the list of all instances, within the 250 ms that the messenger port promises. */
const listMs = 250;

interface Watch {
  /** Names of its instances by address. */
  seen: ReadonlyMap<string, string>;
}

export function watchDepartures(registry: Registry, clock: Clock): Departures {
  const watches = new Set<Watch>();
  /** Instances that are in no watch, but are not known to have left: names by address. */
  const suspects = new Map<string, string>();
  let listener: DepartureListener | undefined;
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
   * Looks up each suspect in the registry. An instance that no longer serves a watched contract can still be running:
   * it has left only when its own node is missing. The lookup is repeated for instances that are registered or could
   * not be looked up, while the listener knows them.
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
  /** Returns undefined if the registry cannot be read now. */
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
    watch: (given) => void (listener = given),
    allAddresses: everybody,
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
