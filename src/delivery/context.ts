/** Context of one handler call: sender, deadline, signal, and the scope that calls made inside the handler inherit. */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { Clock, Timer } from '../base/clock';
import { Failure, BusError } from '../base/errors';
import type { LogLevel, Notices } from '../base/notices';
import type { Request } from '../contract/types';
import type { Envelope } from '../format/envelope-fields';

/**
 * Values that travel with every message and with all messages that its handlers send. Declare the fields once: `declare
 * module 'busbar' { interface Baggage { tenant: string } }`.
 */
export interface Baggage {}

/** Identity of an instance, as other instances see it. */
export interface Peer {
  readonly module: string;
  /** `module#xxxx` */
  readonly instance: string;
}

/** Functions that emit log lines about a delivery as notices, with its entry and message id. */
export type ContextLog = {
  readonly [L in LogLevel]: (message: string, fields?: Readonly<Record<string, unknown>>) => void;
};

/** Second argument of each handler: identity, deadline and sender of the message. */
export interface Context {
  /** Id of the message. It is the same at every attempt and in every instance. */
  readonly id: string;
  /**
   * Number of this attempt, from 1. It can be too low or too high after a process died. An attempt that died with its
   * process can be missing from the count. An attempt that the log recorded as started counts, even if the process died
   * before the handler ran.
   */
  readonly attempt: number;
  /** Time in milliseconds since 1970 after which no caller waits for the result. Infinity when there is no deadline. */
  readonly deadline: number;
  /**
   * Aborts when the caller cancels or seems dead, when the deadline passes, or when the partition is lost or revoked.
   * It also aborts when this instance closes and no longer waits for the handler.
   */
  readonly signal: AbortSignal;
  readonly from: Peer;
  readonly baggage: Readonly<Partial<Baggage>>;
  /**
   * W3C trace context of the message, if any. Pass it to the tracer of calls that leave the bus. With a tracer of
   * OpenTelemetry it is that of the handler's span, which also is the active span.
   */
  readonly traceparent: string | undefined;
  readonly log: ContextLog;
  /** Sets a progress line for operators. It is kept in this instance and never sent. */
  readonly progress: (note: string) => void;
}
/** Type of `context.fail`: answers with a declared failure, and never returns. */
export type Fail<M extends Request> = <K extends keyof M['~types']['failures'] & string>(
  code: K,
  data: M['~types']['failures'][K]['given'],
) => never;
/** Context of a request. Its handler can answer with a failure. */
export interface RequestContext<M extends Request> extends Context {
  /** Answers with a failure that the contract declares. Never returns. */
  readonly fail: Fail<M>;
}
/** Context of a job, or of an event of a named listener. Its handler can park the message. */
export interface WorkContext extends Context {
  /** Parks the message now, with this reason, instead of retrying it. Never returns. */
  readonly park: (reason: string) => never;
}

/** Thrown by `context.park`. The code that settles the message detects it and parks the message. */
export class ParkSignal extends Error {
  override readonly name = 'ParkSignal';
}

/**
 * Values that calls inside a handler inherit. The scope closes when the delivery settles. Code that outlives the
 * delivery then inherits no stale deadline or baggage.
 */
export interface Scope {
  readonly id: string | undefined;
  readonly deadline: number;
  readonly baggage: Readonly<Record<string, unknown>>;
  readonly traceparent: string | undefined;
  /** Ids of the messages that are sent inside. Undefined if the handler is not called again for its message. */
  readonly ids?: MakesIds | undefined;
  readonly open: boolean;
}
/** Makes the ids of messages, see DerivedIds. */
export interface MakesIds {
  /** Returns the id of the next message. Returns undefined after too many messages. */
  next(entry: string, key: Uint8Array | null, body: Uint8Array): string | undefined;
  /** Gives the id to the next equal message, since sending has failed. */
  release(id: string): void;
}
export type Scopes = AsyncLocalStorage<Scope>;
const scopes: Scopes = new AsyncLocalStorage<Scope>();
/**
 * Returns the one storage that all buses of the process share. Node.js pays for each storage at every promise. A call
 * from a handler of one bus to another bus must inherit the scope too.
 */
export const openScopes = (): Scopes => scopes;

/**
 * Returns the scope of the running handler. Returns undefined outside of a handler, and after the handler has settled.
 */
export function currentScope(scopes: Scopes): Scope | undefined {
  const scope = scopes.getStore();
  return scope?.open ? scope : undefined;
}

