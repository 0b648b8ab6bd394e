/** Serves an instance of a module's class: its handlers, and the listeners that the class declares. */
import { closable, teardown, type Step } from '../base/lifecycle';
import type { Bus, Handlers, Served } from '../index';
import { startListeners } from './listen';
import { knownModule, type AnyClass } from './module';

/**
 * Serves an instance of a class with `@SystemModule`, with the options of the decorator, and starts its listeners (see
 * {@link Listen}). Resolves when other instances can reach it and all of it listens. Does not call `open()` of the
 * instance. `runModule` does this for a process; tests do it on a bus of theirs.
 *
 * @example
 * ```ts
 * const bus = testBus(search);
 * await serveModule(bus, new Search(new SearchIndex()));
 * ```
 */
export async function serveModule(bus: Bus, instance: object): Promise<Served> {
  const { contract, options } = knownModule(instance.constructor as AnyClass); // what made the instance
  const listeners = startListeners(bus, instance);
  const steps: Step[] = [['listeners', () => listeners.close()]];
  const letGo = teardown('a module', steps);
  try {
    // The decorator has checked that the class has the handlers.
    const served = await bus.serve(contract, instance as Handlers<typeof contract>, options);
    steps.push(['handlers', () => served.close()]);
    listeners.serves();
    await listeners.listening;
    return closable(letGo);
  } catch (error) {
    await letGo().catch(() => undefined); // the caller must see why it could not be served
    throw error;
  }
}
