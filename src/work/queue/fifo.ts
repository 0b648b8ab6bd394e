/** First-in, first-out queue that does not move the waiting items when the first one leaves. */

const roomMin = 8;

export class Fifo<T> {
  #items: (T | undefined)[] = [];
  #head = 0;

  get size(): number {
    return this.#items.length - this.#head;
  }
  get first(): T | undefined {
    return this.#items[this.#head];
  }
  *[Symbol.iterator](): Generator<T> {
    for (const item of this.#items.slice(this.#head)) if (item !== undefined) yield item;
  }
  push(item: T): void {
    this.#items.push(item);
  }
  /** Adds an item at the front. */
  pushFirst(item: T): void {
    if (this.#head === 0) this.#makeRoom();
    this.#items[--this.#head] = item;
  }
  /** Removes all items for which `isGone` returns true. It visits every item. */
  remove(isGone: (item: T) => boolean): void {
    // The places before the head are empty.
    this.#items = this.#items.slice(this.#head).filter((item) => item !== undefined && !isGone(item));
    this.#head = 0;
  }
  /** Makes as much room in front as there are items, so that it rarely has to be repeated. */
  #makeRoom(): void {
    const room = Math.max(roomMin, this.#items.length);
    this.#items = [...Array.from<undefined>({ length: room }), ...this.#items];
    this.#head = room;
  }
  shift(): T | undefined {
    if (this.size === 0) return undefined;
    const item = this.#items[this.#head];
    this.#items[this.#head++] = undefined;
    if (this.#head === this.#items.length) {
      this.#items = [];
      this.#head = 0;
    } else if (this.#head >= 1_024 && this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head); // rare enough that the cost of each shift stays negligible
      this.#head = 0;
    }
    return item;
  }
}
