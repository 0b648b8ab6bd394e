/** Implements the settings of one simulated process: versioned values that all processes of the world share. */
import { BusError } from '../base/errors';
import { closable } from '../base/lifecycle';
import type { Setting, Settings } from '../ports/settings';
import { DeliveryOrder, type Life } from './life';

interface Watcher {
  readonly life: Life;
  readonly order: DeliveryOrder;
  readonly see: (settings: readonly Setting[]) => void;
}

/** The values. All processes share one instance. */
export class Values {
  readonly #settings = new Map<string, Setting>();
  readonly #watchers = new Set<Watcher>();

  get(key: string): Setting | undefined {
    return this.#settings.get(key);
  }
  all(): readonly Setting[] {
    return [...this.#settings.values()];
  }

  set(key: string, value: string | null, was: number): number {
    const found = this.#settings.get(key)?.version ?? 0;
    if (found !== was) {
      const message = `setting ${key} has version ${found}, not ${was}: another process changed it`;
      throw new BusError('Conflict', message, { key, expected: was, found });
    }
    const version = value === null ? 0 : found + 1;
    if (value === null) this.#settings.delete(key);
    else this.#settings.set(key, Object.freeze({ key, value, version }));
    for (const watcher of this.#watchers) this.#report(watcher);
    return version;
  }

  /** Resolves when the watcher has received the current settings. */
  watch(watcher: Watcher): Promise<void> {
    this.#watchers.add(watcher);
    return new Promise((seen) => this.#report(watcher, seen));
  }
  unwatch(watcher: Watcher): void {
    this.#watchers.delete(watcher);
  }
  #report(watcher: Watcher, seen?: () => void): void {
    const settings = this.all();
    watcher.life.notify(watcher.order, () => {
      if (this.#watchers.has(watcher)) watcher.see(settings);
      seen?.();
    });
  }
}

export function memorySettings(values: Values, life: Life): Settings {
  const watchers = new Set<Watcher>();
  let closedMs: number | undefined;

  const call = async <T>(name: string, key: string, effect: () => T | Promise<T>): Promise<T> => {
    if (closedMs !== undefined)
      throw new BusError('Closed', 'these settings were closed', {
        outcome: 'not-sent',
        sinceMs: life.clock.now() - closedMs,
      });
    return life.call(['settings', name, key], effect);
  };
  return {
    get: (key) => call('get', key, () => values.get(key)),
    all: () => call('all', '', () => values.all()),
    set: (key, value, was) => call('set', key, () => values.set(key, value, was)),
    async watch(see) {
      const watcher: Watcher = { life, order: new DeliveryOrder(), see: life.bind(see) };
      await call('watch', '', () => values.watch(watcher));
      watchers.add(watcher);
      return closable(async () => values.unwatch(watcher));
    },
    ...closable(async () => {
      closedMs = life.clock.now();
      for (const watcher of watchers) values.unwatch(watcher);
    }),
  };
}
