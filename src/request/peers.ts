/** Tracks the running instances of each module that this instance calls, with the open requests of each. */
import type { Clock } from '../base/clock';
import { BusError } from '../base/errors';
import type { Notices } from '../base/notices';
import { allEnded, deferred, type Closable, type Deferred } from '../base/lifecycle';
import type { Request } from '../contract/types';
import type { Envelope } from '../format/envelope-fields';
import type { Instance, Registry } from '../ports/registry';
import type { Target } from './pick';

/** State that a caller keeps about one address. `Open` is a request without a reply. */
export class PeerTarget<Open extends About> implements Target {
  readonly open = new Set<Open>();
  /**
   * True when the instance has announced that it is leaving, has died, or is no longer listed. It gets no new requests.
   */
  leaving = false;
  silentSinceMs: number | undefined;
  /** Time of the last probe, by the monotonic clock. */
  probedMs = -Infinity;
  /** The request that was sent last. It is kept without its body, because it is kept after the request has ended. */
  last: About | undefined;
  /** Requests that ended here without a reply since the last sign of life. They can still wait at the instance. */
  #givenUp = 0;
  constructor(public instance: Instance) {}

  get load(): number {
    return this.open.size + this.#givenUp;
  }
  sent(call: Open, monoMs: number): void {
    this.open.add(call);
    this.last = { id: call.id, entry: call.entry, stamp: call.stamp };
    this.silentSinceMs ??= monoMs;
  }
  /** Removes a request that has ended here. `isAnswered` is true when a packet of this instance ended it. */
  ended(call: Open, isAnswered: boolean): void {
    if (!this.open.delete(call)) return;
    if (!isAnswered) this.#givenUp++;
    if (this.load === 0) this.silentSinceMs = undefined;
  }
  /** Records a reply of any kind. */
  responded(monoMs: number): void {
    this.#givenUp = 0;
    this.silentSinceMs = this.open.size > 0 ? monoMs : undefined;
  }
  /**
   * Records that nothing can be sent to the instance now, so that other instances are preferred. The failed send counts
   * as a probe, so the next one follows an interval later.
   */
  unreachable(monoMs: number): void {
    this.silentSinceMs = -Infinity;
    this.probedMs = monoMs;
  }
}
/** Fields that identify a request in a packet. */
export interface About {
  readonly id: string;
  readonly entry: Request;
  readonly stamp: Envelope['stamp'];
}

export interface Peers<Open extends About> {
  /** Returns the instances that can be called now. The first call for a module waits for the registry. */
  of(module: string): readonly PeerTarget<Open>[] | Promise<readonly PeerTarget<Open>[]>;
  /**
   * Resolves when an instance that can be called appears, after `waitMs`, or when the function passed to `ended` is
   * called.
   */
  appears(module: string, waitMs: number, ended: (stop: () => void) => void): Promise<void>;
  /** Forgets the target if it has left and no request is open at it. */
  release(target: PeerTarget<Open>): void;
  at(address: string): PeerTarget<Open> | undefined;
  /** Returns the instances that are known without a request to the registry. */
  known(module: string): readonly Instance[];
  close(): Promise<void>;
}

// modules watched at once; a program that calls more builds module names from data, which is a mistake
const modulesMax = 1_000;

export function openPeers<Open extends About>(registry: Registry, clock: Clock, notices: Notices): Peers<Open> {
  const watched = new Map<string, Watched<Open>>();
  const byAddress = new Map<string, PeerTarget<Open>>();

  function see(module: Watched<Open>, instances: readonly Instance[]): void {
    const before = new Set(module.all);
    module.all = instances.map((instance) => {
      const target = byAddress.get(instance.address) ?? new PeerTarget<Open>(instance);
      if (!before.delete(target)) {
        target.leaving = false; // it was wrongly assumed to have left
        target.responded(clock.mono());
        notices.emit({ type: 'instance', instance: instance.name, change: 'up' });
      }
      target.instance = instance;
      byAddress.set(instance.address, target);
      return target;
    });
    for (const target of before) forget(target);
    refresh(module);
    if (module.ready.length > 0) for (const waiter of module.waiters) waiter.resolve();
  }
  /**
   * Marks a target as left. It stays known while a request is open at it, so that replies and its death still reach the
   * caller.
   */
  function forget(target: PeerTarget<Open>): void {
    if (isListed(target)) return; // it serves another module that this instance calls
    notices.emit({ type: 'instance', instance: target.instance.name, change: 'gone' });
    target.leaving = true;
    release(target);
  }
  function isListed(target: PeerTarget<Open>): boolean {
    for (const { all } of watched.values()) if (all.includes(target)) return true;
    return false;
  }
  function release(target: PeerTarget<Open>): void {
    const { address } = target.instance;
    if (target.open.size > 0 || !target.leaving || byAddress.get(address) !== target) return;
    if (!isListed(target)) byAddress.delete(address);
  }
  function watch(name: string): Watched<Open> {
    if (watched.size >= modulesMax) throw tooMany(name);
    const module: Watched<Open> = { all: [], ready: [], waiters: new Set(), watching: undefined, opening: undefined };
    watched.set(name, module);
    module.opening = registry
      .watch(name, (instances) => see(module, instances))
      .then(
        (watching) => {
          module.watching = watching;
          module.opening = undefined;
        },
        (error: unknown) => {
          watched.delete(name); // the next call opens the watch again
          throw error;
        },
      );
    return module;
  }
  return {
    of(name) {
      const module = watched.get(name) ?? watch(name);
      if (module.opening) return module.opening.then(() => refresh(module));
      return module.ready.some((target) => target.leaving) ? refresh(module) : module.ready;
    },
    async appears(name, waitMs, ended) {
      const module = watched.get(name);
      if (!module || waitMs <= 0) return;
      const waiter = deferred<void>();
      module.waiters.add(waiter);
      const timer = clock.after(waitMs, () => waiter.resolve());
      ended(() => waiter.resolve());
      await waiter.promise;
      timer.cancel();
      module.waiters.delete(waiter);
    },
    release,
    at: (address) => byAddress.get(address),
    known: (name) => watched.get(name)?.ready.map(({ instance }) => instance) ?? [],
    async close() {
      await allEnded(
        'closing the watches',
        [...watched.values()].map(async ({ watching }) => watching?.close()),
      );
    },
  };
}

interface Watched<Open extends About> {
  all: readonly PeerTarget<Open>[];
  /** Instances of `all` that are not leaving. */
  ready: readonly PeerTarget<Open>[];
  readonly waiters: Set<Deferred<void>>;
  watching: Closable | undefined;
  opening: Promise<void> | undefined;
}

function refresh<Open extends About>(module: Watched<Open>): readonly PeerTarget<Open>[] {
  module.ready = module.all.filter(({ instance, leaving }) => !leaving && !instance.leaving);
  return module.ready;
}

function tooMany(module: string): BusError<'Config'> {
  const fault = `${module} would be module ${modulesMax + 1} that this instance calls; the limit is ${modulesMax}`;
  const remedy = 'Call a fixed set of modules. Put names that are created at run time into the body.';
  return new BusError('Config', fault, { faults: [fault] }, undefined, remedy);
}
