/**
 * Sends broadcasts over sockets. A broadcast resolves when the sockets of all receivers have accepted it. Receivers
 * that read are waited for. The file is long because each receiver keeps the books of the broadcasts that wait for it.
 */
import { every, type Clock, type Timer } from '../../base/clock';
import { BoundedQueue, Capacity } from '../../base/bounded';
import { isBusError } from '../../base/errors';
import type { Notices } from '../../base/notices';

/** A receiver of broadcasts. */
export interface Destination {
  readonly address: string;
  readonly name: string;
}
/** One connection to a receiver. */
export interface Outlet {
  /** Bytes that the kernel has not accepted yet. */
  readonly queuedBytes: number;
  /** Frames that were queued in it so far, and the number of them that the kernel has accepted. */
  readonly framesPut: number;
  readonly framesTaken: number;
}
export interface FanoutParts<O extends Outlet> {
  readonly clock: Clock;
  readonly notices: Notices;
  /** Returns the connection to an address, and connects if there is none. Throws Unreachable. */
  readonly outletTo: (address: string) => O;
  /** Queues a packet. All packets of one turn are sent together at its end. Throws Overloaded. */
  readonly put: (outlet: O, line: string, body: Uint8Array) => void;
}

/**
 * Broadcasts that wait for one receiver, besides those in its connection. While it reads, more are rejected as
 * Overloaded. While it does not, more are dropped with a notice.
 */
const waitingMax = { count: 100_000, bytes: 64 * 1024 * 1024 };
/**
 * Broadcasts that wait for all receivers together. Receivers that do not read can use half of it, so that they do not
 * block the ones that do.
 */
const allWaitingMax = { count: 1_000_000, bytes: 256 * 1024 * 1024 };
const stuckShare = 0.5;
/** Limits the broadcasts in a connection at a time, so that requests and replies do not wait behind all of them. */
const windowBytes = 512 * 1024;
/**
 * A receiver whose socket accepted nothing for this long is not waited for, until it accepts data again. The time is
 * counted in checks. A sender that was itself stopped has then looked at its sockets in between.
 */
const stuckAfterMs = 1_000;
const checkIntervalMs = 250;
const stuckAfterChecks = stuckAfterMs / checkIntervalMs + 1;
const retryAfterMs = 100;

/** One broadcast on its way to several receivers. */
interface Delivery {
  readonly line: string;
  /** The caller's bytes, or a copy of them once the delivery must outlast the call. */
  body: Uint8Array;
  isCopy: boolean;
  /** Number of receivers that have not accepted it yet. */
  left: number;
  handedOver: number;
  done(handedOver: number): void;
}
/** One delivery to one receiver. */
interface Part {
  readonly delivery: Delivery;
  isOver: boolean;
}
interface Written<O> {
  readonly part: Part;
  readonly outlet: O;
  /** The kernel has accepted this part once it has accepted this number of frames. */
  readonly mark: number;
}

export class Fanout<O extends Outlet> {
  readonly #receivers = new Map<string, Receiver<O>>();
  /** Receivers that have something to read, and are not known to be stuck. */
  readonly #awaited = new Set<Receiver<O>>();
  readonly #all = new Capacity(allWaitingMax);
  #timer: Timer | undefined;

  constructor(private readonly parts: FanoutParts<O>) {}

