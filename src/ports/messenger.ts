/** What reaches one instance, or all instances of a module, now or never. Makers: embedded, memory, kafka. */
import type { Closable } from '../base/lifecycle';

/** What is carried: the envelope as one line of text, and the body, byte for byte. */
export interface Packet {
  readonly line: string;
  readonly body: Uint8Array;
  /** Where it could not be handed to a broker for so long, it is of no use to anybody. Default 30,000 ms. */
  readonly withinMs?: number;
}

/** What the holder of a post does. None of these may throw. */
export interface Receiver {
  /**
   * A packet for this instance (or for its whole module). The body may be a view that is only valid until this returns.
   */
  packet(packet: Packet, from: string): void;
  /** `address` will never answer again: what was sent to it and not answered is lost or unknown. */
  gone(address: string): void;
}

export interface Post extends Closable {
  /** Where others reach this instance: announced in the registry, opaque to everybody else. */
  readonly address: string;
  /** Starts receiving; called once, before the address is announced. */
  receive(receiver: Receiver): void;
  /**
   * Hands a packet over; order per receiver is kept. Packets of one turn of the event loop may go out together at its
   * end. A synchronous return means it was queued. What happens to it later is told by `gone`. Throws Unreachable when
   * the address is known to be dead, Overloaded when its queue is full (nothing was sent then).
   */
  send(to: string, packet: Packet): void;
  /**
   * To every instance of `module` that was announced when this was called (this one too, if it is one), and had joined
   * before; order per sender and module is kept. Resolves when it arrives at each of them although this process dies,
   * with how many they are, where that is known. A receiver that reads is waited for. One that does not is waited for
   * during about a second; then what is sent to it waits here, within a bound, and what exceeds that is dropped with a
   * notice. Rejects with Overloaded, having sent nothing, when too much waits for a receiver that reads.
   */
  broadcast(module: string, packet: Packet): Promise<number | undefined>;
  /** From its resolution on broadcasts to `module` reach this instance, once it is announced; until closed. */
  join(module: string): Promise<Closable>;
  /**
   * Addresses of all who may know this instance: whoever leaves tells them first, where the registry shows a change
   * only after a while. Without it a change is seen at once. Resolves within 250 ms.
   */
  everybody?(): Promise<readonly string[]>;
  /**
   * Lines tell deadlines in the time of whoever carries them: this machine's, and so many ms more. It changes as clocks
   * drift. Without it all share one clock.
   */
  readonly skewMs?: number;
  /** The most that it may be, until that is known again: what comes in is not given more time than there is. */
  readonly skewMaxMs?: number;
  /** Why packets for `to` may still wait here, or answers not come in; undefined where all is on its way. */
  trouble?(to: string): string | undefined;
}
