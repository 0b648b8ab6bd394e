/** Rings doorbells between all buses of a directory, and determines which of these buses are still running. */
import fs from 'node:fs';
import path from 'node:path';
import type { Clock, Timer } from '../../base/clock';
import { isBusError, isCode } from '../../base/errors';
import type { Directory } from '../directory/directory';
import { frameKinds } from './frames';
import { isAddress, isProcessRunning } from '../directory/process-liveness';
import type { PeerProcesses } from '../store/peer-processes';
import type { Sockets } from './sockets';

export interface Doorbells extends PeerProcesses {
  /** Returns the addresses of all other open buses that have a socket. */
  others(): readonly string[];
  /** Rings at all other buses. Resolves when each has acknowledged, has left, or did not answer within 200 ms. */
  ringAll(topic: string): Promise<void>;
  /** Removes the socket of a dead bus. Returns true only to the caller that removed it. */
  removeDead(address: string): boolean;
}

export interface DoorbellParts {
  readonly directory: Directory;
  readonly sockets: Sockets;
  readonly clock: Clock;
}

/** A stopped process does not answer. Callers wait at most this time for it. */
const acknowledgeMsMax = 200;
/**
 * A running process recreates a removed socket within half a second. One without a socket for this long counts as dead.
 */
const socketMissingMs = 2_000;

interface Call {
  readonly awaited: Set<string>;
  readonly done: () => void;
}

export function openDoorbells({ directory, sockets, clock }: DoorbellParts): Doorbells {
  const listeners = new Set<(topic: string) => void>();
  const calls = new Map<number, Call>();
  /** Addresses without a socket, and the time at which that was first noticed. */
  const missing = new Map<string, number>();
  let callsMade = 0;

  // The line is `<call> <topic>`. Call 0 requests no answer.
  sockets.onFrame(frameKinds.ring, (line, _body, from) => {
    const at = line.indexOf(' ');
    const topic = line.slice(at + 1);
    for (const listener of listeners) listener(topic);
    const call = line.slice(0, at);
    if (call !== '0') acknowledgeLater(from, call);
  });
  sockets.onFrame(frameKinds.acknowledged, (line, _body, from) => settle(Number(line), from));
  sockets.onDeparture((address) => {
    for (const id of calls.keys()) settle(id, address);
  });

  // Acknowledge after the listeners' own end-of-turn work, so that an acknowledgement means the change was read.
  function acknowledgeLater(to: string, call: string): void {
    setImmediate(() => tryRing(() => sockets.sendOnce(to, frameKinds.acknowledged, call)));
  }

  function settle(id: number, from: string): void {
    const call = calls.get(id);
    call?.awaited.delete(from);
    if (call?.awaited.size === 0) call.done();
  }

  function others(): readonly string[] {
    try {
      return fs.readdirSync(directory.sockets).filter((name) => name !== sockets.address && isAddress(name));
    } catch (error) {
      // The folder was removed and is recreated shortly, or cannot be read, so that no bus is reachable.
      if (isCode(error, 'ENOENT', 'ENOTDIR', 'EACCES')) return [];
      throw error;
    }
  }

  /** Returns whether a bus without a socket counts as open: its process is running, and can recreate the socket. */
  function isMaking(address: string): boolean {
    if (isProcessRunning(address) !== true) {
      missing.delete(address);
      return false;
    }
    const sinceMs = missing.get(address) ?? clock.mono();
    missing.set(address, sinceMs);
    return clock.mono() - sinceMs < socketMissingMs;
  }

  function ringAll(topic: string): Promise<void> {
    const id = ++callsMade;
    const awaited = new Set(
      others().filter((to) => tryRing(() => sockets.sendOnce(to, frameKinds.ring, `${id} ${topic}`))),
    );
    if (awaited.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      // If this process itself was stopped, the answers wait in its sockets and are read before this turn ends.
      const timer: Timer = clock.after(acknowledgeMsMax, () => setImmediate(done));
      function done(): void {
        timer.cancel();
        calls.delete(id);
        resolve();
      }
      calls.set(id, { awaited, done });
    });
  }

  return {
    address: sockets.address,
    others,
    ringAll,
    ring(addresses, topic) {
      for (const to of addresses) {
        if (to !== sockets.address) tryRing(() => sockets.sendOnce(to, frameKinds.ring, `0 ${topic}`));
      }
    },
    alive(address) {
      if (sockets.connected(address)) return true;
      if (!fs.existsSync(path.join(directory.sockets, address))) return isMaking(address);
      missing.delete(address);
      return !sockets.dead(address) && (isProcessRunning(address) ?? true);
    },
    onRing(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    removeDead(address) {
      try {
        fs.unlinkSync(path.join(directory.sockets, address));
        return true;
      } catch (error) {
        if (isCode(error, 'ENOENT')) return false;
        throw error;
      }
    },
  };
}

/**
 * Rings, and returns false if the bus has left or its queue is full. A lost ring only delays the receiver until its
 * poll.
 */
function tryRing(ring: () => void): boolean {
  try {
    ring();
    return true;
  } catch (error) {
    if (isBusError(error, 'Unreachable', 'Overloaded', 'Closed')) return false;
    throw error;
  }
}
