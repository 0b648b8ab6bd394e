/** Bounds what waits in memory, by count and by bytes. Every buffer of busbar counts its content with this. */
import { BusError } from './errors';
import { deferred, type Deferred } from './lifecycle';

export interface Bounds {
  readonly count: number;
  readonly bytes: number;
}

/** Counts what a buffer holds against its bounds, and against those of the whole that it is a part of. */
export class Capacity {
  count = 0;
  bytes = 0;
  #waiters: { readonly share: number; readonly reached: Deferred<void> }[] = [];

  /** A part that holds less than `reservedBytes` has room also when the whole is full. */
  constructor(
    readonly max: Bounds,
    private readonly whole?: Capacity,
    private readonly reservedBytes = 0,
  ) {}

  /**
   * Whether so much more has room within `share` of the bounds. What is larger than they are has room when nothing else
   * is held: a single message is bounded elsewhere, and waiting would not help it.
   */
  fits(bytes: number, count = 1, share = 1): boolean {
    return this.#lacking(bytes, count, share) === undefined;
  }
  /** The one that has no room: this one, or the whole. */
  #lacking(bytes: number, count: number, share = 1): Capacity | undefined {
    const { max, whole } = this;
    const isOver = this.count + count > max.count * share || this.bytes + bytes > max.bytes * share;
    if (isOver && this.count > 0) return this;
    return this.bytes < this.reservedBytes ? undefined : whole && whole.#lacking(bytes, count);
  }
  /** Bytes that have room now, here and in the whole. */
  get freeBytes(): number {
    const inWhole = this.whole ? Math.max(this.whole.freeBytes, this.reservedBytes - this.bytes) : Infinity;
    return Math.max(0, Math.min(this.max.bytes - this.bytes, inWhole));
  }
  /** Does not check the bounds: see {@link fits}. */
  add(bytes: number, count = 1): void {
    this.count += count;
    this.bytes += bytes;
    this.whole?.add(bytes, count);
  }
  remove(bytes: number, count = 1): void {
    this.count -= count;
    this.bytes -= bytes;
    this.whole?.remove(bytes, count);
    if (this.#waiters.length > 0) this.#release();
  }

  /** Whether at most this share of both bounds is used, from 0 to 1. */
  isBelow(share: number): boolean {
    return this.count <= this.max.count * share && this.bytes <= this.max.bytes * share;
  }
  /** Resolves when {@link isBelow} holds: a buffer that was full is filled again only when it has some room. */
  below(share: number): Promise<void> {
    if (this.isBelow(share)) return Promise.resolve();
    const reached = deferred<void>();
    this.#waiters.push({ share, reached });
    return reached.promise;
  }
  #release(): void {
    const waiters = this.#waiters;
    this.#waiters = waiters.filter(({ share }) => !this.isBelow(share));
    for (const { share, reached } of waiters) if (this.isBelow(share)) reached.resolve();
  }

  /** `3 of 100 packets, 2000 of 67108864 bytes`, for error texts. */
  describe(noun: string): string {
    const { count, bytes, max } = this;
    return `${count} of ${max.count} ${noun}, ${bytes} of ${max.bytes} bytes`;
  }
  /** The error for `bytes` more, which do not fit. `where` starts its text and names the buffer. */
  overloaded(where: string, noun: string, retryAfterMs: number, bytes = 0, count = 1): BusError<'Overloaded'> {
    const lacking = this.#lacking(bytes, count) ?? this;
    const held = `${lacking.describe(noun)}${lacking === this ? '' : ' in all'}`;
    return new BusError('Overloaded', `${where}: the queue has no room for more (${held})`, {
      retryAfterMs,
      waiting: lacking.count,
      limit: lacking.max.count,
      bytes: lacking.bytes,
      limitBytes: lacking.max.bytes,
    });
  }
}

/** An item's place in a {@link BoundedQueue}. */
export interface Place<T> {
  readonly item: T;
  readonly bytes: number;
}
class Node<T> implements Place<T> {
  before: Node<T> | undefined;
  after: Node<T> | undefined;
  constructor(
    readonly item: T,
    readonly bytes: number,
    public queue: BoundedQueue<T> | undefined,
  ) {}
}

/**
 * First in, first out, within bounds. Each operation takes constant time, the removal from the middle too. A `Set` does
 * not offer that: to find its first element it passes over all that were deleted before it.
 */
export class BoundedQueue<T> {
  readonly capacity: Capacity;
  #first: Node<T> | undefined;
  #last: Node<T> | undefined;

  constructor(max: Bounds, whole?: Capacity, reservedBytes?: number) {
    this.capacity = new Capacity(max, whole, reservedBytes);
  }

  get size(): number {
    return this.capacity.count;
  }
  get first(): T | undefined {
    return this.#first?.item;
  }

  /** Returns undefined when there is no room. */
  push(item: T, bytes: number): Place<T> | undefined {
    if (!this.capacity.fits(bytes)) return undefined;
    const node = new Node(item, bytes, this);
    node.before = this.#last;
    if (this.#last) this.#last.after = node;
    else this.#first = node;
    this.#last = node;
    this.capacity.add(bytes);
    return node;
  }
  shift(): T | undefined {
    const node = this.#first;
    if (node) this.remove(node);
    return node?.item;
  }
  /** Returns false when the item has left the queue before. */
  remove(place: Place<unknown>): boolean {
    if (!(place instanceof Node) || place.queue !== this) return false;
    const { before, after }: Node<T> = place;
    if (before) before.after = after;
    else this.#first = after;
    if (after) after.before = before;
    else this.#last = before;
    place.queue = undefined;
    this.capacity.remove(place.bytes);
    return true;
  }
  items(): T[] {
    const items: T[] = [];
    for (let node = this.#first; node; node = node.after) items.push(node.item);
    return items;
  }
}

/**
 * Remembers what was added last: all of the newest `max / 2`, at most `max`. Forgetting takes constant time, for the
 * reason given at {@link BoundedQueue}.
 */
export class RecentSet<T> {
  #newer = new Set<T>();
  #older = new Set<T>();

  constructor(private readonly max: number) {}

  add(item: T): void {
    if (this.#newer.size >= this.max / 2) {
      this.#older = this.#newer;
      this.#newer = new Set();
    }
    this.#newer.add(item);
  }
  has(item: T): boolean {
    return this.#newer.has(item) || this.#older.has(item);
  }
  delete(item: T): void {
    this.#newer.delete(item);
    this.#older.delete(item);
  }
}
