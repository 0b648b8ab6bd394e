/**
 * Port that sends packets to one live instance or to all live instances of a module. An instance that starts later
 * never receives them. Implementations: embedded, memory, kafka.
 */
import type { Closable } from '../base/lifecycle';

/** A packet: the envelope as one line of text, and the body, byte for byte. */
export interface Packet {
  readonly line: string;
  readonly body: Uint8Array;
  /**
   * Time for which handing the packet to a broker is retried, in ms. The packet is useless to its receiver after that.
   *
   * @default 30_000
   */
  readonly withinMs?: number;
}

/** Callbacks of the owner of a {@link Messenger}. They must not throw. */
export interface Receiver {
  /**
   * Handles a packet that was sent to this instance or to its module. `from` is the address of the sender. The body can
   * be a view that is valid only until this call returns.
   */
  packet(packet: Packet, from: string): void;
  /**
   * Is called when the instance at `address` has left for good. Packets sent to it without a response are lost, or
   * their outcome is unknown.
   */
  left(address: string): void;
}

/** Messenger of one instance: sends packets to addresses and modules, and receives its own. */
export interface Messenger extends Closable {
  /**
   * Address under which other instances reach this one. It is announced in the registry; only the port interprets it.
   */
  readonly address: string;
  /** Starts receiving. The owner calls it once, before it announces the address. */
  receive(receiver: Receiver): void;
  /**
   * Queues a packet for the instance at `to`. Packets to one receiver stay in order.
   *
   * A return means that the packet was queued, not that it arrived. Packets of one turn of the event loop can be sent
   * together at its end. {@link Receiver.left} reports a receiver that has left.
   *
   * Throws Unreachable when the instance at this address is known to have left, and Overloaded when its queue is full.
   * It has sent nothing then.
   */
  send(to: string, packet: Packet): void;
  /**
   * Sends a packet to every instance of `module` that had joined and was announced when this was called, this one
   * included.
   *
   * Resolves when the packet will arrive at each of them even if this process dies. The value is their number, if
   * known. A receiver that reads is waited for. A receiver that does not read is waited for about one second. After
   * that its packets wait here, up to a limit, and packets above the limit are dropped with a notice.
   *
   * Rejects with Overloaded, without having sent anything, when too many bytes wait for a receiver that reads.
   *
   * Order: packets of one sender to one module stay in order.
   */
  broadcast(module: string, packet: Packet): Promise<number | undefined>;
  /**
   * Starts receiving broadcasts to `module`. From its resolution on they reach this instance, once it is announced.
   * Closing the result ends that.
   */
  join(module: string): Promise<Closable>;
  /**
   * Returns the addresses of all instances that can know this one, so that an instance that leaves can notify them.
   * Exists only if the registry shows a change late. Resolves within 250 ms.
   */
  allAddresses?(): Promise<readonly string[]>;
  /**
   * Difference between the clock that packet deadlines refer to and this machine's, in ms: positive if that clock is
   * ahead. It changes as clocks drift. If undefined, all instances share one clock.
   */
  readonly skewMs?: number;
  /**
   * Largest possible value of `skewMs`, in ms, while the exact one is unknown. Deadlines of incoming packets are
   * converted with it, so that a handler never gets more time than its caller waits.
   */
  readonly skewMaxMs?: number;
  /**
   * Returns the reason why packets to `to` can be held up here, or why responses cannot be received. Returns undefined
   * if packets flow.
   */
  whyDelayed?(to: string): string | undefined;
}
