/** An instance by its name alone. */
import type { Peer } from './context';

/** `photos#c41f` is an instance of `photos`. */
export function peerOf(instance: string): Peer {
  const hash = instance.indexOf('#');
  return { module: hash < 0 ? instance : instance.slice(0, hash), instance };
}
