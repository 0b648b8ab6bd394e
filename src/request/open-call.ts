/** State of a request that has no reply yet. */
import type { Clock, Timer } from '../base/clock';
import type { BusError } from '../base/errors';
import type { Request } from '../contract/types';
import type { Scope } from '../delivery/context';
import type { Envelope } from '../format/envelope-fields';
import type { PeerTarget } from './peers';

export interface AskOptions {
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  readonly key?: string;
  readonly to?: string;
  readonly waitForInstanceMs?: number;
}

/** Last known state of a request at its responder. */
export type Reached = 'not-sent' | 'sent' | 'waiting' | 'running' | 'answered';

export class OpenCall {
  reached: Reached = 'not-sent';
  target: PeerTarget<OpenCall> | undefined;
  /** Addresses that refused the request or could not complete it, so that it is not sent there again. */
  readonly refusedBy = new Set<string>();
  /**
   * Error of the last refusal. Once an instance can have handled the request, the error that reports this uncertainty
   * stays.
   */
  refusal: BusError | undefined;
  /**
   * True when an instance that received the request can have handled it: the instance died with it, or its reply was
   * lost.
   */
  mayBeDone = false;
  /** Stamp of the last send. A probe carries it, and only a state with the same stamp counts. */
  stamp: Envelope['stamp'];
  deadlineTimer: Timer | undefined;
  probedMs = 0;
  /** True when the instance has replied, even if the reply did not end the call. */
  isAnswered = false;
  /** True while an asynchronous schema checks the reply that arrived. */
  opening = false;
  settled = false;
  /** Set while the call waits for a first instance. Ends that wait. */
  stopWaiting: (() => void) | undefined;
  /** Set while the signal of the call can abort it. Ends that. */
  ignoreAbort: (() => void) | undefined;
  constructor(
    readonly id: string,
    readonly entry: Request,
    readonly body: Uint8Array,
    readonly options: AskOptions,
    readonly scope: Scope | undefined,
    readonly startedMs: number,
    /** Start by the monotonic clock, which does not change when the wall clock is set. */
    readonly begunMs: number,
    readonly timeoutMs: number,
    readonly resolve: (value: unknown) => void,
    readonly reject: (error: unknown) => void,
  ) {}
  leftMs(clock: Clock): number {
    return this.begunMs + this.timeoutMs - clock.mono();
  }
}
