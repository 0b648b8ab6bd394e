/** Merges the listed instances with missing ones, which count as alive for a while after ZooKeeper has recovered. */
import type { Instance } from '../../ports/registry';

/** Instances by the name of their node. */
export type Known = ReadonlyMap<string, Instance>;

/**
 * Returns `listed`, and after it the `missing` instances that no listed one replaces: each name and address occurs
 * once. An instance that announced its leaving is not kept, because it has left.
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

/** Returns whether two lists are equal. The content of a node never changes, so its name is enough to compare. */
export function isSame(a: Known, b: Known): boolean {
  return a.size === b.size && [...a.keys()].every((node) => b.has(node));
}
