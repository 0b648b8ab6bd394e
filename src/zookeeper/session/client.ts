/**
 * The library node-zookeeper-client 1.1.3, used for one connection to one server and nothing else: each connection is a
 * new object of it, so that nothing it does wrong on its second one can happen.
 *
 * What it does wrong, measured: it hangs when a server accepts and never answers, or cuts a frame in two; it does not
 * notice a server that stands still; forgets calls that wait; says who it is after what it has waited to send; throws
 * into the event loop at codes that it does not know. And it knows no TLS, so the socket is made here.
 */
import net from 'node:net';
import tls from 'node:tls';
import { createClient, type Client, type ClientState, type ConnectionManager } from 'node-zookeeper-client';
import { sayError } from '../../base/errors';
import { meanings } from './errors';
import { openFrames } from './frames';
import { tlsFailureOf, type TlsFailure, type TlsFiles } from './tls';

export interface Address {
  readonly host: string;
  readonly port: number;
}
/** What proves to another server that a session is ours. */
export interface Ticket {
  readonly id: Buffer;
  readonly password: Buffer;
  /** The last that the session has seen: a server that is behind it turns us away. */
  readonly zxid: Buffer;
}
/**
 * How a connection ended: with its session (`expired`) or perhaps not; `denied` when the server refuses the user,
 * `config` when only a change of certificates or options can repair it.
 */
export interface End {
  readonly how: 'lost' | 'expired' | 'denied' | 'config';
  readonly reason: string;
}

export interface LibraryOptions {
  readonly address: Address;
  /** The session to go on with; undefined begins a new one. */
  readonly ticket: Ticket | undefined;
  readonly sessionMs: number;
  /** `user:password`; never in a message. */
  readonly digest: string | undefined;
  /** Undefined for a connection without TLS. */
  readonly tls: TlsFiles | undefined;
}
export interface Events {
  greeted(): void;
  /** Called once. */
  ended(end: End): void;
}
export interface GuardedClient {
  readonly client: Client;
  ticket(): Ticket;
  /** The code of the answer that is being handed over, where the library had to be given another one. */
  strangeCode(): number | undefined;
  /** Ends the connection, not the session. */
  cut(reason: string): void;
}

/** Begins to connect. */
export function openClient(options: LibraryOptions, events: Events): GuardedClient {
  const { address, ticket, sessionMs, digest } = options;
  const session = ticket && { sessionId: ticket.id, sessionPassword: ticket.password };
  // A placeholder for the address: the socket is made here.
  const client = createClient('0', { sessionTimeout: sessionMs, spinDelay: 1, retries: 0, ...session });
  const manager = client.connectionManager;
  if (ticket) manager.zxid = ticket.zxid;
  if (digest !== undefined) client.addAuthInfo('digest', Buffer.from(digest));

  let over = false;
  let strange: number | undefined;
  function end(how: End['how'], reason: string): void {
    if (over) return;
    over = true;
    manager.socket?.destroy();
    events.ended({ how, reason });
  }

  const takeBytes = manager.onSocketData.bind(manager);
  const takeClose = manager.onSocketClosed.bind(manager);
  let socketError: TlsFailure | undefined;
  let greeted = false;
  manager.onSocketError = (error) => {
    socketError = tlsFailureOf(error) ?? { untrusted: false, reason: sayError(error) };
  };
  manager.onSocketClosed = (hadError) => {
    takeClose(hadError);
    const { untrusted, reason } = socketError ?? { untrusted: false, reason: greeted ? closed : closedEarly };
    end(untrusted ? 'config' : 'lost', reason);
  };
  const frames = openFrames();
  manager.onSocketData = (bytes) => {
    if (over) return;
    try {
      for (const frame of frames.push(bytes)) {
        if (greeted) strange = disguise(frame);
        greeted = true;
        takeBytes(frame);
      }
    } catch (error) {
      end('lost', `cannot be understood: ${sayError(error)}`);
    } finally {
      strange = undefined;
    }
  };
  client.on('state', (state: ClientState) => {
    const name = state.getName();
    if (name === 'SYNC_CONNECTED') events.greeted();
    else if (name === 'EXPIRED') end('expired', 'the session has expired');
    else if (name === 'AUTH_FAILED') end('denied', 'the server refuses user and password');
  });
  manager.connect = () => undefined; // it would connect again by itself
  begin(manager, address, options.tls);
  return {
    client,
    ticket: () => ({ id: client.getSessionId(), password: client.getSessionPassword(), zxid: manager.zxid }),
    strangeCode: () => strange,
    cut: (reason) => end('lost', reason),
  };
}

const closed = 'the server closed the connection';
const closedEarly =
  `${closed} without a greeting: it starts, has too many from here (maxClientCnxns), ` +
  'or its port expects TLS (see zookeeperTls)';

/** Does what the library does to connect, with a socket that can be one of TLS. */
function begin(manager: ConnectionManager, { host, port }: Address, files: TlsFiles | undefined): void {
  manager.setState(connecting);
  const connected = (): void => manager.onSocketConnected();
  const named = net.isIP(host) === 0 ? { servername: host } : {};
  const socket = files
    ? tls.connect({ host, port, ...named, ...files }, connected)
    : net.connect({ host, port }, connected);
  manager.socket = socket;
  socket.setNoDelay(true);
  socket.on('data', (bytes) => manager.onSocketData(bytes));
  socket.on('drain', () => manager.onSocketDrain());
  socket.on('close', (hadError) => manager.onSocketClosed(hadError));
  socket.on('error', (error) => manager.onSocketError(error));
}
/** The library's state of a connection that waits for the greeting. */
const connecting = 1;

/** The library throws at an answer with a code that it does not know: it gets 'system error' for it. */
function disguise(frame: Buffer): number | undefined {
  if (frame.length < errorAt + 4 || frame.readInt32BE(xidAt) < 0) return undefined;
  const code = frame.readInt32BE(errorAt);
  if (code === 0 || (code in meanings && code > unknownFrom)) return undefined;
  frame.writeInt32BE(systemError, errorAt);
  return code;
}
const [xidAt, errorAt] = [4, 16];
const systemError = -1;
/** Of the codes below, -118 and after, the library knows none. */
const unknownFrom = -118;
