/** All sockets of one bus: it listens, connects when first needed, and tells who is gone. Everything else sends frames. */
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import type { Clock, Timer } from '../base/clock';
import { BusError, sayError } from '../base/errors';
import type { Closable } from '../base/lifecycle';
import { limits } from '../base/limits';
import type { Notices } from '../base/notices';
import { Connection } from './connection';
import type { Directory } from './directory';
import { isCode, refuse } from './directory';
import type { FrameKind } from './frames';
import { bodyBytesMax, frameKinds } from './frames';
import { isAddress } from './liveness';
import { Loopback } from './loopback';

/** `body` is a view that is valid until this returns. */
export type HearFrame = (line: string, body: Uint8Array, from: string) => void;

export interface SocketParts {
  readonly directory: Directory;
  readonly address: string;
  readonly clock: Clock;
  readonly notices: Notices;
}

const helloWithinMs = 2_000;
/** How long what a peer said on its other connection may take to come in, before it counts as gone. */
const lastWordsMs = 100;
const closeWithinMs = 1_000;
const connectionsMax = 2_048;
const deadMax = 10_000;
/** More than this leaves before the turn ends, so that a burst is read while it is still being made. */
const turnBytesMax = 128 * 1024;
const nothing = new Uint8Array(0);

/** Listens at once: others can reach the socket, mode 0600, when this resolves. */
export async function openSockets(parts: SocketParts): Promise<Sockets> {
  const sockets = new Sockets(parts);
  await sockets.listen();
  return sockets;
}

export class Sockets implements Closable {
  readonly address: string;
  private readonly server = net.createServer((socket) => this.accept(socket));
  /** All connections to each peer; the first one is the one we send on, so that order is kept. */
  private readonly peers = new Map<string, Connection[]>();
  /** Connections that have not said hello, and when their time is up. */
  private readonly strangers = new Map<Connection, Timer>();
  private readonly refused = new Set<string>();
  private readonly dirty = new Set<Connection>();
  private readonly hearers: (HearFrame | undefined)[] = [];
  private readonly goneHearers: ((address: string) => void)[] = [];
  private readonly loopback: Loopback;
  private readonly hello: string;
  private closedAtMs: number | undefined;
  private emptied: (() => void) | undefined;
  private closing: Promise<void> | undefined;

  constructor(private readonly parts: SocketParts) {
    this.address = parts.address;
    this.hello = `busbar/1 ${parts.directory.ns} ${parts.address}`;
    this.loopback = new Loopback((kind, line, body) => this.tell(kind, line, body, this.address));
    this.server.maxConnections = connectionsMax;
    this.server.on('drop', () => this.dropped('connection', `more than ${connectionsMax} connections`));
  }

  async listen(): Promise<void> {
    // It gets its name when it listens: a socket that is there and refuses is a dead one, and anybody may remove it.
    const draft = path.join(this.parts.directory.sockets, `~${this.address}`);
    await new Promise<void>((resolve, reject) => {
      this.server.once('error', reject);
      this.server.listen({ path: draft, exclusive: true }, resolve);
    }).catch((error: unknown) =>
      refuse(`no socket can be made at ${draft}: ${sayError(error)}`, 'see to rights and space'),
    );
    this.server.on('error', (error) => this.dropped('connection', error.message));
    fs.chmodSync(draft, 0o600);
    fs.renameSync(draft, this.path(this.address));
  }

  /** Queues a frame; all frames of one turn leave together at its end. Throws Unreachable, Overloaded, TooLarge, Closed. */
  send(to: string, kind: FrameKind, line: string, body: Uint8Array): void {
    checkSize(line, body);
    if (to === this.address) {
      this.checkOpen();
      return this.loopback.put(kind, line, body);
    }
    const connection = this.connection(to);
    connection.put(kind, line, body);
    this.touch(connection);
  }

  /** As `send`, without a body, unless the same frame still waits to leave. */
  sendOnce(to: string, kind: FrameKind, line: string): void {
    const connection = this.connection(to);
    connection.ring(kind, line);
    this.touch(connection);
  }

  /** Connects if there is no connection, so that its end will be noticed. */
  connect(to: string): void {
    this.touch(this.connection(to));
  }
  connected(to: string): boolean {
    return this.peers.has(to);
  }
  /** Whether a connection to `address` was refused: nobody will ever listen there again. */
  dead(address: string): boolean {
    return this.refused.has(address);
  }
  hear(kind: FrameKind, hear: HearFrame): void {
    this.hearers[kind] = hear;
  }
  /** Calls `hear` when the last connection to somebody ended: what was sent and not answered is lost or unknown. */
  onGone(hear: (address: string) => void): void {
    this.goneHearers.push(hear);
  }

  private path(address: string): string {
    return path.join(this.parts.directory.sockets, address);
  }

  private connection(to: string): Connection {
    this.checkOpen();
    const open = this.peers.get(to)?.[0];
    if (open !== undefined) return open;
    if (this.refused.has(to) || !isAddress(to)) {
      throw new BusError('Unreachable', `nobody listens at ${to}`, { waitedMs: 0 });
    }
    const connection = this.take(net.connect({ path: this.path(to) }));
    this.know(connection, to);
    connection.put(frameKinds.hello, this.hello, nothing);
    return connection;
  }

