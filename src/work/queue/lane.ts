/** Messages of one key of a partition, in order, and the lanes of a partition. */
import { Fifo } from './fifo';

export class Lane<T> {
  /**
   * offered: waits for its turn · busy: a message runs or waits for its retry · refused: by `may` · held: unknown
   * entry.
   */
  state: 'empty' | 'offered' | 'busy' | 'refused' | 'held' = 'empty';
  /** First message, without a queue: most lanes never hold two messages at once. */
  first: T | undefined;
  #rest: Fifo<T> | undefined;

  constructor(
    readonly shelf: Shelf<T>,
    readonly key: string | null,
  ) {}

  push(item: T): void {
    if (this.first) (this.#rest ??= new Fifo()).push(item);
    else this.first = item;
  }
  pushFirst(item: T): void {
    if (this.first) (this.#rest ??= new Fifo()).pushFirst(this.first);
    this.first = item;
  }
  shift(): T | undefined {
    const { first } = this;
    this.first = this.#rest?.shift();
    return first;
  }
  clear(): void {
    this.first = undefined;
    this.#rest = undefined;
  }
}
/** Lanes of one partition. */
export interface Shelf<T> {
  readonly lanes: Map<string, Lane<T>>;
  readonly refused: Map<number, Lane<T>>;
  waiting: number;
  /** Number of offered lanes, by the number of their turn. */
  readonly offered: number[];
  open: boolean;
}
