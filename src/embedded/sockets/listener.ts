/**
 * Accepts connections for one bus. It passes them on after their hello, and limits the number of those without a hello.
 */
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import type { Capacity } from '../../base/bounded';
import type { Clock, Timer } from '../../base/clock';
import { errorMessage } from '../../base/errors';
import { Connection } from './connection';
import type { ConnectionEnd } from './connection';
import type { Directory } from '../directory/directory';
import { refuse } from '../directory/directory';
import { readHello } from './handshake';

export interface ListenerParts {
  readonly directory: Directory;
  readonly address: string;
  readonly clock: Clock;
  /** Bytes and frames that all connections of the bus hold together. */
  readonly capacity: Capacity;
  /** Called after a hello. The returned end owns the connection from then on. */
  readonly welcome: (connection: Connection, address: string) => ConnectionEnd;
  readonly dropped: (reason: string) => void;
}

/**
 * A process whose event loop is blocked sends its hello late. If this limit is too short, the connection closes and
 * loses all its data.
 */
const helloWithinMs = 10_000;
/** Connections without a hello. A hello is sent with the connection, so only a malicious process reaches this limit. */
const unidentifiedMax = 256;
const connectionsMax = 2_048;

export class Listener {
  private server: net.Server;
  private readonly unidentified = new Map<Connection, Timer>();
  /** Identity of the socket that was made last. */
  private identity: string | undefined;
  private making: Promise<void> | undefined;
  private closed = false;

  constructor(private readonly parts: ListenerParts) {
    this.server = this.newServer();
  }

  private newServer(): net.Server {
    const server = net.createServer((socket) => this.accept(socket));
    server.maxConnections = connectionsMax;
    server.on('drop', () => this.parts.dropped(`more than ${connectionsMax} connections`));
    return server;
  }

  /**
   * Creates the socket, mode 0600. Other processes can connect when this resolves. Rejects with Config if it cannot be
   * made.
   */
  async listen(): Promise<void> {
    // The socket gets its name only once it listens. A named socket that refuses belongs to a dead process, and any
    // process can remove it.
    const draft = path.join(this.parts.directory.sockets, `~${this.parts.address}`);
    const { server } = this;
    try {
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        server.listen({ path: draft, exclusive: true }, resolve);
      });
      fs.chmodSync(draft, 0o600);
      if (this.closed) return void server.close();
      fs.renameSync(draft, this.path);
      this.identity = socketIdentity(this.path);
    } catch (error) {
      server.close();
      refuse(
        this.parts.directory.use,
        `the socket ${draft} cannot be created: ${errorMessage(error)}`,
        'check the permissions of its folder and the free disk space',
      );
    }
    server.on('error', (error) => this.parts.dropped(error.message));
  }

  /**
   * Recreates the socket if its file was removed or replaced, and resolves to whether it did. Existing connections
   * stay. Rejects with Config if it cannot be made.
   */
  async keep(): Promise<boolean> {
    if (this.closed || this.making !== undefined || socketIdentity(this.path) === this.identity) return false;
    // Close the old server before the new one listens. When a server is closed, Node removes the file that it was
    // created with.
    this.server.close();
    this.server = this.newServer();
    this.making = this.listen().finally(() => (this.making = undefined));
    await this.making;
    return !this.closed;
  }

  close(): void {
    this.closed = true;
    try {
      fs.rmSync(this.path, { force: true });
    } catch (error) {
      // The socket refuses connections from now on, which shows other processes the same.
      this.parts.dropped(`${this.path} cannot be removed: ${errorMessage(error)}`);
    }
    this.server.close();
    for (const socket of this.unidentified.keys()) socket.destroy();
  }

  private get path(): string {
    return path.join(this.parts.directory.sockets, this.parts.address);
  }

  private accept(socket: net.Socket): void {
    let holder: ConnectionEnd | undefined;
    const end: ConnectionEnd = {
      take: (kind, line, body) => {
        if (holder !== undefined) return holder.take(kind, line, body);
        const hello = readHello(kind, line, this.parts.directory.ns);
        if ('fault' in hello) return hello.fault;
        if (hello.address === this.parts.address) return 'a hello with the address of this instance';
        this.forget(connection);
        connection.peer = hello.address;
        holder = this.parts.welcome(connection, hello.address);
        return undefined;
      },
      ended: (fault, cause) => {
        this.forget(connection);
        if (holder !== undefined) holder.ended(fault, cause);
        else if (fault !== undefined) this.parts.dropped(`${fault}, from an unknown process`);
      },
    };
    const connection = new Connection(socket, end, this.parts.capacity);
    this.unidentified.set(
      connection,
      this.parts.clock.after(helloWithinMs, () => connection.destroy(`no hello within ${helloWithinMs} ms`)),
    );
    if (this.unidentified.size > unidentifiedMax) this.destroyOldest();
  }
  private forget(connection: Connection): void {
    this.unidentified.get(connection)?.cancel();
    this.unidentified.delete(connection);
  }
  private destroyOldest(): void {
    for (const oldest of this.unidentified.keys())
      return oldest.destroy(`more than ${unidentifiedMax} connections without a hello`);
  }
}

/**
 * Returns a value that changes when the file is recreated, or its owner can no longer connect to it. Returns undefined
 * if there is no file.
 */
export function socketIdentity(file: string): string | undefined {
  const found = fs.statSync(file, { throwIfNoEntry: false });
  return found && `${found.dev} ${found.ino} ${found.mode & 0o600}`;
}
