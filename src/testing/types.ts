/** The types of a test bus, which runs without processes and without waiting. */
import type { BusCode, BusDetails } from '../base/errors';
import type { AnyContract, AnyEntry, Event, Input, Work } from '../contract/types';
import type { Baggage, Peer } from '../delivery/context';
import type { Handlers } from '../delivery/handler';
import type { Bus, Served } from '../bus/types';

/** A sent message. `body` is the sender's value before the schema transforms it. */
export interface SentMessage<M extends AnyEntry> {
  readonly id: string;
  readonly body: Input<M>;
  readonly from: Peer;
  readonly baggage: Readonly<Partial<Baggage>>;
}
/** A parked message. `body` is the sender's value, and `attempts` the number of attempts that were made. */
export interface ParkedMessage<M extends AnyEntry> {
  readonly id: string;
  readonly body: Input<M>;
  readonly reason: string;
  readonly attempts: number;
}
/** Options of {@link TestBus.set}. */
export interface SetOptions {
  /**
   * Writes the setting without a check, as another tool could. Each bus then refuses an invalid one itself.
   * @default false
   */
  readonly unchecked?: boolean;
}
/** A bus in memory and in virtual time, on a network of its own. It has all verbs of a bus, and those of a test. */
export interface TestBus extends Bus {
  /** Adds an instance of a module to this network. Each call adds a new one, also for the same module. */
  as(module: AnyContract | string): TestBus;
  /**
   * Serves another module with the given handlers. Its other entries fail with an error that names the missing handler.
   */
  stub<C extends AnyContract>(contract: C, handlers: Partial<Handlers<C>>): Promise<Served>;
  /**
   * Resolves when no handler is running and no message can be handled now. Messages in backoff wait for
   * `clock.advance`. It waits up to 5 s for real work in handlers, such as reading a file. It then rejects with an
   * error that names the running handlers.
   */
  settled(): Promise<void>;
  /** The virtual time, which deadlines, backoff and rates use. It changes only by `advance`. */
  readonly clock: {
    /** Returns the virtual time, in ms. */
    now(): number;
    /** Moves the time forward by `ms`. Resolves when the timers that are due have run. */
    advance(ms: number): Promise<void>;
  };
  /**
   * Changes a setting of this network as `busbar set` does, such as `set('photos.resize.paused', true)`; null removes
   * it. Resolves when every bus has applied it. Rejects with Config when `busbar set` would refuse the value or the
   * key. The key must name an entry or a named listener of this test.
   */
  set(key: string, value: string | number | boolean | null, options?: SetOptions): Promise<void>;
  /** Returns all messages of the entry sent on this network, oldest first. */
  sent<M extends AnyEntry>(entry: M): readonly SentMessage<M>[];
  /** Returns the messages of the entry that were parked, oldest first. */
  parked<M extends Work | Event>(entry: M): readonly ParkedMessage<M>[];
  /** Fails the next `times` (default 1) sends of the entry on this network with this error. They are not delivered. */
  fault<C extends BusCode>(entry: AnyEntry, code: C, details: BusDetails[C], times?: number): void;
}

export interface Recorded {
  readonly entry: string;
  readonly id: string;
  readonly from: string;
  readonly body: unknown;
  readonly baggage: Readonly<Record<string, unknown>>;
}
export interface RecordedParked {
  readonly entry: string;
  readonly id: string;
  readonly body: unknown;
  readonly reason: string;
  readonly attempts: number;
}
