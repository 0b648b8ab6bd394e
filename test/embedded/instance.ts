/** Returns an announcement with this address. */
import type { Instance } from '../../src/ports/registry';

export function instance(address: string, module: string, change: Partial<Instance> = {}): Instance {
  return {
    name: `${module}#${address.slice(-4)}`,
    module,
    address,
    incarnation: address.slice(-8),
    host: 'here',
    pid: process.pid,
    sinceMs: 0,
    version: '1',
    serves: { [module]: 'f' },
    leaving: false,
    ...change,
  };
}
