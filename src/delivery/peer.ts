/** Returns the peer for the name of an instance. */
import type { Peer } from './context';

/** Result of the last call. Messages of one sender often arrive in a row, so one cached object serves them all. */
let last: Peer = { module: '', instance: '' };

/** Returns the module and the name of an instance: `photos#c41f` is an instance of `photos`. */
export function peerOf(instance: string): Peer {
  if (last.instance === instance) return last;
  const hash = instance.indexOf('#');
  last = Object.freeze({ module: hash < 0 ? instance : instance.slice(0, hash), instance });
  return last;
}
