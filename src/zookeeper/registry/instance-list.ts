/** Who is known to be alive while ZooKeeper has just come back and not everybody has announced itself again. */
import type { Instance } from '../../ports/registry';

/** Instances by the name of their node. */
export type Known = ReadonlyMap<string, Instance>;

/**
 * `listed`, and after it those of `missing` that nobody there has replaced: a name or an address is in it once. Who
 * said that it leaves is not kept: it has gone.
 */
export function keep(missing: Known, listed: Known): Known {
  const replaced = new Set([...listed.values()].flatMap(marks));
  const kept = [...missing].filter(
    ([, instance]) => !instance.leaving && !marks(instance).some((mark) => replaced.has(mark)),
  );
  return new Map([...listed, ...kept]);
}
function marks({ name, address }: Instance): string[] {
  return [`name ${name}`, `address ${address}`];
}

/** Whether two readings show the same: a node says the same as long as it is there. */
export function isSame(a: Known, b: Known): boolean {
  return a.size === b.size && [...a.keys()].every((node) => b.has(node));
}
