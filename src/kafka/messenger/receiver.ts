/** Handles incoming records of a messenger: its inbox, which other instances share, and broadcasts. */
import { errorMessage } from '../../base/errors';
import type { Stored } from '../../ports/log';
import type { Packet, Receiver } from '../../ports/messenger';
import type { LivenessProbe } from './liveness-probe';
import type { Loopback } from './loopback';
import type { Peers } from './peers';

export interface PacketReceiverParts {
  /** Incarnation of this instance. Packets to other ones in the same inbox are skipped. */
  readonly incarnation: string;
  readonly loopback: Pick<Loopback, 'observe' | 'returned'>;
  readonly probe: Pick<LivenessProbe, 'answered'>;
  readonly peers: Pick<Peers, 'heard' | 'left'>;
  /** Responds to the probe `id` of the peer at `address`. */
  readonly respond: (address: string, id: string) => void;
  /** Reports a packet that was not delivered. */
  readonly dropped: (what: string, reason: string) => void;
}

const nothing = new Uint8Array(0);

export class PacketReceiver {
  #receiver: Receiver | undefined;
  #isClosed = false;

  constructor(private readonly parts: PacketReceiverParts) {}

  /** Sets the receiver of packets. Packets that arrive before that are discarded. */
  deliverTo(receiver: Receiver): void {
    this.#receiver = receiver;
  }
  /** Reports to the receiver that the peer at `address` has left. */
  left(address: string): void {
    this.#receiver?.left(address);
  }
  /** Ends the delivery. Only packets of this instance to itself are handled after this. */
  close(): void {
    this.#isClosed = true;
  }

  /** Handles the records of one read. Only the last one is compared with the clock, because it is the newest. */
  fromInbox(records: readonly Stored[]): void {
    const { loopback, incarnation } = this.parts;
    const last = records.at(-1);
    if (last) loopback.observe(last);
    // Handle probes first. A response must not depend on the number of packets that wait before the probe.
    for (const { headers } of records) if (headers['to'] === incarnation) this.#takeSign(headers);
    for (const record of records) this.#take(record);
  }
  /** Delivers a broadcast. */
  fromBroadcast({ headers, value }: Stored): void {
    if (this.#isClosed) return;
    this.#deliver({ line: headers['bus'] ?? '', body: value ?? nothing }, headers['from'] ?? '');
  }

  /** Handles probes and responses to probes, which need no order. */
  #takeSign({ from = '', bus = '', post }: Stored['headers']): void {
    if (this.#isClosed) return;
    if (post === 'here') this.parts.probe.answered(bus);
    if (post === 'ask') this.parts.respond(from, bus);
  }
  #take(record: Stored): void {
    const { incarnation, loopback, peers, dropped } = this.parts;
    const { to, from = '', bus = '', post } = record.headers;
    if (to !== incarnation) return; // for another instance that uses or used this partition
    if (post === 'echo') return loopback.returned(bus, record);
    if (this.#isClosed) return;
    if (post === 'bye') return peers.left(from);
    if (post === 'here' || post === 'ask') return;
    if (!peers.heard(from)) return dropped('packet', `from '${from.slice(0, 80)}', which is not an address`);
    this.#deliver({ line: bus, body: record.value ?? nothing }, from);
  }
  #deliver(packet: Packet, from: string): void {
    try {
      this.#receiver?.packet(packet, from);
    } catch (error) {
      this.parts.dropped('packet', `its receiver threw: ${errorMessage(error)}`);
    }
  }
}