/** Returns the envelope fields that a message inherits from the handler that sends it. */
export function inherited(scope: Scope): Pick<Envelope, 'cause' | 'baggage' | 'traceparent'> {
  return {
    ...(scope.id !== undefined && { cause: scope.id }),
    ...(Object.keys(scope.baggage).length > 0 && { baggage: scope.baggage }),
    ...(scope.traceparent !== undefined && { traceparent: scope.traceparent }),
  };
}

/** Facts of a delivery that are known before its handler is called. */
export interface Facts {
  readonly id: string;
  readonly entry: string;
  readonly attempt: number;
  readonly deadline: number;
  readonly from: Peer;
  readonly baggage: Readonly<Record<string, unknown>>;
  readonly traceparent: string | undefined;
  /**
   * Group of the handler, or the entry of an idempotent request: with the place and the id, the same for each call of
   * the handler for this message. Undefined if it is called only once.
   */
  readonly source?: string | undefined;
  /** Place of the message in the topic of the group. */
  readonly place?: { readonly partition: number; readonly offset: number } | undefined;
  /** True when the message is kept until it was handled or parked. */
  readonly durable?: boolean;
  /** Time at which the message was accepted: by the log, or by this instance for requests. In ms since 1970. */
  readonly acceptedMs?: number;
}

/** Context of one delivery. Its parts are created on first use, because most handlers use only two of them. */
export class DeliveryContext implements WorkContext {
  /** Last text that the handler passed to `progress`. */
  note = '';
  /** Span of the delivery, if there is a tracer. */
  span: { readonly traceparent: string | undefined } | undefined;
  #controller: AbortController | undefined;
  #deadlineTimer: Timer | undefined;
  #aborted: { readonly reason: unknown } | undefined;
  #ended = false;

  constructor(
    private readonly facts: Facts,
    private readonly clock: Clock,
    private readonly notices: Notices,
  ) {}

  get id(): string {
    return this.facts.id;
  }
  get attempt(): number {
    return this.facts.attempt;
  }
  get deadline(): number {
    return this.facts.deadline;
  }
  get from(): Peer {
    return this.facts.from;
  }
  get baggage(): Readonly<Partial<Baggage>> {
    return this.facts.baggage;
  }
  get traceparent(): string | undefined {
    return this.span ? this.span.traceparent : this.facts.traceparent;
  }
  get signal(): AbortSignal {
    if (!this.#controller) {
      this.#controller = new AbortController();
      if (this.#aborted) this.#controller.abort(this.#aborted.reason);
      else if (this.deadline !== Infinity && !this.#ended) this.#watchDeadline();
    }
    return this.#controller.signal;
  }
  get log(): ContextLog {
    const say =
      (level: LogLevel) =>
      (message: string, fields: Readonly<Record<string, unknown>> = {}) =>
        this.notices.emit({ type: 'log', level, message, fields: { ...fields, entry: this.facts.entry, id: this.id } });
    return { debug: say('debug'), info: say('info'), warn: say('warn'), error: say('error') };
  }
  // Getters that return functions, because handlers destructure the context: `({ fail }) => …`.
  get progress(): (note: string) => void {
    return (note) => {
      // `slice` can cut a character in half; the buffer replaces the half
      this.note = Buffer.from(note.slice(0, noteCharsMax)).toString();
    };
  }
  get fail(): (code: string, data: unknown) => never {
    const { entry } = this.facts;
    return (code, data) => {
      throw new Failure(entry, code, data);
    };
  }
  get park(): (reason: string) => never {
    return (reason) => {
      throw new ParkSignal(reason);
    };
  }

  abort(reason: unknown): void {
    this.#aborted ??= { reason };
    this.#controller?.abort(reason);
  }
  /** Throws the reason of the abort, if there was one. Unlike `signal`, it creates no controller. */
  throwIfAborted(): void {
    if (this.#aborted) throw this.#aborted.reason;
  }
  /** Returns whether the context was aborted with this reason. */
  isAbortedWith(reason: unknown): boolean {
    return this.#aborted !== undefined && this.#aborted.reason === reason;
  }
  /** Ends the delivery. The deadline can no longer abort the signal. */
  end(): void {
    this.#ended = true;
    this.#deadlineTimer?.cancel();
  }

  #watchDeadline(): void {
    const leftMs = Math.max(0, this.deadline - this.clock.now());
    this.#deadlineTimer = this.clock.after(leftMs, () =>
      this.abort(
        new BusError('Timeout', `${this.facts.entry}: its deadline passed`, { reached: 'running', timeoutMs: leftMs }),
      ),
    );
  }
}
const noteCharsMax = 200; // one line of a terminal
