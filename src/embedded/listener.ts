/** Where others connect to one bus: hands connections on once they have said hello, and bounds those that have not. */
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import type { Capacity } from '../base/bounded';
import type { Clock, Timer } from '../base/clock';
import { sayError } from '../base/errors';
import { Connection } from './connection';
import type { ConnectionEnd } from './connection';
import type { Directory } from './directory';
import { refuse } from './directory';
import { readHello } from './hello';

export interface ListenerParts {
  readonly directory: Directory;
  readonly address: string;
  readonly clock: Clock;
  /** What all connections of the bus hold together. */
  readonly capacity: Capacity;
  /** Somebody has said hello. What is given back holds the connection from now on. */
  readonly welcome: (connection: Connection, address: string) => ConnectionEnd;
  readonly dropped: (reason: string) => void;
}

/** A process whose event loop stands still sends its hello late, and loses all that it sends when this is too short. */
const helloWithinMs = 10_000;
/** Without a hello; a hello comes with the connection, so only a hostile process gets here. */
const strangersMax = 256;
const connectionsMax = 2_048;

export class Listener {
  private readonly server = net.createServer((socket) => this.accept(socket));
  private readonly strangers = new Map<Connection, Timer>();

  constructor(private readonly parts: ListenerParts) {
    this.server.maxConnections = connectionsMax;
    this.server.on('drop', () => parts.dropped(`more than ${connectionsMax} connections`));
  }

  /** Others can reach the socket, mode 0600, when this resolves; Config when none can be made. */
  async listen(): Promise<void> {
    // It gets its name when it listens: a socket that is there and refuses is a dead one, and anybody may remove it.
    const draft = path.join(this.parts.directory.sockets, `~${this.parts.address}`);
    try {
      await new Promise<void>((resolve, reject) => {
        this.server.once('error', reject);
        this.server.listen({ path: draft, exclusive: true }, resolve);
      });
      fs.chmodSync(draft, 0o600);
      fs.renameSync(draft, this.path);
    } catch (error) {
      this.server.close();
      refuse(`no socket can be made at ${draft}: ${sayError(error)}`, 'see to its rights and space');
    }
    this.server.on('error', (error) => this.parts.dropped(error.message));
  }

  close(): void {
    try {
      fs.rmSync(this.path, { force: true });
    } catch (error) {
      // It refuses from now on, which says the same to others.
      this.parts.dropped(`${this.path} cannot be removed: ${sayError(error)}`);
    }
    this.server.close();
    for (const stranger of this.strangers.keys()) stranger.destroy();
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
        if (hello.address === this.parts.address) return 'a hello from ourselves';
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
    this.strangers.set(
      connection,
      this.parts.clock.after(helloWithinMs, () => connection.destroy(`no hello within ${helloWithinMs} ms`)),
    );
    if (this.strangers.size > strangersMax) this.destroyOldest();
  }
  private forget(connection: Connection): void {
    this.strangers.get(connection)?.cancel();
    this.strangers.delete(connection);
  }
  private destroyOldest(): void {
    for (const oldest of this.strangers.keys())
      return oldest.destroy(`more than ${strangersMax} connections without a hello`);
  }
}
