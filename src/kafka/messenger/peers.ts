/** Tracks instances that packets were exchanged with, and reports a departure when all packets of it have arrived. */
import { sleep, type Clock } from '../../base/clock';
import { BusError } from '../../base/errors';

/** Partition and incarnation of an instance that packets are exchanged with. */
export interface Peer {
  readonly partition: number;
  readonly incarnation: string;
}
interface PeersParts {
  readonly clock: Clock;
  /**
   * Resolves with true when a packet to this instance returned. All packets that were written before it have then
   * arrived.
   */
  echo(): Promise<boolean>;
  /**
   * Resolves with true if the instance responds to a probe. Resolves with false only when the time for a response has
   * passed, and `readAll` has resolved.
   */
  answers(address: string, readAll: () => Promise<unknown>): Promise<boolean>;
  /** Called once for each instance that has left. */
  gone(address: string): void;
}

/** Maximum number of peers, and of instances that have left. The oldest entry is removed first. */
const addressesMax = 10_000;
/** Number of peers above which each use makes a peer the newest, so that only unused peers are removed. */
const renewAt = addressesMax / 2;
/** Pause before the next probe after one that proved nothing. */
const retryMs = 500;
/** Pauses between probes of a running instance that is not in the registry. Each is twice the last, up to `most`. */
const recheckMs = { first: 1_000, most: 4_000 } as const;

interface Suspicion {
  readonly over: AbortController;
  /** True if a packet of it has arrived since the last probe. */
  hasSent: boolean;
}

export class Peers {
  readonly #known = new Map<string, Peer>();
  /** Instances that left the registry or sent a goodbye. The value is true if no more packets of it can arrive. */
  readonly #dead = new Map<string, boolean>();
  /**
   * Instances of these that are being probed. Their packets can still wait in the inbox, or only their session has
   * expired.
   */
  readonly #suspects = new Map<string, Suspicion>();
  #closed = false;
  #loopback: Promise<boolean> | undefined;

  constructor(private readonly parts: PeersParts) {}

  /** Returns the peer at an address. Throws Unreachable if it has left, or if the address is invalid. */
  at(address: string): Peer {
    const known = this.#known.get(address);
    if (known) return this.#known.size > renewAt ? this.#renew(address, known) : known;
    const peer = peerAt(address);
    if (!peer || this.#dead.has(address))
      throw new BusError('Unreachable', `no instance has the address ${address}`, { outcome: 'not-sent', waitedMs: 0 });
    return this.#meet(address, peer);
  }
  /** Returns true if packets were exchanged with the address. */
  has(address: string): boolean {
    return this.#known.has(address);
  }
  partitionOf(address: string): number | undefined {
    return this.#known.get(address)?.partition;
  }
  all(): Iterable<string> {
    return this.#known.keys();
  }
  #meet(address: string, peer: Peer): Peer {
    if (this.#known.size >= addressesMax)
      for (const oldest of this.#known.keys()) if (this.#known.delete(oldest)) break;
    this.#known.set(address, peer);
    return peer;
  }

  #renew(address: string, peer: Peer): Peer {
    this.#known.delete(address);
    this.#known.set(address, peer);
    return peer;
  }

  /** Records a packet from an address. Returns false if the address is invalid. */
  heard(address: string): boolean {
    if (this.#known.has(address)) {
      const suspicion = this.#suspects.size > 0 ? this.#suspects.get(address) : undefined;
      if (suspicion) suspicion.hasSent = true;
      return true;
    }
    const peer = peerAt(address);
    if (!peer) return false;
    this.#meet(address, peer);
    const certain = this.#dead.get(address);
    if (certain === true) this.#dead.delete(address); // it is running, and was only missing in the registry
    if (certain === false) this.#suspect(address); // the packet was sent before or after the instance left the registry
    return true;
  }
  /** Records that the instance is in the registry, possibly again. */
  up(address: string): void {
    this.#dead.delete(address);
    this.#trust(address);
  }
  /** Records that instances are no longer in the registry. */
  lost(addresses: readonly string[]): void {
    for (const address of addresses) {
      if (this.#known.has(address)) this.#suspect(address);
      else if (!this.#dead.has(address)) this.#recordDead(address, false);
    }
  }
  /** Records that an instance has left and sends no more packets. */
  left(address: string): void {
    this.#recordDead(address, true);
    this.#trust(address);
    if (this.#known.delete(address) && !this.#closed) this.parts.gone(address);
  }
  #recordDead(address: string, certain: boolean): void {
    if (this.#dead.size >= addressesMax) for (const oldest of this.#dead.keys()) if (this.#dead.delete(oldest)) break;
    this.#dead.set(address, certain);
  }

  #suspect(address: string): void {
    this.#recordDead(address, false);
    if (this.#suspects.has(address) || this.#closed) return;
    const suspicion = { over: new AbortController(), hasSent: false };
    this.#suspects.set(address, suspicion);
    void this.#confirm(address, suspicion);
  }
  #trust(address: string): void {
    this.#suspects.get(address)?.over.abort();
    this.#suspects.delete(address);
  }
  /**
   * Probes an instance until it has left, or is in the registry again. It has left if it does not respond, and a packet
   * that was written after all of its packets has returned. If that packet does not return, the probe proves nothing
   * and is repeated.
   *
   * An instance that responds has only lost its session. The same holds if another packet of it arrives meanwhile: its
   * response can wait behind the requests that it must read first.
   */
  async #confirm(address: string, suspicion: Suspicion): Promise<void> {
    const over = suspicion.over.signal;
    for (let pauseMs: number = recheckMs.first; !over.aborted;) {
      let certain = false;
      suspicion.hasSent = false;
      const answers = await this.parts.answers(address, async () => (certain = await this.#loopbackOfAll()));
      const isRunning = answers || suspicion.hasSent;
      if (over.aborted) return;
      if (certain && !isRunning) return this.left(address);
      await sleep(this.parts.clock, isRunning ? pauseMs : retryMs, over);
      if (isRunning) pauseMs = Math.min(2 * pauseMs, recheckMs.most);
    }
  }
  /** Sends one packet for all instances that are probed in the same turn. */
  #loopbackOfAll(): Promise<boolean> {
    this.#loopback ??= Promise.resolve().then(() => {
      this.#loopback = undefined;
      return this.parts.echo();
    });
    return this.#loopback;
  }

  /** Ends all probes. No departure is reported after that. */
  close(): void {
    this.#closed = true;
    for (const address of this.#suspects.keys()) this.#trust(address);
  }
}

/** Returns the peer of an address in the form `<partition>:<incarnation>`. Returns undefined for any other text. */
export function peerAt(address: string): Peer | undefined {
  const [, partition, incarnation] = /^(\d{1,6}):([0-9a-f]{16})$/.exec(address) ?? [];
  return partition === undefined || incarnation === undefined
    ? undefined
    : { partition: Number(partition), incarnation };
}
