/** Doorbells between all buses of a directory, and who of them is still there. */
import fs from 'node:fs';
import path from 'node:path';
import type { Clock, Timer } from '../../base/clock';
import { isBusError } from '../../base/errors';
import type { Directory } from '../directory/directory';
import { isCode } from '../directory/directory';
import { frameKinds } from './frames';
import { isAddress, processLives } from '../directory/process-liveness';
import type { Neighbours } from '../store/peer-processes';
import type { Sockets } from './sockets';

export interface Rings extends Neighbours {
  /** Addresses of all other open buses, as far as their sockets are there. */
  others(): readonly string[];
  /** Rings at all others; resolves when each has heard it, is gone, or did not answer within 200 ms. */
  ringAll(topic: string): Promise<void>;
  /** Removes the socket of a dead bus; true for the one caller who did it. */
  bury(address: string): boolean;
}

export interface RingParts {
  readonly directory: Directory;
  readonly sockets: Sockets;
  readonly clock: Clock;
}

/** A stopped process does not answer: nobody waits longer for it. */
const heardWithinMs = 200;
/** A running process makes its socket again within half a second after it was removed. */
const socketMissingMs = 2_000;

interface Call {
  readonly awaited: Set<string>;
  readonly done: () => void;
}

export function openRings({ directory, sockets, clock }: RingParts): Rings {
  const hearers = new Set<(topic: string) => void>();
  const calls = new Map<number, Call>();
  /** Addresses without a socket, and when that was seen first. */
  const missing = new Map<string, number>();
  let callsMade = 0;

  // The line is `<call> <topic>`; call 0 wants no answer.
  sockets.hear(frameKinds.ring, (line, _body, from) => {
    const at = line.indexOf(' ');
    const topic = line.slice(at + 1);
    for (const hear of hearers) hear(topic);
    const call = line.slice(0, at);
    if (call !== '0') answerSoon(from, call);
  });
  sockets.hear(frameKinds.heard, (line, _body, from) => settle(Number(line), from));
  sockets.onGone((address) => {
    for (const id of calls.keys()) settle(id, address);
  });

  // Behind what the hearers themselves put off to the end of this turn: heard means read.
  function answerSoon(to: string, call: string): void {
    setImmediate(() => tryRing(() => sockets.sendOnce(to, frameKinds.heard, call)));
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
      // The folder was removed, and is made again soon, or none can be reached.
      if (isCode(error, 'ENOENT', 'ENOTDIR', 'EACCES')) return [];
      throw error;
    }
  }

  /** Whether a bus without a socket counts as open: its process runs, and can make the socket again. */
  function isMaking(address: string): boolean {
    if (processLives(address) !== true) {
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
      // When it was we who stood still, the answers are there and come in before this turn ends.
      const timer: Timer = clock.after(heardWithinMs, () => setImmediate(done));
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
      return !sockets.dead(address) && (processLives(address) ?? true);
    },
    onRing(hear) {
      hearers.add(hear);
      return () => void hearers.delete(hear);
    },
    bury(address) {
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

/** Rings, unless nobody is there any more or its queue is full: a ring may get lost. */
function tryRing(ring: () => void): boolean {
  try {
    ring();
    return true;
  } catch (error) {
    if (isBusError(error, 'Unreachable', 'Overloaded', 'Closed')) return false;
    throw error;
  }
}
