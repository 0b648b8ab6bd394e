/** Lets one AsyncLocalStorage stand in for those of all buses of a run: Node keeps each that was ever used, at a cost. */
import { AsyncLocalStorage } from 'node:async_hooks';

/** What one storage holds in a part of the program, around what others hold there. */
interface Layer {
  readonly storage: object;
  readonly value: unknown;
  readonly outer: Layer | undefined;
}

/**
 * Until the function given back is called, `run` and `getStore` of every storage go through one that is shared. Each
 * still sees only its own values. Instances that crash never close, so nothing else could free what they used.
 */
export function shareStorage(): () => void {
  const { prototype } = AsyncLocalStorage;
  const before = Object.getOwnPropertyDescriptors(prototype);
  const shared = new AsyncLocalStorage<Layer>();
  // The originals, bound: what is called below is patched.
  const run = prototype.run.bind(shared) as (layer: Layer, inside: () => unknown) => unknown;
  const read = prototype.getStore.bind(shared) as () => Layer | undefined;
  prototype.run = function (this: object, value: unknown, inside: (...args: never[]) => unknown, ...args: never[]) {
    return run({ storage: this, value, outer: read() }, () => inside(...args));
  } as typeof prototype.run;
  prototype.getStore = function (this: object): unknown {
    let layer = read();
    while (layer && layer.storage !== this) layer = layer.outer;
    return layer?.value;
  };
  return () => {
    Object.defineProperties(prototype, { run: before.run, getStore: before.getStore });
    shared.disable();
  };
}
