/** Messages of one key in their order, and what the lanes of one partition have in common. */
import type { Limiter } from '../../delivery/limiter';
import type { Item } from '../message';
import type { EntryLimits } from '../types';
import { Fifo } from './fifo';

/** The lanes of a queue, as its scheduler uses them. */
export interface Lanes<T extends Item> {
  /** Adds a message at the end of its lane. A lane is held while its first message has an entry without limits. */
  add(item: T): void;
  /** Returns a message that can start now. It counts as running until `done` or `again`. */
  next(nowMs: number): T | undefined;
  /** Ends a settled message, so that its lane continues. */
  done(item: T): void;
  /** Retries a message at `dueMs`, first in its lane. Until then the lane waits ('in-order') or continues ('aside'). */
  again(item: T, dueMs: number, how: 'in-order' | 'aside'): void;
  /** Returns the time until `next` can return a message without any other event, in ms. Undefined means never. */
  wakeMs(nowMs: number): number | undefined;
  /** Offers messages again that `may` refused: the one at `offset` alone, or all of the partition. */
  offer(partition: number, offset?: number): void;
  /** Forgets messages that do not run. Running ones still count until they are done. */
  drop(partition: number): void;
  setLimits(entry: string, limits: EntryLimits): void;
  /** True when more messages could run. */
  readonly idle: boolean;
  /**
   * Returns true when more messages could run, but none of the partition can start. Messages of paused entries do not
   * count.
   */
  hungry(partition: number): boolean;
  readonly waiting: number;
  readonly inBackoff: number;
  /** Returns the messages that wait for another attempt, in no order. */
  later(): Iterable<T>;
  /** Returns the number of messages of an entry that run. */
  running(entry: string): number;
  /** Yields the messages that do not run, those of a lane in their order. */
  all(): Iterable<Waiting<T>>;
  /**
   * Takes a message that does not run, whatever the limits and the order of its lane are. It counts as running until
   * `done`. Returns false when `may` refuses it, or when it is not here.
   */
  lift(item: T, nowMs: number): boolean;
}
/** A message that does not run. */
export interface Waiting<T> {
  readonly item: T;
  /** Time of its next attempt, by the monotonic clock. Null if it waits for its turn. */
  readonly dueMs: number | null;
  /** True when later messages of its key wait for it. */
  readonly holds: boolean;
}

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
  /** Removes a message from any place of the lane. Returns false when the lane does not have it. */
  remove(item: T): boolean {
    if (this.first === item) return this.shift() === item;
    const before = this.#rest?.size ?? 0;
    this.#rest?.remove((other) => other === item);
    return (this.#rest?.size ?? 0) < before;
  }
  *items(): Generator<T> {
    if (this.first) yield this.first;
    if (this.#rest) yield* this.#rest;
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
  /** Lanes whose first message has an unknown entry. Those without a key are only here. */
  readonly held: Set<Lane<T>>;
  waiting: number;
  /** Number of offered lanes, by the number of their turn. */
  readonly offered: number[];
  open: boolean;
}
/** Lanes whose first message is of one entry, in the order in which they were offered. */
export interface Turn<T> {
  readonly number: number;
  readonly limiter: Limiter;
  readonly offered: Fifo<Lane<T>>;
}
