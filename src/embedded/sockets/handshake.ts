/** The first frame of a connection: who connects, and that both ends speak of the same namespace in the same way. */
import type { FrameKind } from './frames';
import { frameKinds } from './frames';
import { isAddress } from '../directory/process-liveness';

/** Rises when frames change their meaning; the directory's layout rises with it. */
const version = 'busbar/1';

export function helloLine(ns: string, address: string): string {
  return `${version} ${ns} ${address}`;
}

/** Who says hello, or the reason why the frame is refused. */
export function readHello(kind: FrameKind, line: string, ns: string): { address: string } | { fault: string } {
  const [theirs, theirNs, address, ...more] = line.split(' ');
  if (kind !== frameKinds.hello || address === undefined || more.length > 0) return { fault: 'no hello' };
  if (theirs !== version) return { fault: 'a hello of another version' };
  if (theirNs !== ns) return { fault: 'a hello of another namespace' };
  return isAddress(address) ? { address } : { fault: 'a hello from nobody' };
}
