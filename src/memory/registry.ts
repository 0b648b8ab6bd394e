/**
 * Implements the registry of one simulated process: it announces the process, and watches the instances that serve a
 * contract.
 */
import { BusError } from '../base/errors';
import { closable } from '../base/lifecycle';
import type { Instance, Registry } from '../ports/registry';
import { DeliveryOrder, type Life } from './life';

interface Watcher {
  readonly contract: string;
  readonly life: Life;
  readonly order: DeliveryOrder;
  readonly see: (instances: readonly Instance[]) => void;
  /** Instances that the watcher was last notified of, as JSON. */
  reported: string;
}

/** All running instances. All processes share one list. */
export class MemoryAnnouncements {
  readonly #instances = new Map<Life, Instance>();
  readonly #watchers = new Set<Watcher>();

  announce(life: Life, instance: Instance): void {
    for (const [other, { name }] of this.#instances) {
      if (other === life || name !== instance.name) continue;
      throw new BusError('Conflict', `an instance named ${name} is already running`, { key: name });
    }
    this.#instances.set(life, Object.freeze({ ...instance, serves: Object.freeze({ ...instance.serves }) }));
    this.#changed();
  }

  withdraw(life: Life): void {
    if (this.#instances.delete(life)) this.#changed();
  }

  all(): readonly Instance[] {
    return [...this.#instances.values()];
  }
  members(module: string): readonly Instance[] {
    return this.all().filter((instance) => instance.module === module);
  }
  #serving(contract: string): readonly Instance[] {
    return this.all().filter(({ serves }) => Object.hasOwn(serves, contract));
  }

  /** Resolves when the watcher has received the current instances. */
  watch(watcher: Watcher): Promise<void> {
    this.#watchers.add(watcher);
    return new Promise((seen) => this.#report(watcher, this.#serving(watcher.contract), seen));
  }
  unwatch(watcher: Watcher): void {
    this.#watchers.delete(watcher);
  }

  #changed(): void {
    for (const watcher of this.#watchers) {
      const instances = this.#serving(watcher.contract);
      if (JSON.stringify(instances) !== watcher.reported) this.#report(watcher, instances);
    }
  }

  #report(watcher: Watcher, instances: readonly Instance[], seen?: () => void): void {
    watcher.reported = JSON.stringify(instances);
    watcher.life.notify(watcher.order, () => {
      if (this.#watchers.has(watcher)) watcher.see(instances);
      seen?.();
    });
  }
}

/** Interval after which a process notices that its announcement was removed. */
const lookMs = 500;

export function memoryRegistry(
  roll: MemoryAnnouncements,
  life: Life,
  sessionMs: number,
  keepsAnnouncements: boolean,
): Registry {
  const watchers = new Set<Watcher>();
  const announcements = new DeliveryOrder();
  let mine: Instance | undefined;
  let closedMs: number | undefined;

  const announce = (instance: Instance): Promise<void> =>
    life.call(['registry', 'announce'], () => roll.announce(life, instance), announcements);
  const withdraw = async (): Promise<void> => {
    mine = undefined;
    await life.insist(['registry', 'withdraw'], () => roll.withdraw(life), announcements);
  };
  /** Withdraws the announcement after the session expired, and announces the instance again once it runs. */
  const lost = (): void => {
    roll.withdraw(life);
    life.notify(new DeliveryOrder(), announceAgain);
  };
  const announceAgain = (): void => {
    const again = (): void | Promise<void> => (mine ? roll.announce(life, mine) : undefined);
    void life.insist(['registry', 'announce'], again, announcements);
  };
  life.onRemoval(() => {
    roll.withdraw(life);
    if (keepsAnnouncements) life.clock.after(lookMs, announceAgain);
  });
  const session = life.hold(sessionMs, lost);
  const check = (): void => {
    if (closedMs !== undefined)
      throw new BusError('Closed', 'this registry was closed', {
        outcome: 'not-sent',
        sinceMs: life.clock.now() - closedMs,
      });
  };

  return {
    async announce(instance) {
      check();
      mine = instance;
      await announce(instance);
    },
    async withdraw() {
      check();
      await withdraw();
    },
    async watch(contract, see) {
      check();
      const watcher: Watcher = { contract, life, order: new DeliveryOrder(), see: life.bind(see), reported: '' };
      watchers.add(watcher);
      await life.call(['registry', 'watch', contract], () => roll.watch(watcher));
      return closable(async () => roll.unwatch(watcher));
    },
    async all() {
      check();
      return life.call(['registry', 'all'], () => roll.all());
    },
    async find(name) {
      check();
      return life.call(['registry', 'find', name], () => roll.all().find((instance) => instance.name === name));
    },
    ...closable(async () => {
      closedMs = life.clock.now();
      for (const watcher of watchers) roll.unwatch(watcher);
      await withdraw();
      session.end();
    }),
  };
}
