/** Frees what a run leaves behind in Node: each AsyncLocalStorage that was used costs every later promise a little. */
import { AsyncLocalStorage } from 'node:async_hooks';

/** Notes the storages used until the function given back is called, which disables them. */
export function holdStorages(): () => void {
  const used = new Set<AsyncLocalStorage<unknown>>();
  const { prototype } = AsyncLocalStorage;
  const run = Object.getOwnPropertyDescriptor(prototype, 'run');
  if (!run) throw new Error('AsyncLocalStorage has no method run to watch');
  // Crashed instances never close, so nobody else could know of theirs.
  const original = run.value as (this: AsyncLocalStorage<unknown>, ...rest: unknown[]) => unknown;
  Object.defineProperty(prototype, 'run', {
    ...run,
    value(this: AsyncLocalStorage<unknown>, ...rest: unknown[]): unknown {
      used.add(this);
      return original.apply(this, rest);
    },
  });
  return () => {
    Object.defineProperty(prototype, 'run', run);
    for (const storage of used) storage.disable();
  };
}
