/** Implements the messenger on Kafka: each instance tails an inbox partition, and broadcasts to what it serves. */
import { sleep, type Clock, type Random } from '../base/clock';
import { BusError, errorMessage } from '../base/errors';
import { closable, onAbort, type Closable } from '../base/lifecycle';
import { limits } from '../base/limits';
import { openStates, type Notices } from '../base/notices';
import { incarnation as drawIncarnation } from '../format/id';
import { namesIn } from '../format/names';
import type { LogRecord, Tail } from '../ports/log';
import type { Packet, Messenger, Receiver } from '../ports/messenger';
import { LivenessProbe } from './messenger/liveness-probe';
import { Loopback } from './messenger/loopback';
import { Backlog, type BacklogShare } from './messenger/backlog';
import type { Departures } from './messenger/departures';
import { peerAt, Peers } from './messenger/peers';
import { PacketReceiver } from './messenger/receiver';
import { Tails } from './messenger/tails';
import type { Transport } from './messenger/transport';
import { recordBytes } from './protocol/record-size';

export interface KafkaMessengerParts {
  readonly ns: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly notices: Notices;
  readonly transport: Transport;
  readonly departures: Departures;
  /** Number of partitions of a new inbox. Default 64. */
  readonly inboxPartitions?: number;
  /** Time for which opening waits for a packet to this instance itself. Default 10,000 ms. */
  readonly openMs?: number;
  /** Ends this wait. */
  readonly signal?: AbortSignal;
}

/** Packets between messengers: the sender is leaving, probes the receiver, or responds to a probe. */
type Mark = 'bye' | 'ask' | 'here';

/** Retention of packets, and upper limit of their time to be sent. Older packets have no use. */
const keepMs = 600_000;
const inboxPartitionsDefault = 64;
const openMsDefault = 10_000;
/** Maximum wait for acknowledgements during close. */
const closeWithinMs = 800;
/** Time limit of packets for which the caller sets none. */
const sendMs = 30_000;
/** Maximum size of a body: a message and 64 KB for other data. */
const bodyBytesMax = limits.messageBytesMax + 64 * 1024;

/**
 * Opens the messenger. Resolves when packets that are sent to its address reach it. Rejects with Unreachable if none
 * arrives for ten seconds or `signal` aborts, and with Config or NotAllowed if the brokers refuse a request.
 */
export async function openKafkaMessenger(parts: KafkaMessengerParts): Promise<Messenger> {
  const { clock, transport, ns, signal, openMs = openMsDefault } = parts;
  const inbox = namesIn(ns).inbox();
  const wanted = { name: inbox, partitions: parts.inboxPartitions ?? inboxPartitionsDefault, compacted: false, keepMs };
  const partitions = await transport.ensure(wanted);
  const partition = drawPartition(parts, inbox, partitions);
  const tail = await transport.tail(inbox, partition, 'inbox');
  const messenger = new KafkaMessenger(parts, inbox, partition, tail);
  const late = new AbortController();
  const ignore = signal && onAbort(signal, () => late.abort());
  if (signal?.aborted) late.abort();
  const isOpen = await Promise.race([messenger.measure(), sleep(clock, openMs, late.signal).then(() => false)]);
  ignore?.();
  late.abort();
  if (isOpen) return messenger;
  await messenger.close();
  const cause = `no packet arrived through partition ${partition} of ${inbox}`;
  throw new BusError('Unreachable', `${cause} within ${openMs} ms`, {
    outcome: 'not-sent',
    waitedMs: openMs,
    cause,
  });
}

/** Returns a random partition that has a known leader, so that an unavailable broker does not prevent opening. */
function drawPartition({ random, transport }: KafkaMessengerParts, inbox: string, count: number): number {
  const all = Array.from({ length: count }, (_, partition) => partition);
  const led = all.filter((partition) => transport.isLed(inbox, partition));
  const able = led.length > 0 ? led : all;
  return able[Math.floor(random.next() * able.length)] ?? 0;
}

