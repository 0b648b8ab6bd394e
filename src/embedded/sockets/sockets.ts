/**
 * Manages all connections of one bus. It connects when a connection is first needed, and reports peers that have left.
 * The file is long because connections, peers and departures share one table.
 */
import net from 'node:net';
import path from 'node:path';
import type { Clock } from '../../base/clock';
import { Capacity, RecentSet } from '../../base/bounded';
import { BusError, isCode, errorMessage } from '../../base/errors';
import { closable, type Closable } from '../../base/lifecycle';
import type { Notices } from '../../base/notices';
import { allWaitingMax, Connection, type ConnectionEnd } from './connection';
import type { Directory } from '../directory/directory';
import { Fanout, type Destination } from './fanout';
import type { FrameKind } from './frames';
import { checkSize, frameKinds } from './frames';
import { helloLine } from './handshake';
import { Listener, socketIdentity } from './listener';
import { isAddress } from '../directory/process-liveness';
import { Loopback } from './loopback';

/** Handler of a frame. `body` is a view that is valid until this returns. */
export type FrameListener = (line: string, body: Uint8Array, from: string) => void;
/** Handler of the departure of a peer. `packets` is true if a packet was sent to it or received from it. */
export type DepartureListener = (address: string, packets: boolean) => void;

export interface SocketParts {
  readonly directory: Directory;
  readonly address: string;
  readonly clock: Clock;
  readonly notices: Notices;
}

/** Another bus that this one has a connection to. */
interface Peer {
  readonly address: string;
  /**
   * Packets are sent only on the first one, to preserve their order. There are two when both sides connected at the
   * same moment.
   */
  readonly connections: Connection[];
  packets: boolean;
}

/** A stopped process does not close its side, so close does not wait longer than this. */
const closeWithinMs = 1_000;
/**
 * Limits the wait for the remaining data of a peer's other connection. A peer that closes takes no longer than
 * `closeWithinMs`.
 */
const closeOthersAfterMs = closeWithinMs + 100;
const deadMax = 20_000;
/**
 * More queued bytes than this are sent before the turn ends, so that the receiver reads a burst while it is still being
 * made.
 */
const turnBytesMax = 128 * 1024;
const nothing = new Uint8Array(0);

/** Opens the sockets of a bus. Other processes can connect when this resolves. */
export async function openSockets(parts: SocketParts): Promise<Sockets> {
  const sockets = new Sockets(parts);
  await sockets.listen();
  return sockets;
}

export class Sockets implements Closable {
  readonly address: string;
  private readonly listener: Listener;
  private readonly loopback: Loopback;
  /** Limits what all connections hold together. */
  private readonly capacity = new Capacity(allWaitingMax);
  private readonly fanout: Fanout<Connection>;
  private readonly peers = new Map<string, Peer>();
  /**
   * Addresses that refused a connection. An entry with a blank also holds the identity of the socket that was at the
   * address then.
   */
  private readonly refused = new RecentSet<string>(2 * deadMax);
  private readonly dirty = new Set<Connection>();
  private readonly listeners: (FrameListener | undefined)[] = [];
  private readonly departureListeners: DepartureListener[] = [];
  private closedAtMs: number | undefined;
  private readonly closing = closable(() => this.closeOnce());
  /** Called when the last connection has ended. */
  private emptied: () => void = () => undefined;

  constructor(private readonly parts: SocketParts) {
    this.address = parts.address;
    this.loopback = new Loopback((line, body) => this.report(frameKinds.packet, line, body, this.address));
    this.fanout = new Fanout({
      ...parts,
      outletTo: (address) => this.first(this.reach(address)),
      put: (connection, line, body) => this.put(connection, line, body),
    });
    this.listener = new Listener({
      ...parts,
      capacity: this.capacity,
      welcome: (connection, address) => this.hold(this.know(address), connection),
      dropped: (reason) => this.dropped('connection', reason),
    });
  }

  async listen(): Promise<void> {
    await this.listener.listen();
  }