  private checkOpen(): void {
    if (this.closedAtMs === undefined) return;
    throw new BusError('Closed', 'this bus is closed', { sinceMs: this.parts.clock.now() - this.closedAtMs });
  }

  private accept(socket: net.Socket): void {
    const connection = this.take(socket);
    const late = (): void => connection.destroy('no hello within 2 s');
    this.strangers.set(connection, this.parts.clock.after(helloWithinMs, late));
  }
  private take(socket: net.Socket): Connection {
    return new Connection(socket, {
      take: (connection, kind, line, body) => {
        if (connection.peer === undefined) return this.greet(connection, kind, line);
        if (kind === frameKinds.hello) return 'a second hello';
        this.tell(kind, line, body, connection.peer);
        return undefined;
      },
      ended: (connection, fault, cause) => this.ended(connection, fault, cause),
    });
  }

  /** The first frame of whoever connected; gives the reason when it is refused. */
  private greet(connection: Connection, kind: FrameKind, line: string): string | undefined {
    const [version, ns, address, ...more] = line.split(' ');
    if (kind !== frameKinds.hello || more.length > 0 || address === undefined) return 'no hello';
    if (version !== 'busbar/1') return 'a hello of another version';
    if (ns !== this.parts.directory.ns) return 'a hello of another namespace';
    if (!isAddress(address) || address === this.address) return 'a hello from nobody';
    this.know(connection, address);
    return undefined;
  }
  private know(connection: Connection, address: string): void {
    this.forgetStranger(connection);
    connection.peer = address;
    const connections = this.peers.get(address);
    if (connections === undefined) this.peers.set(address, [connection]);
    else connections.push(connection);
  }
  private forgetStranger(connection: Connection): void {
    this.strangers.get(connection)?.cancel();
    this.strangers.delete(connection);
  }

  private tell(kind: FrameKind, line: string, body: Uint8Array, from: string): void {
    if (this.closedAtMs !== undefined) return;
    try {
      this.hearers[kind]?.(line, body, from);
    } catch (error) {
      this.dropped('packet', `its receiver threw: ${sayError(error)}`);
    }
  }

  private ended(connection: Connection, fault: string | undefined, cause: NodeJS.ErrnoException | undefined): void {
    this.forgetStranger(connection);
    this.dirty.delete(connection);
    if (fault !== undefined) this.dropped('connection', `${fault}, from ${connection.peer ?? 'an unknown process'}`);
    const address = connection.peer;
    if (address !== undefined) this.lose(connection, address, cause);
    if (this.peers.size === 0 && this.strangers.size === 0) this.emptied?.();
  }
  private lose(connection: Connection, address: string, cause: NodeJS.ErrnoException | undefined): void {
    if (cause?.syscall === 'connect' && isCode(cause, 'ECONNREFUSED', 'ENOENT')) this.bury(address);
    const connections = this.peers.get(address) ?? [];
    const at = connections.indexOf(connection);
    if (at >= 0) connections.splice(at, 1);
    if (connections.length === 0) {
      this.peers.delete(address);
      if (this.closedAtMs === undefined) for (const hear of this.goneHearers) hear(address);
    } else if (at === 0) {
      // What we sent is lost, but an answer may still lie in the other connection.
      this.parts.clock.after(lastWordsMs, () => connections.forEach((left) => left.destroy()));
    }
  }
  private bury(address: string): void {
    this.refused.add(address);
    if (this.refused.size <= deadMax) return;
    for (const oldest of this.refused) return void this.refused.delete(oldest);
  }

  /** Sends at the end of this turn: callbacks of this turn that are still to come add to the same write. */
  private touch(connection: Connection): void {
    if (connection.queuedBytes > turnBytesMax) return connection.pump();
    if (this.dirty.size === 0) setImmediate(this.flush);
    this.dirty.add(connection);
  }
  private readonly flush = (): void => {
    for (const connection of this.dirty) connection.pump();
    this.dirty.clear();
  };

  close(): Promise<void> {
    return (this.closing ??= this.closeOnce());
  }
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
  private async closeOnce(): Promise<void> {
    this.closedAtMs = this.parts.clock.now();
    fs.rmSync(this.path(this.address), { force: true });
    this.server.close();
    for (const stranger of this.strangers.keys()) stranger.destroy();
    const connections = [...this.peers.values()].flat();
    if (connections.length > 0) {
      await new Promise<void>((resolve) => {
        const timer = this.parts.clock.after(closeWithinMs, () => connections.forEach((left) => left.destroy()));
        this.emptied = () => {
          timer.cancel();
          resolve();
        };
        for (const connection of connections) connection.end();
      });
    }
  }

  private dropped(what: string, reason: string): void {
    this.parts.notices.tell({ type: 'dropped', what, reason });
  }
}

function checkSize(line: string, body: Uint8Array): void {
  const lineBytes = line.length * 3 > limits.envelopeBytesMax ? Buffer.byteLength(line) : 0;
  if (lineBytes > limits.envelopeBytesMax) throw tooLarge('an envelope', lineBytes, limits.envelopeBytesMax);
  if (body.length > bodyBytesMax) throw tooLarge('a body', body.length, bodyBytesMax);
}
function tooLarge(what: string, bytes: number, limitBytes: number): BusError {
  return new BusError('TooLarge', `${what} of ${bytes} bytes, the limit is ${limitBytes}`, { bytes, limitBytes });
}