class KafkaMessenger implements Messenger {
  readonly address: string;
  readonly #incarnation: string;
  readonly #names;
  readonly #peers: Peers;
  readonly #backlog: Backlog;
  readonly #loopback: Loopback;
  readonly #probe: LivenessProbe;
  readonly #ensured = new Map<string, Promise<unknown>>();
  readonly #receiver: PacketReceiver;
  readonly #tails: Tails;
  #closedAtMs: number | undefined;
  readonly #closing = closable(() => this.#closeOnce());

  constructor(
    private readonly parts: KafkaMessengerParts,
    private readonly inbox: string,
    private readonly partition: number,
    tail: Tail,
  ) {
    this.#incarnation = drawIncarnation(parts.random);
    this.address = `${partition}:${this.#incarnation}`;
    this.#names = namesIn(parts.ns);
    const { clock, random, transport } = parts;
    this.#backlog = new Backlog(inbox, clock);
    this.#loopback = new Loopback({
      clock,
      random,
      send: (id) => {
        const headers = { to: this.#incarnation, from: this.address, post: 'echo', bus: id };
        return transport.append(inbox, partition, { key: null, value: null, headers }, sendMs);
      },
    });
    this.#probe = new LivenessProbe({ clock, random, send: (address, id) => this.#say(address, 'ask', id) });
    this.#peers = new Peers({
      clock,
      echo: () => this.#loopback.once(),
      answers: (address, readAll) => this.#probe.answers(address, readAll),
      gone: (address) => this.#receiver.left(address),
    });
    const dropped = (what: string, reason: string): void => this.#dropped(what, reason);
    this.#receiver = new PacketReceiver({
      incarnation: this.#incarnation,
      loopback: this.#loopback,
      probe: this.#probe,
      peers: this.#peers,
      respond: (address, id) => void this.#say(address, 'here', id),
      dropped,
    });
    const isClosing = (): boolean => this.#closedAtMs !== undefined;
    this.#tails = new Tails({ clock, states: openStates(parts.notices), dropped, isClosing });
    this.#tails.add(inbox, tail, (records) => this.#receiver.fromInbox(records));
    parts.departures.watch({
      up: (address) => this.#peers.up(address),
      vanished: (addresses) => this.#peers.lost(addresses),
      knows: (address) => this.#peers.has(address),
    });
  }

  get skewMs(): number {
    return this.#loopback.skewMs;
  }
  get skewMaxMs(): number {
    return this.#loopback.skewMaxMs;
  }
  /** Measures the brokers' clock. Resolves with false if no packet arrives. */
  measure(): Promise<boolean> {
    return this.#loopback.measure();
  }

  receive(receiver: Receiver): void {
    this.#receiver.deliverTo(receiver);
  }

  // --- outgoing packets

  send(to: string, packet: Packet): void {
    checkSize(packet);
    this.#checkOpen();
    const { partition, incarnation } = this.#peers.at(to);
    const headers = { to: incarnation, from: this.address, bus: packet.line };
    const withinMs = Math.min(packet.withinMs ?? sendMs, keepMs);
    void this.#put(partition, { key: null, value: packet.body, headers }, 'packet', withinMs);
  }

  async broadcast(module: string, packet: Packet): Promise<undefined> {
    checkSize(packet);
    this.#checkOpen();
    // Copy the body, because the caller can reuse its bytes at once.
    const record = { key: null, value: new Uint8Array(packet.body), headers: { from: this.address, bus: packet.line } };
    const sent = count(this.#backlog.shareOf(module), record);
    try {
      await this.#ensure(module);
      await this.parts.transport.append(this.#names.broadcast(module), 0, record, sendMs);
    } finally {
      sent();
    }
  }

  async join(module: string): Promise<Closable> {
    this.#checkOpen();
    await this.#ensure(module);
    const topic = this.#names.broadcast(module);
    const tail = await this.parts.transport.tail(topic, 0, 'tails');
    return this.#tails.add(topic, tail, (records) => records.forEach((record) => this.#receiver.fromBroadcast(record)));
  }
  #ensure(module: string): Promise<unknown> {
    const name = this.#names.broadcast(module);
    const ensured =
      this.#ensured.get(name) ?? this.parts.transport.ensure({ name, partitions: 1, compacted: false, keepMs });
    this.#ensured.set(name, ensured);
    ensured.catch(() => this.#ensured.delete(name)); // the next call tries again
    return ensured;
  }

  /** Returns the addresses of all other instances. */
  async allAddresses(): Promise<readonly string[]> {
    return (await this.parts.departures.allAddresses()).filter((address) => address !== this.address);
  }

  whyDelayed(to: string): string | undefined {
    const partition = this.#peers.partitionOf(to);
    const failure = partition === undefined ? undefined : this.#backlog.shareOf(partition).failure;
    if (failure !== undefined || this.parts.transport.isLed(this.inbox, this.partition)) return failure;
    return `partition ${this.partition} of ${this.inbox}, where answers arrive, has no leader`;
  }

  /**
   * Appends a record to the inbox. Throws Overloaded. Resolves when the record is written, or was given up with a
   * notice.
   */
  #put(partition: number, record: LogRecord, what: string, withinMs: number): Promise<void> {
    this.#loopback.measureAgain();
    const lane = this.#backlog.shareOf(partition);
    const settled = count(lane, record);
    return this.parts.transport.append(this.inbox, partition, record, withinMs).then(settled, (error: unknown) => {
      settled();
      this.#dropped(what, `to ${lane.where}: ${errorMessage(error)}`);
    });
  }

  // --- closing

  close(): Promise<void> {
    return this.#closing.close();
  }
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
  /** Sends a goodbye to all peers, and waits until the brokers have acknowledged all packets, for a limited time. */
  async #closeOnce(): Promise<void> {
    const { clock } = this.parts;
    this.#closedAtMs = clock.now();
    this.#receiver.close();
    for (const address of this.#peers.all()) if (address !== this.address) void this.#say(address, 'bye', '');
    this.#loopback.close();
    this.#probe.close();
    this.#peers.close();
    await this.#backlog.runOut(closeWithinMs);
    await this.#tails.close();
  }
  /**
   * Sends a goodbye, a probe or a response. A failure is only reported: the receiver detects it by the registry, or
   * probes again.
   */
  async #say(address: string, what: Mark, id: string): Promise<void> {
    const peer = peerAt(address);
    if (!peer) return;
    const headers = { to: peer.incarnation, from: this.address, post: what, bus: id };
    try {
      await this.#put(peer.partition, { key: null, value: null, headers }, what, sendMs);
    } catch (error) {
      this.#dropped(what, errorMessage(error));
    }
  }
  #checkOpen(): void {
    if (this.#closedAtMs === undefined) return;
    throw new BusError('Closed', 'this bus is closed', {
      outcome: 'not-sent',
      sinceMs: this.parts.clock.now() - this.#closedAtMs,
    });
  }

  #dropped(what: string, reason: string): void {
    this.parts.notices.emit({ type: 'dropped', what, reason });
  }
}

/**
 * Counts a record in the backlog. Throws Overloaded. The returned function must be called when the record is
 * acknowledged or lost.
 */
function count(lane: BacklogShare, record: LogRecord): () => void {
  const bytes = recordBytes(record);
  lane.add(bytes);
  return () => lane.remove(bytes);
}

function checkSize({ line, body }: Packet): void {
  const lineBytes = line.length * 3 > limits.envelopeBytesMax ? Buffer.byteLength(line) : 0;
  if (lineBytes > limits.envelopeBytesMax) throw tooLarge('an envelope', lineBytes, limits.envelopeBytesMax);
  if (body.length > bodyBytesMax) throw tooLarge('a body', body.length, bodyBytesMax);
}
function tooLarge(what: string, bytes: number, limitBytes: number): BusError {
  return new BusError('TooLarge', `${what} has ${bytes} bytes, the limit is ${limitBytes}`, { bytes, limitBytes });
}
