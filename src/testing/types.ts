/** What a module's test sees: a bus without processes and without waiting. */
import type { BusCode, BusDetails } from '../base/errors';
import type { AnyContract, AnyEntry, Event, Input, Work } from '../contract/types';
import type { Baggage, Peer } from '../delivery/context';
import type { Handlers } from '../delivery/handler';
import type { Bus, Served } from '../bus/types';

/** A message as it was sent. `body` is what the sender passed, before transforms of the schema. */
export interface SentMessage<M extends AnyEntry> {
  readonly id: string;
  readonly body: Input<M>;
  readonly from: Peer;
  readonly baggage: Readonly<Partial<Baggage>>;
}
export interface ParkedMessage<M extends AnyEntry> {
  readonly id: string;
  readonly body: Input<M>;
  readonly reason: string;
  readonly attempts: number;
}
export interface SetOptions {
  /** Writes the setting as another tool would, without a check: each bus then refuses it by itself. Default false. */
  readonly unchecked?: boolean;
}
export interface TestBus extends Bus {
  /** An instance of another module (or another one of the same) on this network; a new one with each call. */
  as(module: AnyContract | string): TestBus;
  /** Stands in for another module: handlers for the entries given; the others fail and say that the stub has none. */
  stub<C extends AnyContract>(contract: C, handlers: Partial<Handlers<C>>): Promise<Served>;
  /**
   * Resolves when no handler runs and nothing waits that may run now; messages waiting for another attempt wait for
   * `clock.advance`. Real work inside handlers, such as reading a file, is waited for, 5 s at most; then it rejects
   * with an error that names the handlers that have not ended.
   */
  settled(): Promise<void>;
  /** Virtual time: deadlines, backoff and rates obey it. Stands still until `advance`. */
  readonly clock: { now(): number; advance(ms: number): Promise<void> };
  /**
   * Changes a setting of this network as `busbar set` does, such as `set('photos.resize.paused', true)`; null removes
   * it. Resolves when every bus has it. Rejects with Config, and changes nothing, for what `busbar set` refuses: a
   * value that no bus would apply, or a name that no contract or named listener of this test has.
   */
  set(key: string, value: string | number | boolean | null, options?: SetOptions): Promise<void>;
  /** All messages of the entry sent on this network, oldest first. */
  sent<M extends AnyEntry>(entry: M): readonly SentMessage<M>[];
  /** Those of them that were set aside. */
  parked<M extends Work | Event>(entry: M): readonly ParkedMessage<M>[];
  /** The next `times` (default 1) sends of the entry on this network end in this error, and reach nobody. */
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
