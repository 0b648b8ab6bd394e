/** Shares one AsyncLocalStorage among all buses of a run, because Node keeps each used one, at a cost. */
import { AsyncLocalStorage } from 'node:async_hooks';

/** The value of one storage in an async context, and the values around it. */
interface Layer {
  readonly storage: object;
  readonly value: unknown;
  readonly outer: Layer | undefined;
}

/**
 * Routes `run` and `getStore` of every storage through a shared one until the returned function is called. Each storage
 * still sees only its own values. Crashed instances never close, so their storages could not be freed otherwise.
 */
export function shareStorage(): () => void {
  const { prototype } = AsyncLocalStorage;
  const before = Object.getOwnPropertyDescriptors(prototype);
  const shared = new AsyncLocalStorage<Layer>();
  // The original methods, bound, since the methods called below are patched.
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
