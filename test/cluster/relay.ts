/** A TCP relay that a test opens late: until then, its address refuses connections. */
import net from 'node:net';
import { freePorts } from './ports';

export interface Relay {
  /** `host:port`, fixed before the relay listens. */
  readonly place: string;
  /** Forwards connections to the target from now on. */
  open(): Promise<void>;
  close(): Promise<void>;
}

/** Reserves an address for a relay to `target`, `host:port`. */
export async function closedRelay(target: string): Promise<Relay> {
  const [port = 0] = await freePorts(1);
  const [host = '', targetPort = ''] = target.split(':');
  const sockets = new Set<net.Socket>();
  const keep = (socket: net.Socket): net.Socket => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy()).once('close', () => sockets.delete(socket));
    return socket;
  };
  const server = net.createServer((near) => {
    const far = keep(net.connect(Number(targetPort), host));
    keep(near).pipe(far).pipe(near);
    near.once('close', () => far.destroy());
    far.once('close', () => near.destroy());
  });
  return {
    place: `127.0.0.1:${port}`,
    open: () =>
      new Promise((resolve, reject) => {
        server.once('error', reject);
        server.listen(port, '127.0.0.1', resolve);
      }),
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
