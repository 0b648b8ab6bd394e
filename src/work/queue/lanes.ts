/**
 * Chooses the message that starts next: one key in order, one at a time, and different keys concurrently, within
 * limits.
 */
import { createLimiter } from '../../delivery/limiter';
import { Fifo } from './fifo';
import { Heap } from './heap';
import { Lane, type Lanes, type Shelf, type Turn, type Waiting } from './lane';
import { unreadable, type Item } from '../message';
import type { EntryLimits } from '../types';

/** Creates the lanes. `may` is called right before a message starts. A refused message waits for `offer`. */
export function openLanes<T extends Item>(
  limits: ReadonlyMap<string, EntryLimits>,
  may: (item: T) => boolean,
): Lanes<T> {
  return new LaneTable(limits, may);
}

interface Due<T> {
  readonly item: T;
  /** Lane that the message holds, or was in. */
  readonly lane: Lane<T>;
  readonly holds: boolean;
}

class LaneTable<T extends Item> implements Lanes<T> {
  readonly #turns = new Map<string, Turn<T>>();
  readonly #order: Turn<T>[] = [];
  #nextTurn = 0;
  readonly #shelves = new Map<number, Shelf<T>>();
  /** Messages that wait for another attempt, by due time. */
  readonly #later = new Heap<Due<T>>();
  waiting = 0;

  constructor(
    limits: ReadonlyMap<string, EntryLimits>,
    private readonly may: (item: T) => boolean,
  ) {
    for (const [entry, limit] of limits) {
      const turn = { number: this.#order.length, limiter: createLimiter(limit), offered: new Fifo<Lane<T>>() };
      this.#turns.set(entry, turn);
      this.#order.push(turn);
    }
  }

  get inBackoff(): number {
    return this.#later.size;
  }

  *later(): Iterable<T> {
    for (const { item } of this.#later.items()) yield item;
  }
  running(entry: string): number {
    return this.#turns.get(entry)?.limiter.running ?? 0;
  }

  add(item: T): void {
    const lane = this.#laneOf(item);
    lane.push(item);
    this.#count(lane, 1);
    if (lane.state === 'empty') this.#offer(lane);
  }

  next(nowMs: number): T | undefined {
    this.#release(nowMs);
    for (let tried = 0; tried < this.#order.length; tried++) {
      const turn = this.#order[this.#nextTurn];
      this.#nextTurn = (this.#nextTurn + 1) % this.#order.length;
      const item = turn && this.#take(turn, nowMs);
      if (item) return item;
    }
    return undefined;
  }

  done(item: T): void {
    const lane = this.#end(item);
    if (lane) this.#free(lane);
  }

  again(item: T, dueMs: number, how: 'in-order' | 'aside'): void {
    const lane = this.#end(item);
    if (!lane) return;
    // A message without a key has its lane for itself, so no other message needs the lane.
    const holds = how === 'in-order' || lane.key === null;
    this.#later.add(dueMs, { item, lane, holds });
    if (!holds) this.#free(lane);
  }

  wakeMs(nowMs: number): number | undefined {
    let wakeMs = Math.max(0, (this.#later.lowest ?? Infinity) - nowMs);
    for (const { limiter, offered } of this.#order) {
      if (offered.size > 0 && limiter.running < limiter.concurrency) wakeMs = Math.min(wakeMs, limiter.delayMs(nowMs));
    }
    return wakeMs === Infinity ? undefined : wakeMs;
  }

  offer(partition: number, offset?: number): void {
    const refused = this.#shelves.get(partition)?.refused;
    if (!refused) return;
    const lanes = offset === undefined ? [...refused.values()] : [refused.get(offset)];
    if (offset === undefined) refused.clear();
    else refused.delete(offset);
    for (const lane of lanes) if (lane) this.#offer(lane);
  }

  drop(partition: number): void {
    const shelf = this.#shelves.get(partition);
    if (!shelf) return;
    shelf.open = false;
    this.#shelves.delete(partition);
    this.waiting -= shelf.waiting;
    // Removed here, since the turn of a paused or limited entry can fail to arrive. The lanes would then stay in
    // memory.
    const isOf = ({ shelf: other }: Lane<T>): boolean => other === shelf;
    for (const turn of this.#order) if (shelf.offered[turn.number]) turn.offered.remove(isOf);
    this.#later.remove(({ lane }) => isOf(lane));
    // A running handler keeps its lane, and thereby this shelf, in memory.
    for (const lane of shelf.lanes.values()) lane.clear();
    shelf.lanes.clear();
    shelf.refused.clear();
    shelf.held.clear();
  }

  *all(): Generator<Waiting<T>> {
    for (const [dueMs, { item, holds }] of this.#later) yield { item, dueMs, holds };
    for (const lane of this.#lanes()) for (const item of lane.items()) yield { item, dueMs: null, holds: true };
  }
  #lanes(): ReadonlySet<Lane<T>> {
    const lanes = new Set<Lane<T>>();
    for (const { offered } of this.#order) for (const lane of offered) lanes.add(lane);
    for (const { lanes: keyed, refused, held } of this.#shelves.values()) {
      for (const lane of [...keyed.values(), ...refused.values(), ...held]) lanes.add(lane);
    }
    return lanes;
  }

  lift(item: T, nowMs: number): boolean {
    if (!this.may(item)) return false;
    const lane = this.#liftDue(item) ?? this.#liftWaiting(item);
    if (!lane) return false;
    lane.state = 'busy';
    item.runsIn = lane;
    this.#turns.get(item.entry)?.limiter.started(nowMs);
    return true;
  }
  #liftDue(item: T): Lane<T> | undefined {
    let found: Due<T> | undefined;
    this.#later.remove((due) => {
      if (due.item === item) found = due;
      return due.item === item;
    });
    return found && (found.holds ? found.lane : new Lane<T>(found.lane.shelf, null));
  }
  #liftWaiting(item: T): Lane<T> | undefined {
    for (const lane of this.#lanes()) {
      const isNext = lane.first === item && lane.state !== 'busy';
      if (!lane.remove(item)) continue;
      this.#count(lane, -1);
      // Other messages of the lane run or are handled first, so this one ends in a lane of its own.
      if (!isNext) return new Lane<T>(lane.shelf, null);
      lane.shelf.refused.delete(item.offset);
      lane.shelf.held.delete(lane);
      for (const turn of this.#order) {
        const before = turn.offered.size;
        turn.offered.remove((other) => other === lane);
        countOffered(lane.shelf, turn, turn.offered.size - before);
      }
      return lane;
    }
    return undefined;
  }

  setLimits(entry: string, limits: EntryLimits): void {
    this.#turns.get(entry)?.limiter.change(limits);
  }

  get idle(): boolean {
    for (const [entry, { limiter }] of this.#turns) {
      if (entry !== unreadable && limiter.running < limiter.concurrency) return true;
    }
    return false;
  }

  hungry(partition: number): boolean {
    const offered = this.#shelves.get(partition)?.offered ?? [];
    for (const { number, limiter } of this.#order) if (offered[number] && limiter.concurrency > 0) return false;
    return this.idle;
  }

  #take(turn: Turn<T>, nowMs: number): T | undefined {
    while (turn.offered.size > 0 && turn.limiter.mayStart(nowMs)) {
      const lane = turn.offered.shift();
      const item = lane?.first;
      if (!lane || !item) continue;
      countOffered(lane.shelf, turn, -1);
      if (this.#turns.get(item.entry) !== turn)
        this.#offer(lane); // another message was put first since then
      else if (this.may(item)) return this.#start(turn, lane, nowMs);
      else {
        lane.state = 'refused';
        lane.shelf.refused.set(item.offset, lane);
      }
    }
    return undefined;
  }

  #start(turn: Turn<T>, lane: Lane<T>, nowMs: number): T | undefined {
    const item = lane.shift();
    if (!item) return undefined;
    lane.state = 'busy';
    this.#count(lane, -1);
    item.runsIn = lane;
    turn.limiter.started(nowMs);
    return item;
  }

  /** Ends the run of a message. Returns its lane, unless the partition was dropped meanwhile. */
  #end(item: T): Lane<T> | undefined {
    const lane = item.runsIn;
    if (!(lane instanceof Lane)) return undefined;
    item.runsIn = undefined;
    this.#turns.get(item.entry)?.limiter.ended();
    return lane.shelf.open ? lane : undefined;
  }

  #free(lane: Lane<T>): void {
    lane.state = 'empty';
    if (lane.first) this.#offer(lane);
    else if (lane.key !== null) lane.shelf.lanes.delete(lane.key);
  }

  #offer(lane: Lane<T>): void {
    const turn = lane.first && this.#turns.get(lane.first.entry);
    lane.state = turn ? 'offered' : 'held';
    if (!turn) return void lane.shelf.held.add(lane);
    lane.shelf.held.delete(lane);
    countOffered(lane.shelf, turn, 1);
    turn.offered.push(lane);
  }

