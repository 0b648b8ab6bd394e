/**
 * Buffers with limits on count and bytes. Every buffer of busbar counts its content here, so that none of them can
 * exhaust the memory.
 */
import { BusError } from './errors';
import { deferred, type Deferred } from './lifecycle';

/** Limits of a buffer: number of items, and bytes. */
export interface Bounds {
  readonly count: number;
  readonly bytes: number;
}

/** Counts the content of a buffer against its own limits and those of a `whole` that several buffers share. */
export class Capacity {
  count = 0;
  bytes = 0;
  #waiters: { readonly share: number; readonly reached: Deferred<void> }[] = [];

  /**
   * Creates an empty capacity. A buffer that holds less than `reservedBytes` accepts items even if the whole is full,
   * so that other buffers cannot starve it.
   */
  constructor(
    readonly max: Bounds,
    private readonly whole?: Capacity,
    private readonly reservedBytes = 0,
  ) {}

  /**
   * Returns whether `count` more items of `bytes` fit into `share` of the limits. An empty buffer accepts an item of
   * any size: the size of one message is limited elsewhere, and waiting would not make it fit.
   */
  fits(bytes: number, count = 1, share = 1): boolean {
    return this.#lacking(bytes, count, share) === undefined;
  }
  /** Returns the capacity that is exceeded, this one or the whole. Returns undefined if the items fit. */
  #lacking(bytes: number, count: number, share = 1): Capacity | undefined {
    const { max, whole } = this;
    const isOver = this.count + count > max.count * share || this.bytes + bytes > max.bytes * share;
    if (isOver && this.count > 0) return this;
    return this.bytes < this.reservedBytes ? undefined : whole && whole.#lacking(bytes, count);
  }
  /** Bytes that still fit here and in the whole. */
  get freeBytes(): number {
    const inWhole = this.whole ? Math.max(this.whole.freeBytes, this.reservedBytes - this.bytes) : Infinity;
    return Math.max(0, Math.min(this.max.bytes - this.bytes, inWhole));
  }
  /** Adds items without checking the limits; see {@link Capacity.fits}. */
  add(bytes: number, count = 1): void {
    this.count += count;
    this.bytes += bytes;
    this.whole?.add(bytes, count);
  }
  /** Removes items, and wakes the callers of {@link Capacity.below} that can continue. */
  remove(bytes: number, count = 1): void {
    this.count -= count;
    this.bytes -= bytes;
    this.whole?.remove(bytes, count);
    if (this.#waiters.length > 0) this.#release();
  }

  /** Returns whether at most `share` of both limits is used; `share` is from 0 to 1. */
  isBelow(share: number): boolean {
    return this.count <= this.max.count * share && this.bytes <= this.max.bytes * share;
  }
  /**
   * Resolves when {@link Capacity.isBelow} is true. A full buffer is thus refilled in larger steps, not after each
   * item.
   */
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

  /** Returns the usage for error texts: `3 of 100 packets, 2000 of 67108864 bytes`. */
  describe(noun: string): string {
    const { count, bytes, max } = this;
    return `${count} of ${max.count} ${noun}, ${bytes} of ${max.bytes} bytes`;
  }
  /** Returns the error for items that do not fit. `where` begins its text and names the buffer. */
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

/** Position of an item in a {@link BoundedQueue}. */
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
 * First-in, first-out queue with limits. Every operation takes constant time, including removal from the middle. A
 * `Set` is slower: to find its first element, it scans every element that was deleted before it.
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

  /** Appends an item. Returns undefined if it does not fit. */
  push(item: T, bytes: number): Place<T> | undefined {
    return this.capacity.fits(bytes) ? this.add(item, bytes) : undefined;
  }
  /** Appends an item without checking the limits; see {@link Capacity.fits}. */
  add(item: T, bytes: number): Place<T> {
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
  /** Removes the item from the queue. Returns false if it is no longer in the queue. */
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
 * Set of the items that were added last: at least the newest `max / 2`, at most `max`. Discarding old items takes
 * constant time, which a single `Set` does not offer (see {@link BoundedQueue}).
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
