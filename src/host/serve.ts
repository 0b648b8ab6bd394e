/** Serves an instance of a module's class: its handlers, and the listeners that the class declares. */
import { closable, teardown, type Step } from '../base/lifecycle';
import type { Bus, Handlers, Served } from '../index';
import { startListeners } from './listen';
import { knownModule, type AnyClass } from './module';

/**
 * Serves an instance of a class with `@SystemModule`, with the options of the decorator, and starts its listeners (see
 * {@link Listen}). Resolves when other instances can reach it and all its listeners are ready. It does not call
 * `open()` of the instance. `runModule` uses it for a process; tests use it on their own bus.
 *
 * Rejects with Config for a class without `@SystemModule`, and with the errors of `bus.serve` and `bus.listen`. Nothing
 * of it is served then.
 *
 * @example
 * ```ts
 * import { serveModule } from 'busbar/host';
 * import { testBus } from 'busbar/testing';
 *
 * const bus = testBus(search);
 * await serveModule(bus, new Search(new SearchIndex()));
 * ```
 */
export async function serveModule(bus: Bus, instance: object): Promise<Served> {
  const { contract, options } = knownModule(instance.constructor as AnyClass); // the class of the instance
  const listeners = startListeners(bus, instance);
  const steps: Step[] = [['listeners', () => listeners.close()]];
  const letGo = teardown('a module', steps);
  try {
    // The cast is safe: the decorator's type checks that the class has the handlers.
    const served = await bus.serve(contract, instance as Handlers<typeof contract>, options);
    steps.push(['handlers', () => served.close()]);
    listeners.serves();
    await listeners.listening;
    return closable(letGo);
  } catch (error) {
    await letGo().catch(() => undefined); // the caller must receive the first error, not one of the cleanup
    throw error;
  }
}
