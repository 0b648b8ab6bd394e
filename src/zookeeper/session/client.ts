/**
 * Wraps the library node-zookeeper-client 1.1.3, for one connection to one server. Each connection uses a new client
 * object, because a client misbehaves after its first connection.
 *
 * Measured defects of the library:
 * - It hangs when a server accepts a connection and never responds, or splits a frame.
 * - It does not detect a server that is suspended, and drops pending calls.
 * - It sends its credentials after requests that were queued before.
 * - It throws into the event loop on a code that it does not know.
 * - It does not support TLS, so this file creates the socket.
 */
import net from 'node:net';
import tls from 'node:tls';
import { createClient, type Client, type ClientState, type ConnectionManager } from 'node-zookeeper-client';
import { errorMessage } from '../../base/errors';
import { meanings } from './errors';
import { openFrames } from './frames';
import { tlsFailureOf, type TlsFailure, type TlsFiles } from './tls';

/** Address of a server. */
export interface Address {
  readonly host: string;
  readonly port: number;
}
/** Credentials of a session, with which another server continues it. */
export interface Ticket {
  readonly id: Buffer;
  readonly password: Buffer;
  /** Last transaction that the session has seen. A server that is behind it refuses the connection. */
  readonly zxid: Buffer;
}
/**
 * End of a connection. `lost`: the session can continue on another connection. `expired`: the session has ended.
 * `denied`: the server refuses the user. `config`: only a change of certificates or options can repair it.
 */
export interface End {
  readonly how: 'lost' | 'expired' | 'denied' | 'config';
  readonly reason: string;
}

/** Options of {@link openClient}. */
export interface LibraryOptions {
  readonly address: Address;
  /** Session to continue. Undefined starts a new one. */
  readonly ticket: Ticket | undefined;
  readonly sessionMs: number;
  /** User and password as `user:password`. They must not appear in a message. */
  readonly digest: string | undefined;
  /** TLS files, or undefined for a connection without TLS. */
  readonly tls: TlsFiles | undefined;
}
/** Events of a connection. */
export interface Events {
  greeted(): void;
  /** Is called once. */
  ended(end: End): void;
}
/** A client of the library, with its defects contained. */
export interface GuardedClient {
  readonly client: Client;
  ticket(): Ticket;
  /**
   * Returns the real code of the response that is being processed, if the library received another one in its place.
   */
  strangeCode(): number | undefined;
  /** Ends the connection, not the session. */
  cut(reason: string): void;
}

/** Starts to connect. */
export function openClient(options: LibraryOptions, events: Events): GuardedClient {
  const { address, ticket, sessionMs, digest } = options;
  const session = ticket && { sessionId: ticket.id, sessionPassword: ticket.password };
  // A placeholder for the address: `begin` creates the socket.
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
    socketError = tlsFailureOf(error) ?? { untrusted: false, reason: errorMessage(error) };
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
      end('lost', `its response cannot be decoded: ${errorMessage(error)}`);
    } finally {
      strange = undefined;
    }
  };
  client.on('state', (state: ClientState) => {
    const name = state.getName();
    if (name === 'SYNC_CONNECTED') events.greeted();
    else if (name === 'EXPIRED') end('expired', 'the session has expired');
    else if (name === 'AUTH_FAILED') end('denied', 'the server rejects the user and password');
  });
  manager.connect = () => undefined; // the library would reconnect by itself
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
  `${closed} before the session began: it is starting, has too many connections from this host (maxClientCnxns), ` +
  'or its port requires TLS (zookeeperTls)';

/** Connects like the library, but with a socket that can use TLS. */
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
/** State of a connection in the library, while it waits for the server's greeting. */
const connecting = 1;

/**
 * Replaces an unknown code in a response by 'system error', because the library would throw. Returns the real code, or
 * undefined if nothing was replaced.
 */
function disguise(frame: Buffer): number | undefined {
  if (frame.length < errorAt + 4 || frame.readInt32BE(xidAt) < 0) return undefined;
  const code = frame.readInt32BE(errorAt);
  if (code === 0 || (code in meanings && code > unknownFrom)) return undefined;
  frame.writeInt32BE(systemError, errorAt);
  return code;
}
const [xidAt, errorAt] = [4, 16];
const systemError = -1;
/** Highest unknown code: the library knows neither this one nor a lower one. */
const unknownFrom = -118;
