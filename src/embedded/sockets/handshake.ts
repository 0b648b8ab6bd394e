/**
 * Writes and checks the hello, the first frame of a connection. It makes sure that both ends use the same namespace and
 * version.
 */
import type { FrameKind } from './frames';
import { frameKinds } from './frames';
import { isAddress } from '../directory/process-liveness';

/** Increase this when frames change their meaning, together with the layout of the directory. */
const version = 'busbar/1';

export function helloLine(ns: string, address: string): string {
  return `${version} ${ns} ${address}`;
}

/** Returns the address in a hello, or the reason why the frame is refused. */
export function readHello(kind: FrameKind, line: string, ns: string): { address: string } | { fault: string } {
  const [theirs, theirNs, address, ...more] = line.split(' ');
  if (kind !== frameKinds.hello || address === undefined || more.length > 0) return { fault: 'no hello' };
  if (theirs !== version) return { fault: 'a hello of another version' };
  if (theirNs !== ns) return { fault: 'a hello of another namespace' };
  return isAddress(address) ? { address } : { fault: 'a hello with an invalid address' };
}
