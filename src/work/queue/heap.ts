/** Priority queue of items by a number, lowest first. Adding and removing cost the logarithm of its size. */

interface Node<T> {
  readonly at: number;
  /** Items of the same number leave in the order in which they were added. */
  readonly order: number;
  readonly item: T;
}

export class Heap<T> {
  /** Nodes of a binary heap: no node precedes its parent, which is at half its index. */
  #nodes: Node<T>[] = [];
  #added = 0;

  get size(): number {
    return this.#nodes.length;
  }
  /** Lowest number. Undefined when the heap is empty. */
  get lowest(): number | undefined {
    return this.#nodes[0]?.at;
  }

  /** Returns all items, in no order. */
  *items(): Generator<T> {
    for (const { item } of this.#nodes) yield item;
  }
  /** Yields the items with their numbers, in any order. */
  *[Symbol.iterator](): Generator<readonly [at: number, item: T]> {
    for (const { at, item } of this.#nodes) yield [at, item];
  }

  add(at: number, item: T): void {
    const node = { at, order: this.#added++, item };
    let index = this.#nodes.length;
    while (index > 0) {
      const above = (index - 1) >>> 1;
      const parent = this.#nodes[above];
      if (!parent || isBefore(parent, node)) break;
      this.#nodes[index] = parent;
      index = above;
    }
    this.#nodes[index] = node;
  }

  shift(): T | undefined {
    const [first] = this.#nodes;
    const last = this.#nodes.pop();
    if (last && this.#nodes.length > 0) this.#sink(last, 0);
    return first?.item;
  }

  /** Removes all items for which `isGone` returns true. It visits every item. */
  remove(isGone: (item: T) => boolean): void {
    this.#nodes = this.#nodes.filter(({ item }) => !isGone(item));
    for (let index = (this.#nodes.length >>> 1) - 1; index >= 0; index--) {
      const node = this.#nodes[index];
      if (node) this.#sink(node, index);
    }
  }

  /** Puts `node` at `index`, or below the nodes there that precede it. */
  #sink(node: Node<T>, index: number): void {
    for (let at = index; ;) {
      const left = this.#nodes[2 * at + 1];
      const right = this.#nodes[2 * at + 2];
      const first = left && right && isBefore(right, left) ? right : left;
      if (!first || isBefore(node, first)) {
        this.#nodes[at] = node;
        return;
      }
      this.#nodes[at] = first;
      at = first === left ? 2 * at + 1 : 2 * at + 2;
    }
  }
}

function isBefore<T>(one: Node<T>, other: Node<T>): boolean {
  return one.at < other.at || (one.at === other.at && one.order < other.order);
}
