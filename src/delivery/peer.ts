/** An instance by its name alone. */
import type { Peer } from './context';

/** The one asked for last: messages of one sender come one after the other. */
let last: Peer = { module: '', instance: '' };

/** `photos#c41f` is an instance of `photos`. */
export function peerOf(instance: string): Peer {
  if (last.instance === instance) return last;
  const hash = instance.indexOf('#');
  last = Object.freeze({ module: hash < 0 ? instance : instance.slice(0, hash), instance });
  return last;
}