  /**
   * Queues a packet. All packets of one turn are sent together at its end. Throws Unreachable, Overloaded, TooLarge,
   * Closed.
   */
  send(to: string, line: string, body: Uint8Array): void {
    checkSize(line, body);
    this.checkOpen();
    if (to === this.address) void this.loopback.put(line, body);
    else this.put(this.first(this.reach(to)), line, body);
  }
  private put(connection: Connection, line: string, body: Uint8Array): void {
    connection.put(frameKinds.packet, line, body);
    const peer = connection.peer === undefined ? undefined : this.peers.get(connection.peer);
    if (peer !== undefined) peer.packets = true;
    this.touch(connection);
  }

  /**
   * Sends a packet to each. Resolves to the number of receivers that it was handed over to, when the kernel has
   * accepted it for all of them. {@link Fanout} describes the handling of a receiver that does not read. Rejects with
   * Overloaded, having sent nothing, TooLarge or Closed.
   */
  async broadcast(to: readonly Destination[], line: string, body: Uint8Array): Promise<number> {
    checkSize(line, body);
    this.checkOpen();
    const others = to.filter(({ address }) => address !== this.address);
    if (others.length === to.length) return this.fanout.send(others, line, body);
    this.loopback.mustHaveRoom(line, body);
    const handedOver = this.fanout.send(others, line, body);
    await this.loopback.put(line, body);
    return 1 + (await handedOver);
  }

  /** Queues a frame of another kind that has only a line, unless the same one still waits. Throws as `send` does. */
  sendOnce(to: string, kind: FrameKind, line: string): void {
    this.checkOpen();
    const connection = this.first(this.reach(to));
    connection.ring(kind, line);
    this.touch(connection);
  }

  /** Connects if there is no connection, so that the end of the peer is noticed. */
  connect(to: string): void {
    this.checkOpen();
    this.touch(this.first(this.reach(to)));
  }
  connected(to: string): boolean {
    return this.peers.has(to);
  }
  /** Returns whether a connection to `address` was refused, and no other socket was made there since. */
  dead(address: string): boolean {
    if (!this.refused.has(address)) return false;
    const now = socketIdentity(this.path(address));
    return now === undefined || this.refused.has(`${address} ${now}`);
  }
  /**
   * Recreates the socket of this bus if it was removed, and resolves to whether it did. Rejects with Config if it
   * cannot be made.
   */
  keep(): Promise<boolean> {
    return this.listener.keep();
  }
  onFrame(kind: FrameKind, listener: FrameListener): void {
    this.listeners[kind] = listener;
  }
  /**
   * Calls `listener` when the last connection to a peer ended. A packet without an answer is then lost, or its outcome
   * is unknown.
   */
  onDeparture(listener: DepartureListener): void {
    this.departureListeners.push(listener);
  }
  /** Throws Closed once `close` was called. */
  checkOpen(): void {
    if (this.closedAtMs === undefined) return;
    throw new BusError('Closed', 'this bus is closed', {
      outcome: 'not-sent',
      sinceMs: this.parts.clock.now() - this.closedAtMs,
    });
  }

  private reach(to: string): Peer {
    const peer = this.peers.get(to);
    if (peer !== undefined) return peer;
    if (this.dead(to) || !isAddress(to)) {
      throw new BusError('Unreachable', `no instance listens at ${to}`, { outcome: 'not-sent', waitedMs: 0 });
    }
    return this.know(to);
  }
  private know(address: string): Peer {
    const known = this.peers.get(address);
    if (known !== undefined) return known;
    const peer = { address, connections: [], packets: false };
    this.peers.set(address, peer);
    return peer;
  }
  private first(peer: Peer): Connection {
    return peer.connections[0] ?? this.open(peer);
  }
  private open(peer: Peer): Connection {
    let end: ConnectionEnd | undefined;
    const connection = new Connection(
      net.connect({ path: this.path(peer.address) }),
      {
        take: (...frame) => end?.take(...frame),
        ended: (...how) => end?.ended(...how),
      },
      this.capacity,
    );
    connection.peer = peer.address;
    end = this.hold(peer, connection);
    connection.put(frameKinds.hello, helloLine(this.parts.directory.ns, this.address), nothing);
    return connection;
  }

  private path(address: string): string {
    return path.join(this.parts.directory.sockets, address);
  }

