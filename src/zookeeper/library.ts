/**
 * The library node-zookeeper-client 1.1.3, used for one connection to one server and nothing else: each connection is a
 * new object of it, so that nothing it does wrong on its second one can happen.
 *
 * What it does wrong, measured: it hangs when a server accepts and never answers, or cuts a frame in two; it does not
 * notice a server that stands still; forgets calls that wait; says who it is after what it has waited to send; throws
 * into the event loop at codes that it does not know. And it knows no TLS: whoever is on the way can read and change
 * everything, the password of a digest user too. Run it in a network that you trust, or through a tunnel.
 */
import { createClient, type Client, type ClientState } from 'node-zookeeper-client';
import { sayError } from '../base/errors';
import { meanings } from './faults';
import { openFrames } from './frames';

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
/** How a connection ended: with its session (`expired`) or perhaps not; `denied` when the server refuses the user. */
export interface End {
  readonly how: 'lost' | 'expired' | 'denied';
  readonly reason: string;
}

export interface LibraryOptions {
  readonly address: Address;
  /** The session to go on with; undefined begins a new one. */
  readonly ticket: Ticket | undefined;
  readonly sessionMs: number;
  /** `user:password`; never in a message. */
  readonly digest: string | undefined;
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
  // A placeholder for the address: the library reads no IPv6 from it.
  const client = createClient('0', { sessionTimeout: sessionMs, spinDelay: 1, retries: 0, ...session });
  const manager = client.connectionManager;
  manager.servers = [address];
  if (ticket) manager.zxid = ticket.zxid;
  if (digest !== undefined) client.addAuthInfo('digest', Buffer.from(digest));

  let over = false;
  let strange: number | undefined;
  function end(how: End['how'], reason: string): void {
    if (over) return;
    over = true;
    process.nextTick(tearDown); // the socket may have to be made first
    events.ended({ how, reason });
  }

  function tearDown(): void {
    if (manager.connectTimeoutHandler) clearTimeout(manager.connectTimeoutHandler);
    manager.socket?.destroy();
  }

  const takeBytes = manager.onSocketData.bind(manager);
  const takeError = manager.onSocketError.bind(manager);
  const takeClose = manager.onSocketClosed.bind(manager);
  let socketError: string | undefined;
  let greeted = false;
  manager.onSocketError = (error) => {
    socketError = sayError(error);
    takeError(error);
  };
  manager.onSocketClosed = (hadError) => {
    takeClose(hadError);
    end('lost', socketError ?? (greeted ? closed : closedEarly));
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
  client.connect();
  manager.connect = () => undefined; // it would connect again by itself
  return {
    client,
    ticket: () => ({ id: client.getSessionId(), password: client.getSessionPassword(), zxid: manager.zxid }),
    strangeCode: () => strange,
    cut: (reason) => end('lost', reason),
  };
}

const closed = 'the server closed the connection';
const closedEarly = `${closed} without a greeting: it starts, or has too many from here (maxClientCnxns)`;

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
