/** The post over unix sockets: packets to one instance, and to all that are announced of a module. */
import { isBusError, sayError } from '../base/errors';
import { closable } from '../base/lifecycle';
import type { Notices } from '../base/notices';
import type { Packet, Post, Receiver } from '../ports/post';
import type { Instance } from '../ports/registry';
import { frameKinds } from './frames';
import type { Sockets } from './sockets';

export interface PostParts {
  readonly sockets: Sockets;
  /** All announced instances of a module, this one too if it is one. */
  readonly instancesOf: (module: string) => readonly Instance[];
  readonly notices: Notices;
}

/** A {@link Post} over open sockets, which it closes. */
export function openPost({ sockets, instancesOf, notices }: PostParts): Post {
  const send = (to: string, packet: Packet): void => sockets.send(to, packet.line, packet.body);

  /** Whether it was handed over. Who is dead needs nothing; who is slow loses it, and that is told. */
  function sendIfPossible(to: Instance, packet: Packet): boolean {
    try {
      send(to.address, packet);
      return true;
    } catch (error) {
      if (isBusError(error, 'Unreachable')) return false;
      if (!isBusError(error, 'Overloaded')) throw error;
      notices.tell({ type: 'dropped', what: 'broadcast', reason: `to ${to.name}: ${sayError(error)}` });
      return false;
    }
  }

  return {
    address: sockets.address,
    receive(receiver: Receiver) {
      sockets.hear(frameKinds.packet, (line, body, from) => receiver.packet({ line, body }, from));
      sockets.onGone((address, packets) => {
        if (packets) receiver.gone(address);
      });
    },
    send,
    async broadcast(module, packet) {
      sockets.checkOpen();
      return instancesOf(module).filter((instance) => sendIfPossible(instance, packet)).length;
    },
    async join() {
      sockets.checkOpen();
      return closable(async () => undefined); // whoever is announced is found in the registry
    },
    ...closable(() => sockets.close()),
  };
}