  private hold(peer: Peer, connection: Connection): ConnectionEnd {
    peer.connections.push(connection);
    connection.onTaken = () => this.fanout.taken(peer.address, connection);
    return {
      take: (kind, line, body) => {
        if (kind === frameKinds.hello) return 'a second hello';
        if (kind === frameKinds.packet) peer.packets = true;
        this.report(kind, line, body, peer.address);
        return undefined;
      },
      ended: (fault, cause) => {
        this.dirty.delete(connection);
        this.fanout.ended(peer.address, connection);
        if (fault !== undefined) this.dropped('connection', `${fault}, from ${peer.address}`);
        this.noteRefusal(peer.address, cause);
        this.lose(peer, connection);
      },
    };
  }

  private report(kind: FrameKind, line: string, body: Uint8Array, from: string): void {
    if (this.closedAtMs !== undefined) return;
    try {
      this.listeners[kind]?.(line, body, from);
    } catch (error) {
      this.dropped('packet', `its receiver threw: ${errorMessage(error)}`);
    }
  }

  private reportDeparture({ address, packets }: Peer): void {
    if (this.closedAtMs !== undefined) return;
    const replacement = this.peers.get(address);
    if (replacement !== undefined) {
      replacement.packets ||= packets;
      return this.closeOthersLater(replacement);
    }
    this.fanout.receiverLeft(address, this.dead(address));
    for (const listener of this.departureListeners) {
      try {
        listener(address, packets);
      } catch (error) {
        this.dropped('packet', `the receiver threw when ${address} had ended: ${errorMessage(error)}`);
      }
    }
  }
  /**
   * Closes the other connections after a delay. Data sent on the ended connection is lost, but an answer can still
   * arrive on another one.
   */
  private closeOthersLater(peer: Peer): void {
    this.parts.clock.after(closeOthersAfterMs, () => destroyAll(peer.connections));
  }

  private lose(peer: Peer, connection: Connection): void {
    const at = peer.connections.indexOf(connection);
    peer.connections.splice(at, 1);
    if (peer.connections.length === 0) {
      this.peers.delete(peer.address);
      if (this.closedAtMs === undefined) this.part(peer);
      else if (this.peers.size === 0) this.emptied();
    } else if (at === 0) this.closeOthersLater(peer);
  }
  /**
   * Reports that the peer has left. It first probes the socket: if that refuses, the peer is dead, and nothing is sent
   * to it again.
   */
  private part(peer: Peer): void {
    if (this.dead(peer.address)) return this.reportDeparture(peer);
    const asking = net.connect({ path: this.path(peer.address) }, () => asking.destroy());
    asking.on('error', (error: NodeJS.ErrnoException) => this.noteRefusal(peer.address, error));
    asking.on('close', () => this.reportDeparture(peer));
  }
  private noteRefusal(address: string, error: NodeJS.ErrnoException | undefined): void {
    if (error?.syscall !== 'connect' || !isCode(error, 'ECONNREFUSED', 'ENOENT')) return;
    this.refused.add(address);
    this.refused.add(`${address} ${socketIdentity(this.path(address))}`);
  }

  /** Sends at the end of this turn, so that later callbacks of the same turn add to the same write. */
  private touch(connection: Connection): void {
    if (connection.queuedBytes > turnBytesMax) return connection.pump();
    if (this.dirty.size === 0) setImmediate(this.flush);
    this.dirty.add(connection);
  }
  private readonly flush = (): void => {
    for (const connection of this.dirty) connection.pump();
    this.dirty.clear();
  };

  /** Sends what is queued. Resolves when each peer has read it and closed its side, or after 1 s. */
  close(): Promise<void> {
    return this.closing.close();
  }
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
  private async closeOnce(): Promise<void> {
    this.closedAtMs = this.parts.clock.now();
    this.listener.close();
    this.fanout.flush();
    const connections = [...this.peers.values()].flatMap((peer) => peer.connections);
    if (connections.length > 0) await this.endAll(connections);
    this.fanout.close();
  }
  private async endAll(connections: readonly Connection[]): Promise<void> {
    const timer = this.parts.clock.after(closeWithinMs, () => destroyAll(connections));
    await new Promise<void>((resolve) => {
      this.emptied = resolve;
      for (const connection of connections) connection.end();
    });
    timer.cancel();
  }

  private dropped(what: string, reason: string): void {
    this.parts.notices.emit({ type: 'dropped', what, reason });
  }
}

function destroyAll(connections: readonly Connection[]): void {
  for (const connection of connections) connection.destroy();
}