  /** Returns messages to their lanes when their backoff is over. */
  #release(nowMs: number): void {
    while ((this.#later.lowest ?? Infinity) <= nowMs) {
      const due = this.#later.shift();
      if (!due) return;
      if (due.holds) due.lane.state = 'empty';
      this.#putFirst(due.holds ? due.lane : this.#laneOf(due.item), due.item);
    }
  }

  #putFirst(lane: Lane<T>, item: T): void {
    const refused = lane.state === 'refused' && lane.first;
    if (refused) lane.shelf.refused.delete(refused.offset);
    lane.pushFirst(item);
    this.#count(lane, 1);
    if (lane.state !== 'offered' && lane.state !== 'busy') this.#offer(lane);
  }

  #laneOf(item: T): Lane<T> {
    let shelf = this.#shelves.get(item.partition);
    if (!shelf) {
      const offered = this.#order.map(() => 0);
      shelf = { lanes: new Map(), refused: new Map(), held: new Set(), waiting: 0, offered, open: true };
      this.#shelves.set(item.partition, shelf);
    }
    const found = item.lane === null ? undefined : shelf.lanes.get(item.lane);
    if (found) return found;
    const lane = new Lane<T>(shelf, item.lane);
    if (item.lane !== null) shelf.lanes.set(item.lane, lane);
    return lane;
  }

  #count(lane: Lane<T>, change: number): void {
    lane.shelf.waiting += change;
    this.waiting += change;
  }
}

function countOffered<T>({ offered }: Shelf<T>, { number }: Turn<T>, change: number): void {
  offered[number] = (offered[number] ?? 0) + change;
}
