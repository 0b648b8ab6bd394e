/** Whom a post had to do with, and who of them is gone: told when nothing that they sent can still be on its way. */
import { sleep, type Clock } from '../base/clock';
import { BusError } from '../base/errors';

/** Somebody that packets were exchanged with. */
export interface Peer {
  readonly partition: number;
  readonly incarnation: string;
}
interface PeersParts {
  readonly clock: Clock;
  /** Whether a packet to ourselves came back: all that others had sent before it has come then. */
  echo(): Promise<boolean>;
  /** Called once for each that is gone. */
  gone(address: string): void;
}

/** Of peers, and of those that are known to be dead; the oldest is forgotten first. */
const addressesMax = 10_000;
const againMs = 500;

export class Peers {
  readonly #known = new Map<string, Peer>();
  /** Who vanished from the registry, or said goodbye; true when nothing of theirs can come any more. */
  readonly #dead = new Map<string, boolean>();
  /** Of these what they sent may still lie in our inbox. */
  readonly #vanished = new Set<string>();
  readonly #closed = new AbortController();
  #confirming = false;

  constructor(private readonly parts: PeersParts) {}

  /** Whom to send to; throws Unreachable. */
  at(address: string): Peer {
    const known = this.#known.get(address);
    if (known) return known;
    const peer = peerAt(address);
    if (!peer || this.#dead.has(address)) throw new BusError('Unreachable', `nobody is at ${address}`, { waitedMs: 0 });
    return this.#meet(address, peer);
  }
  /** False where nothing was exchanged. */
  has(address: string): boolean {
    return this.#known.has(address);
  }
  partitionOf(address: string): number | undefined {
    return this.#known.get(address)?.partition;
  }
  all(): Iterable<readonly [string, Peer]> {
    return this.#known;
  }
  #meet(address: string, peer: Peer): Peer {
    if (this.#known.size >= addressesMax)
      for (const oldest of this.#known.keys()) if (this.#known.delete(oldest)) break;
    this.#known.set(address, peer);
    return peer;
  }

  /** A packet came from there; false when that is no address. */
  heard(address: string): boolean {
    if (this.#known.has(address)) return true;
    const peer = peerAt(address);
    if (!peer) return false;
    this.#meet(address, peer);
    const certain = this.#dead.get(address);
    if (certain === true) this.#dead.delete(address); // it only lost its place in the registry, and lives
    if (certain === false) this.#doubt(address); // sent before it vanished, or after that
    return true;
  }
  /** It is in the registry, perhaps again. */
  up(address: string): void {
    this.#dead.delete(address);
  }
  /** They are not in the registry any more. */
  lost(addresses: readonly string[]): void {
    for (const address of addresses) {
      if (this.#known.has(address)) this.#doubt(address);
      else if (!this.#dead.has(address)) this.#bury(address, false);
    }
  }
  /** It said goodbye, and sends nothing more. */
  left(address: string): void {
    this.#bury(address, true);
    if (this.#known.delete(address) && !this.#closed.signal.aborted) this.parts.gone(address);
  }
  #bury(address: string, certain: boolean): void {
    if (this.#dead.size >= addressesMax) for (const oldest of this.#dead.keys()) if (this.#dead.delete(oldest)) break;
    this.#dead.set(address, certain);
  }

  #doubt(address: string): void {
    this.#bury(address, false);
    this.#vanished.add(address);
    if (!this.#confirming) void this.#confirm();
  }
  /** An echo comes behind what they sent. Without one nothing is certain, so another one is tried. */
  async #confirm(): Promise<void> {
    this.#confirming = true;
    while (this.#vanished.size > 0 && !this.#closed.signal.aborted) {
      const lost = [...this.#vanished];
      this.#vanished.clear();
      const certain = await this.parts.echo();
      for (const address of lost) {
        const isUp = this.#dead.get(address) !== false;
        if (isUp || this.#vanished.has(address)) continue; // perhaps it was up and vanished again meanwhile
        if (certain) this.left(address);
        else this.#vanished.add(address);
      }
      if (!certain) await sleep(this.parts.clock, againMs, this.#closed.signal);
    }
    this.#confirming = false;
  }

  /** Nobody is told gone any more. */
  close(): void {
    this.#closed.abort();
  }
}

/** `<partition>:<incarnation>`; undefined for what is no address. */
export function peerAt(address: string): Peer | undefined {
  const [, partition, incarnation] = /^(\d{1,6}):([0-9a-f]{16})$/.exec(address) ?? [];
  return partition === undefined || incarnation === undefined
    ? undefined
    : { partition: Number(partition), incarnation };
}