  /**
   * Resolves to the number of receivers that it was handed over to. It resolves when the kernel has accepted it for
   * each of them, or a receiver accepted nothing for a second. For such a receiver it is kept within bounds. Data that
   * the kernel has accepted arrives even if this process dies. Throws Overloaded, and sends nothing, when too much
   * waits for a receiver that reads.
   */
  send(to: readonly Destination[], line: string, body: Uint8Array): Promise<number> {
    const receivers = to.map((one) => this.#receiverOf(one));
    this.#mustHaveRoom(receivers, body.length);
    return new Promise((done) => {
      const delivery = { line, body, isCopy: false, left: receivers.length + 1, handedOver: 0, done };
      for (const receiver of receivers) {
        receiver.take({ delivery, isOver: false });
        // Nothing waits for it: it is dead, or the kernel accepted the frame immediately.
        if (receiver.isIdle) this.#receivers.delete(receiver.to.address);
        this.#watch(receiver);
      }
      leave(delivery, false);
    });
  }
  /**
   * Throws Overloaded if a receiver that reads has no room, or if the shared limit has none for all of them together.
   * A broadcast counts once for each receiver, so room for one does not prove room for the next. An idle receiver is
   * not counted, since its part goes directly into the connection. If that is full of other packets, the part waits
   * beyond the limit.
   */
  #mustHaveRoom(receivers: readonly Receiver<O>[], bytes: number): void {
    for (const receiver of receivers) receiver.mustHaveRoom(bytes);
    const count = receivers.filter(({ isAwaited }) => isAwaited).length;
    if (count === 0 || this.#all.fits(bytes * count, count)) return;
    throw this.#all.overloaded(`broadcasts to ${count} instances`, 'packets', retryAfterMs, bytes * count, count);
  }
  #watch(receiver: Receiver<O>): void {
    if (!receiver.isAwaited) return;
    this.#awaited.add(receiver);
    this.#timer ??= every(this.parts.clock, checkIntervalMs, () => this.#check());
  }
  #receiverOf(to: Destination): Receiver<O> {
    const known = this.#receivers.get(to.address);
    if (known) return known;
    const made = new Receiver(to, this.parts, this.#all);
    this.#receivers.set(to.address, made);
    return made;
  }

