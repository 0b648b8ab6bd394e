/**
 * Implements the messenger of one simulated process: packets to one process or to all of a module, in order per
 * receiver.
 */
import { Capacity } from '../base/bounded';
import { BusError } from '../base/errors';
import { closable } from '../base/lifecycle';
import { limits } from '../base/limits';
import type { Packet, Messenger, Receiver } from '../ports/messenger';
import { delayOf, errorOf } from './faults';
import { DeliveryOrder, unreachable, type Life } from './life';
import type { MemoryAnnouncements } from './registry';

/** Inbox of one process. */
interface Box {
  readonly address: string;
  readonly life: Life;
  receiver: Receiver | undefined;
  closed: boolean;
  /** Packets on their way to it. */
  readonly waiting: Capacity;
  /** Processes with which it exchanged packets, and the order of the packets sent to each. */
  readonly peers: Map<Box, DeliveryOrder>;
}

/** State that the messengers of all processes share. */
export interface MessengerWorld {
  readonly boxes: Map<string, Box>;
  readonly roll: MemoryAnnouncements;
  readonly packetsMax: number;
  /** Number of addresses made so far. */
  made: number;
}

export function memoryMessenger(world: MessengerWorld, life: Life): Messenger {
  const box: Box = {
    address: `memory:${life.name}:${++world.made}`,
    life,
    receiver: undefined,
    closed: false,
    waiting: new Capacity({ count: world.packetsMax, bytes: limits.bufferBytesMax }),
    peers: new Map(),
  };
  const broadcasts = new DeliveryOrder();
  world.boxes.set(box.address, box);
  life.onDeath(() => remove(world, box));
  let closedMs = 0;

  const check = (): void => {
    if (box.closed)
      throw new BusError('Closed', `the messenger of ${life.name} was closed`, {
        outcome: 'not-sent',
        sinceMs: life.clock.now() - closedMs,
      });
  };
  const sendToAll = (module: string, packet: Packet): number => {
    const receivers = world.roll.members(module).flatMap(({ address }) => world.boxes.get(address) ?? []);
    for (const to of receivers) transmit(box, to, packet);
    return receivers.length;
  };

  return {
    address: box.address,
    receive(receiver) {
      if (box.receiver) throw new Error(`the messenger of ${life.name} already has a receiver`);
      box.receiver = {
        packet: life.bind((packet: Packet, from: string) => receiver.packet(packet, from)),
        left: life.bind((address: string) => receiver.left(address)),
      };
    },
    send(to, packet) {
      check();
      checkSize(packet);
      if (life.state !== 'crashed') send(world, box, to, packet);
    },
    async broadcast(module, packet) {
      check();
      checkSize(packet);
      const copy = copyPacket(packet);
      return life.call(['messenger', 'broadcast', module], () => sendToAll(module, copy), broadcasts);
    },
    async join() {
      check();
      return closable(async () => undefined); // the registry already finds every announced instance
    },
    ...closable(async () => {
      closedMs = life.clock.now();
      await life.insist(['messenger', 'close'], () => remove(world, box));
    }),
  };
}

function send(world: MessengerWorld, box: Box, address: string, packet: Packet): void {
  const to = world.boxes.get(address);
  if (!to) throw unreachable('not-sent', `no instance has the address ${address}`);
  const { waiting } = to;
  if (!waiting.fits(packet.body.length))
    throw waiting.overloaded(`packets to ${address}`, 'packets', retryAfterMs, packet.body.length);
  const fault = box.life.fault('messenger', 'send', address);
  const planned = errorOf(fault);
  if (fault === 'crash-before') return box.life.crash();
  if (fault === 'disconnect') part(box, to);
  if (fault !== 'drop' && fault !== 'disconnect' && planned?.done !== false) transmit(box, to, packet, delayOf(fault));
  if (fault === 'double') transmit(box, to, packet);
  if (fault === 'crash-after') box.life.crash();
  if (planned) throw planned.error;
}

function transmit(from: Box, to: Box, packet: Packet, delayMs = 0): void {
  const copy = copyPacket(packet);
  to.waiting.add(copy.body.length);
  if (!to.peers.has(from)) to.peers.set(from, new DeliveryOrder());
  to.life.notify(
    orderTo(from, to),
    () => {
      to.waiting.remove(copy.body.length);
      if (!to.closed) to.receiver?.packet(copy, from.address);
    },
    delayMs,
  );
}

function orderTo(from: Box, to: Box): DeliveryOrder {
  const order = from.peers.get(to) ?? new DeliveryOrder();
  from.peers.set(to, order);
  return order;
}

/** Notifies a process that no more packets arrive from the other, after every packet that the other sent before. */
function part(reported: Box, other: Box): void {
  reported.life.notify(orderTo(other, reported), () => {
    if (!reported.closed) reported.receiver?.left(other.address);
  });
}

/** Removes an address for good, and notifies all processes that exchanged packets with it. */
function remove(world: MessengerWorld, box: Box): void {
  if (!world.boxes.delete(box.address)) return;
  box.closed = true;
  for (const peer of box.peers.keys()) {
    if (peer !== box) part(peer, box);
    peer.peers.delete(box);
  }
}

const retryAfterMs = 10;
/** Largest body: a message, and 64 KB for the fields beside it. */
const bodyBytesMax = limits.messageBytesMax + 64 * 1024;

function checkSize({ line, body }: Packet): void {
  const lineBytes = Buffer.byteLength(line);
  if (lineBytes > limits.envelopeBytesMax) throw tooLarge('an envelope', lineBytes, limits.envelopeBytesMax);
  if (body.length > bodyBytesMax) throw tooLarge('a body', body.length, bodyBytesMax);
}
function tooLarge(what: string, bytes: number, limitBytes: number): BusError {
  return new BusError('TooLarge', `${what} has ${bytes} bytes, the limit is ${limitBytes}`, { bytes, limitBytes });
}

const copyPacket = ({ line, body }: Packet): Packet => ({ line, body: Uint8Array.from(body) });
