/** A request that has no answer yet. */
import type { Clock, Timer } from '../base/clock';
import type { BusError } from '../base/errors';
import type { Request } from '../contract/types';
import type { Scope } from '../delivery/context';
import type { Envelope } from '../format/envelope';
import type { PeerTarget } from './peers';

export interface AskOptions {
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  readonly key?: string;
  readonly to?: string;
  readonly absentMs?: number;
}

/** How far a request is known to have come. */
export type Reached = 'not-sent' | 'sent' | 'waiting' | 'running' | 'answered';

export class OpenCall {
  reached: Reached = 'not-sent';
  target: PeerTarget<OpenCall> | undefined;
  /** Addresses that refused it: it was not started there. */
  readonly refusedBy = new Set<string>();
  /** Why the last of them refused; once it may have been done somewhere, the error that says so. */
  refusal: BusError | undefined;
  /** An instance that it was sent to may have carried it out: it died with it, or its answer was lost. */
  mayBeDone = false;
  /** Of the last time it was sent: a probe asks for that one, and only its answer counts. */
  stamp: Envelope['stamp'];
  deadlineTimer: Timer | undefined;
  probedMs = 0;
  /** Its instance has answered, though the answer may not end it. */
  isAnswered = false;
  /** Its answer is here, and a schema that takes its time looks at it. */
  opening = false;
  settled = false;
  /** Set while it waits for a first instance. */
  stopWaiting: (() => void) | undefined;
  constructor(
    readonly id: string,
    readonly entry: Request,
    readonly body: Uint8Array,
    readonly options: AskOptions,
    readonly scope: Scope | undefined,
    readonly startedMs: number,
    /** When it began by the monotonic clock, which nobody sets. */
    readonly begunMs: number,
    readonly timeoutMs: number,
    readonly resolve: (value: unknown) => void,
    readonly reject: (error: unknown) => void,
  ) {}
  leftMs(clock: Clock): number {
    return this.begunMs + this.timeoutMs - clock.mono();
  }
}
