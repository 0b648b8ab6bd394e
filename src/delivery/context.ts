/** What surrounds one handler call: who sent it, how long it has, and what calls made inside it inherit. */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { Clock, Timer } from '../base/clock';
import { Failure, BusError } from '../base/errors';
import type { LogLevel, Notices } from '../base/notices';
import type { Request } from '../contract/types';
import type { Envelope } from '../format/envelope';

/**
 * Augment it once, `declare module 'busbar' { interface Baggage { tenant: string } }`: it travels with every message
 * and its consequences.
 */
export interface Baggage {}

/** An instance, as others see it. */
export interface Peer {
  readonly module: string;
  /** `module#xxxx` */
  readonly instance: string;
}

/** Lines about a delivery, told as notices with its entry and id. */
export type ContextLog = {
  readonly [L in LogLevel]: (message: string, fields?: Readonly<Record<string, unknown>>) => void;
};

export interface Context {
  /** Of the message: the same at every attempt, and at every instance. */
  readonly id: string;
  /**
   * 1 for the first. An attempt that died with its process may not have been counted, and one counts that the log was
   * told of when the process died right before it.
   */
  readonly attempt: number;
  /** Milliseconds since 1970 after which nobody waits any more; Infinity where nobody ever did. */
  readonly deadline: number;
  /** Aborts when the caller gave up, the deadline passed, or the partition was lost. */
  readonly signal: AbortSignal;
  readonly from: Peer;
  readonly baggage: Readonly<Partial<Baggage>>;
  /** The W3C trace the message belongs to, if any: hand it to whatever traces calls that leave the bus. */
  readonly traceparent: string | undefined;
  readonly log: ContextLog;
  /** A line about how far it is, for operators; kept in this instance, costs nothing on the wire. */
  readonly progress: (note: string) => void;
}
export type Fail<M extends Request> = <K extends keyof M['~types']['failures'] & string>(
  code: K,
  data: M['~types']['failures'][K]['given'],
) => never;
export interface RequestContext<M extends Request> extends Context {
  /** Answers with a failure that the contract declares. Never returns. */
  readonly fail: Fail<M>;
}
export interface WorkContext extends Context {
  /** Sets the message aside now, with this reason, instead of trying again. Never returns. */
  readonly park: (reason: string) => never;
}

/** Thrown by `context.park`; whoever settles looks for it. */
export class ParkSignal extends Error {
  override readonly name = 'ParkSignal';
}

/**
 * What calls inside a handler inherit. Closed when the delivery settles, so that what outlives it inherits nothing
 * stale.
 */
export interface Scope {
  readonly id: string | undefined;
  readonly deadline: number;
  readonly baggage: Readonly<Record<string, unknown>>;
  readonly traceparent: string | undefined;
  readonly open: boolean;
}
export type Scopes = AsyncLocalStorage<Scope>;
const scopes: Scopes = new AsyncLocalStorage<Scope>();
/**
 * One for all buses of the process: Node pays for each storage at every promise, and what a handler of one bus does on
 * another is its consequence too.
 */
export const openScopes = (): Scopes => scopes;

/** The scope of the handler that is running here; undefined outside of one, and after it settled. */
export function currentScope(scopes: Scopes): Scope | undefined {
  const scope = scopes.getStore();
  return scope?.open ? scope : undefined;
}

/** What a message takes over from the handler in which it is sent. */
export function inherited(scope: Scope): Pick<Envelope, 'cause' | 'baggage' | 'traceparent'> {
  return {
    ...(scope.id !== undefined && { cause: scope.id }),
    ...(Object.keys(scope.baggage).length > 0 && { baggage: scope.baggage }),
    ...(scope.traceparent !== undefined && { traceparent: scope.traceparent }),
  };
}

/** The facts of a delivery that its maker knows. */
export interface Facts {
  readonly id: string;
  readonly entry: string;
  readonly attempt: number;
  readonly deadline: number;
  readonly from: Peer;
  readonly baggage: Readonly<Record<string, unknown>>;
  readonly traceparent: string | undefined;
  /** It is kept until it was done or parked. */
  readonly durable?: boolean;
}

/** The context of one delivery. Its parts are made when first asked for: most handlers use two of them. */
export class DeliveryContext implements WorkContext {
  /** What `progress` said last. */
  note = '';
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
    return this.facts.traceparent;
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
        this.notices.tell({ type: 'log', level, message, fields: { ...fields, entry: this.facts.entry, id: this.id } });
    return { debug: say('debug'), info: say('info'), warn: say('warn'), error: say('error') };
  }
  // Getters that give functions: handlers take them out of the context, `({ fail }) => …`.
  get progress(): (note: string) => void {
    return (note) => {
      this.note = Buffer.from(note.slice(0, noteCharsMax)).toString(); // without half of a character at its end
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
  /** The delivery settled: nothing aborts any more. */
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
