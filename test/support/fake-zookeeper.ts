/** Fake ZooKeeper servers: they send the greeting, and then do what a test specifies. */
import net from 'node:net';
import { later } from './zookeeper-sessions';

export interface ServerRequest {
  readonly xid: number;
  /** 1 create, 2 delete, 3 exists, 4 read, 5 write, 12 children, 14 change, 100 user and password, -11 the end */
  readonly type: number;
  /** The path, for request types that have one; '' otherwise. */
  readonly path: string;
}
/** Handles the greeting and the requests of a connection. */
export interface ServerBehavior {
  /** Default: grants the requested session. */
  readonly greet?: (socket: net.Socket, asked: Buffer) => void;
  /** Default: answers every request that busbar sends. */
  readonly answer?: (socket: net.Socket, question: ServerRequest) => void;
}
export interface Fake {
  readonly port: number;
  readonly connect: string;
  readonly connections: () => number;
}

/** Starts a server that is closed after the test. */
export async function startFake(behavior: ServerBehavior = {}): Promise<Fake> {
  let connections = 0;
  const sockets = new Set<net.Socket>();
  const server = net.createServer((socket) => {
    connections++;
    sockets.add(socket);
    socket.on('error', () => undefined).on('close', () => sockets.delete(socket));
    serve(socket, behavior);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  later(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  const address = server.address();
  const port = typeof address === 'object' && address ? address.port : 0;
  return { port, connect: `127.0.0.1:${port}`, connections: () => connections };
}

function serve(socket: net.Socket, { greet = grant, answer = answerEmpty }: ServerBehavior): void {
  let held = Buffer.alloc(0);
  let greeted = false;
  socket.on('data', (bytes) => {
    held = Buffer.concat([held, bytes]);
    for (; held.length >= 4 && held.length >= held.readInt32BE(0) + 4; held = held.subarray(held.readInt32BE(0) + 4)) {
      if (greeted) answer(socket, requestIn(held));
      else greet(socket, held);
      greeted = true;
    }
  });
}

function requestIn(frame: Buffer): ServerRequest {
  const [xid, type] = [frame.readInt32BE(4), frame.readInt32BE(8)];
  const path = type > 0 && type < 14 && type !== 11 ? frame.toString('utf8', 16, 16 + frame.readInt32BE(12)) : '';
  return { xid, type, path };
}

/** Sends the greeting of a new session; a session time-out of 0 means that the old session has expired. */
export function grant(socket: net.Socket, asked: Buffer): void {
  socket.write(greeting(asked.readInt32BE(16)));
}
export function greeting(sessionMs: number, session = 1): Buffer {
  const bytes = Buffer.alloc(40);
  bytes.writeInt32BE(36, 0);
  bytes.writeInt32BE(sessionMs, 8);
  bytes.writeUInt32BE(session, 16);
  bytes.writeInt32BE(16, 20);
  return bytes;
}

/** Answers as if every node existed without data and children, except instances; every write succeeds. */
export function answerEmpty(socket: net.Socket, { xid, type, path }: ServerRequest): void {
  if (type === 4 && path.includes('/instances/')) return void socket.write(reply(xid, -101));
  const empty = Buffer.from([0, 0, 0, 0]);
  const bodies: Record<number, Buffer> = {
    1: empty,
    3: stat,
    4: Buffer.concat([empty, stat]),
    5: stat,
    6: Buffer.concat([empty, stat]),
    12: Buffer.concat([empty, stat]),
    14: Buffer.from([255, 255, 255, 255, 1, 255, 255, 255, 255]),
  };
  socket.write(reply(xid, 0, bodies[type]));
  if (type === -11) socket.end();
}
const stat = Buffer.alloc(68);

export function reply(xid: number, code: number, body: Buffer = Buffer.alloc(0)): Buffer {
  const bytes = Buffer.alloc(20);
  bytes.writeInt32BE(16 + body.length, 0);
  bytes.writeInt32BE(xid, 4);
  bytes.writeInt32BE(code, 16);
  return Buffer.concat([bytes, body]);
}
