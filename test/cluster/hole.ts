/** A server that accepts connections and never sends a byte. */
import net from 'node:net';

export interface Hole {
  /** `host:port` */
  readonly place: string;
  /** Number of connections accepted so far. */
  readonly visitors: number;
  close(): Promise<void>;
}

/** Listens on `port`, or on a free one if it is 0. */
export async function openHole(port = 0): Promise<Hole> {
  const sockets = new Set<net.Socket>();
  let visitors = 0;
  const server = net.createServer((socket) => {
    visitors++;
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => sockets.delete(socket));
    socket.resume();
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  const { port: own } = server.address() as net.AddressInfo; // it listens on TCP
  return {
    place: `127.0.0.1:${own}`,
    get visitors() {
      return visitors;
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