  /** Handles that the kernel has accepted some of the data that was put into this outlet. */
  taken(address: string, outlet: O): void {
    const receiver = this.#receivers.get(address);
    if (!receiver) return;
    receiver.taken(outlet);
    this.#watch(receiver);
  }
  /** Handles the end of an outlet. Data in it that the kernel has not accepted is lost. */
  ended(address: string, outlet: O): void {
    this.#receivers.get(address)?.ended(outlet);
  }
  /** Handles the end of all outlets to a receiver. For a dead one no loss is reported. */
  receiverLeft(address: string, isDead: boolean): void {
    this.#receivers.get(address)?.close(isDead ? undefined : 'its connection ended');
    this.#receivers.delete(address);
  }
  /** Puts every waiting broadcast into the connections, which send it before they end. */
  flush(): void {
    for (const receiver of this.#receivers.values()) receiver.pump(Infinity);
  }
  /** Stops sending. Each broadcast that a receiver has not accepted is dropped with a notice. */
  close(): void {
    this.#timer?.cancel();
    for (const receiver of this.#receivers.values()) receiver.close('this bus was closed');
    this.#receivers.clear();
  }

  #check(): void {
    for (const receiver of this.#awaited) {
      receiver.check();
      if (!receiver.isAwaited) this.#awaited.delete(receiver);
    }
    if (this.#awaited.size > 0) return;
    this.#timer?.cancel();
    this.#timer = undefined;
  }
}

/** State of one receiver while broadcasts are on their way to it. */
class Receiver<O extends Outlet> {
  /** Parts that are not in a connection yet. */
  readonly #waiting: BoundedQueue<Part>;
  /** Parts in a connection that the kernel has not accepted. */
  #written: Written<O>[] = [];
  /** Parts that were in a connection that has ended. */
  #lost: Part[] = [];
  /** Checks since the kernel last accepted something. */
  #checks = 0;
  #isPumping = false;

  constructor(
    readonly to: Destination,
    private readonly parts: FanoutParts<O>,
    private readonly all: Capacity,
  ) {
    this.#waiting = new BoundedQueue(waitingMax, all);
  }

  get isIdle(): boolean {
    return this.#waiting.size + this.#written.length + this.#lost.length === 0;
  }
  get isAwaited(): boolean {
    return !this.isIdle && !this.#isStuck;
  }
  get #isStuck(): boolean {
    return this.#checks >= stuckAfterChecks;
  }

  /** Throws Overloaded if the receiver reads but has no room. */
  mustHaveRoom(bytes: number): void {
    const { capacity } = this.#waiting;
    if (this.#isStuck || capacity.fits(bytes)) return;
    throw capacity.overloaded(`broadcasts to ${this.to.name}`, 'packets', retryAfterMs, bytes);
  }

  take(part: Part): void {
    if (this.isIdle) this.#checks = 0;
    const isStuck = this.#isStuck;
    if ((this.#waiting.size > 0 || !this.#write(part, windowBytes)) && !this.#keep(part, isStuck))
      return this.#drop(part, this.#whyFull());
    if (isStuck) end(part, true);
  }
  #whyFull(): string {
    const isOwn = this.all.isBelow(stuckShare);
    const held = isOwn
      ? this.#waiting.capacity.describe('packets')
      : `${this.all.describe('packets')} in all, half of which is reserved for receivers that read`;
    return `it has read nothing for ${stuckAfterMs} ms or longer, and its queue has no room for more (${held})`;
  }
  #keep(part: Part, isStuck: boolean): boolean {
    const { delivery } = part;
    const { length } = delivery.body;
    if (isStuck) {
      if (!this.all.isBelow(stuckShare) || !this.#waiting.push(part, length)) return false;
    } else this.#waiting.add(part, length); // checked by `#mustHaveRoom` for all receivers together
    if (delivery.isCopy) return true;
    delivery.body = Uint8Array.from(delivery.body);
    delivery.isCopy = true;
    return true;
  }
  /** Returns false if the part has to wait. */
  #write(part: Part, untilBytes: number): boolean {
    const { outletTo, put } = this.parts;
    try {
      const outlet = outletTo(this.to.address);
      if (outlet.queuedBytes >= untilBytes) return false;
      // Added before the write, since the kernel can accept it immediately. That is reported before `put` returns.
      this.#written.push({ part, outlet, mark: outlet.framesPut + 1 });
      try {
        put(outlet, part.delivery.line, part.delivery.body);
      } catch (error) {
        this.#written.pop();
        throw error;
      }
      return true;
    } catch (error) {
      if (isBusError(error, 'Overloaded')) return false;
      if (!isBusError(error, 'Unreachable')) throw error;
      end(part, false); // the receiver is dead, so nothing is lost
      return true;
    }
  }
  pump(untilBytes: number): void {
    if (this.#isPumping) return; // the kernel accepted the part that is being written; the outer loop continues
    this.#isPumping = true;
    for (let part = this.#waiting.first; part; part = this.#waiting.first) {
      if (!this.#write(part, untilBytes)) break;
      this.#waiting.shift();
    }
    this.#isPumping = false;
  }

  taken(outlet: O): void {
    this.#checks = 0;
    let count = 0;
    for (const one of this.#written) {
      if (one.outlet !== outlet || one.mark > outlet.framesTaken) break;
      end(one.part, true);
      count++;
    }
    if (count > 0) this.#written = this.#written.slice(count);
    this.pump(windowBytes);
  }
  ended(outlet: O): void {
    for (const one of this.#written) if (one.outlet === outlet) this.#lost.push(one.part);
    this.#written = this.#written.filter((one) => one.outlet !== outlet);
  }
  /**
   * Counts a check. The parts of a stuck receiver are kept and sent when it reads again, but their broadcasts resolve
   * now.
   */
  check(): void {
    this.#checks++;
    if (!this.#isStuck) return;
    for (const part of this.#parts()) end(part, true);
  }
  #parts(): readonly Part[] {
    return [...this.#lost, ...this.#written.map(({ part }) => part), ...this.#waiting.items()];
  }
  /** Drops every part. Without a reason the receiver is dead, and no loss is reported. */
  close(reason?: string): void {
    const lost = this.#parts();
    [this.#lost, this.#written] = [[], []];
    while (this.#waiting.shift());
    for (const part of lost) {
      if (reason === undefined) end(part, false);
      else this.#drop(part, reason);
    }
  }

  #drop(part: Part, reason: string): void {
    this.parts.notices.emit({ type: 'dropped', what: 'broadcast', reason: `to ${this.to.name}: ${reason}` });
    end(part, false);
  }
}

function end(part: Part, handedOver: boolean): void {
  if (part.isOver) return;
  part.isOver = true;
  leave(part.delivery, handedOver);
}
function leave(delivery: Delivery, handedOver: boolean): void {
  delivery.left--;
  if (handedOver) delivery.handedOver++;
  if (delivery.left === 0) delivery.done(delivery.handedOver);
}
