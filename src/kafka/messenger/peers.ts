/** Whom a post had to do with, and who of them is gone: told when nothing that they sent can still be on its way. */
import { sleep, type Clock } from '../../base/clock';
import { BusError } from '../../base/errors';

/** Somebody that packets were exchanged with. */
export interface Peer {
  readonly partition: number;
  readonly incarnation: string;
}
interface PeersParts {
  readonly clock: Clock;
  /** Whether a packet to ourselves came back: all that others had sent before it has come then. */
  echo(): Promise<boolean>;
  /** Whether it answers when it is asked, soon; false only when `readAll` has resolved after the time for that. */
  answers(address: string, readAll: () => Promise<unknown>): Promise<boolean>;
  /** Called once for each that is gone. */
  gone(address: string): void;
}

/** Of peers, and of those that are known to be dead; the oldest is forgotten first. */
const addressesMax = 10_000;
/** From there on whoever is sent to is remembered anew, so that who is forgotten has not been used for long. */
const renewAt = addressesMax / 2;
/** Until the next try where nothing is certain. */
const againMs = 500;
/** Until who lives, but is not in the registry, is asked again: twice as long each time. */
const livesMs = { first: 1_000, most: 4_000 } as const;

interface Doubt {
  readonly over: AbortController;
  /** A packet of it has come since it was asked. */
  isHeard: boolean;
}

export class Peers {
  readonly #known = new Map<string, Peer>();
  /** Who vanished from the registry, or said goodbye; true when nothing of theirs can come any more. */
  readonly #dead = new Map<string, boolean>();
  /** Who of these are being asked, as what they sent may still lie in our inbox, or they only lost their session. */
  readonly #doubted = new Map<string, Doubt>();
  #closed = false;
  #echo: Promise<boolean> | undefined;

  constructor(private readonly parts: PeersParts) {}

  /** Whom to send to; throws Unreachable. */
  at(address: string): Peer {
    const known = this.#known.get(address);
    if (known) return this.#known.size > renewAt ? this.#renew(address, known) : known;
    const peer = peerAt(address);
    if (!peer || this.#dead.has(address))
      throw new BusError('Unreachable', `nobody is at ${address}`, { outcome: 'not-sent', waitedMs: 0 });
    return this.#meet(address, peer);
  }
  /** False where nothing was exchanged. */
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

  /** A packet came from there; false when that is no address. */
  heard(address: string): boolean {
    if (this.#known.has(address)) {
      const doubt = this.#doubted.size > 0 ? this.#doubted.get(address) : undefined;
      if (doubt) doubt.isHeard = true;
      return true;
    }
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
    this.#trust(address);
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
    this.#trust(address);
    if (this.#known.delete(address) && !this.#closed) this.parts.gone(address);
  }
  #bury(address: string, certain: boolean): void {
    if (this.#dead.size >= addressesMax) for (const oldest of this.#dead.keys()) if (this.#dead.delete(oldest)) break;
    this.#dead.set(address, certain);
  }

  #doubt(address: string): void {
    this.#bury(address, false);
    if (this.#doubted.has(address) || this.#closed) return;
    const doubt = { over: new AbortController(), isHeard: false };
    this.#doubted.set(address, doubt);
    void this.#confirm(address, doubt);
  }
  #trust(address: string): void {
    this.#doubted.get(address)?.over.abort();
    this.#doubted.delete(address);
  }
  /**
   * Dead is who does not answer, once an echo has come behind all that it sent. Without an echo nothing is certain, so
   * another one is tried. Who answers has only lost its session, and is asked again until it is in the registry. So has
   * one from which anything else arrives meanwhile: its answer can wait behind the requests that it has to read first.
   */
  async #confirm(address: string, doubt: Doubt): Promise<void> {
    const over = doubt.over.signal;
    for (let pauseMs: number = livesMs.first; !over.aborted;) {
      let certain = false;
      doubt.isHeard = false;
      const answers = await this.parts.answers(address, async () => (certain = await this.#echoOfAll()));
      const lives = answers || doubt.isHeard;
      if (over.aborted) return;
      if (certain && !lives) return this.left(address);
      await sleep(this.parts.clock, lives ? pauseMs : againMs, over);
      if (lives) pauseMs = Math.min(2 * pauseMs, livesMs.most);
    }
  }
  /** One for all who are doubted in one turn. */
  #echoOfAll(): Promise<boolean> {
    this.#echo ??= Promise.resolve().then(() => {
      this.#echo = undefined;
      return this.parts.echo();
    });
    return this.#echo;
  }

  /** Nobody is told gone any more. */
  close(): void {
    this.#closed = true;
    for (const address of this.#doubted.keys()) this.#trust(address);
  }
}

/** `<partition>:<incarnation>`; undefined for what is no address. */
export function peerAt(address: string): Peer | undefined {
  const [, partition, incarnation] = /^(\d{1,6}):([0-9a-f]{16})$/.exec(address) ?? [];
  return partition === undefined || incarnation === undefined
    ? undefined
    : { partition: Number(partition), incarnation };
}
