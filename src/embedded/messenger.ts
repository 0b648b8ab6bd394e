/** Implements the messenger over unix sockets: packets to one instance, and to all announced instances of a module. */
import { closable } from '../base/lifecycle';
import type { Messenger, Receiver } from '../ports/messenger';
import type { Instance } from '../ports/registry';
import { frameKinds } from './sockets/frames';
import type { Sockets } from './sockets/sockets';

export interface MessengerParts {
  readonly sockets: Sockets;
  /** Returns all announced instances of a module, including this one if it belongs to it. */
  readonly instancesOf: (module: string) => readonly Instance[];
}

/** Returns a {@link Messenger} over open sockets. Closing it closes the sockets. */
export function openMessenger({ sockets, instancesOf }: MessengerParts): Messenger {
  return {
    address: sockets.address,
    receive(receiver: Receiver) {
      sockets.onFrame(frameKinds.packet, (line, body, from) => receiver.packet({ line, body }, from));
      sockets.onDeparture((address, packets) => {
        if (packets) receiver.left(address);
      });
    },
    send: (to, { line, body }) => sockets.send(to, line, body),
    broadcast: (module, { line, body }) => sockets.broadcast(instancesOf(module), line, body),
    async join() {
      sockets.checkOpen();
      return closable(async () => undefined); // the registry already finds every announced instance
    },
    ...closable(() => sockets.close()),
  };
}
