/** Announced instances, for tests that only route by them. */
import type { Instance } from '../../src/ports/registry';

export function instanceOf(name: string, change: Partial<Instance> = {}): Instance {
  return {
    name,
    module: 'maths',
    address: `at ${name}`,
    incarnation: name,
    host: 'here',
    pid: 1,
    sinceMs: 0,
    version: '1',
    serves: { maths: 'f' },
    leaving: false,
    ...change,
  };
}
