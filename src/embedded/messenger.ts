/** The post over unix sockets: packets to one instance, and to all that are announced of a module. */
import { closable } from '../base/lifecycle';
import type { Post, Receiver } from '../ports/messenger';
import type { Instance } from '../ports/registry';
import { frameKinds } from './sockets/frames';
import type { Sockets } from './sockets/sockets';

export interface PostParts {
  readonly sockets: Sockets;
  /** All announced instances of a module, this one too if it is one. */
  readonly instancesOf: (module: string) => readonly Instance[];
}

/** A {@link Post} over open sockets, which it closes. */
export function openPost({ sockets, instancesOf }: PostParts): Post {
  return {
    address: sockets.address,
    receive(receiver: Receiver) {
      sockets.hear(frameKinds.packet, (line, body, from) => receiver.packet({ line, body }, from));
      sockets.onGone((address, packets) => {
        if (packets) receiver.gone(address);
      });
    },
    send: (to, { line, body }) => sockets.send(to, line, body),
    broadcast: (module, { line, body }) => sockets.broadcast(instancesOf(module), line, body),
    async join() {
      sockets.checkOpen();
      return closable(async () => undefined); // whoever is announced is found in the registry
    },
    ...closable(() => sockets.close()),
  };
}
