/** Checks requests: each ends once and in time, in the outcome of its handler, and is not started too often. */
import type { Body } from './contracts';
import type { Ledger, Message } from './ledger';
import type { Who } from './shelf';

/** A caller that may have been frozen, so that it could not check its clock. */
export interface Asking extends Who {
  stoodStillSince(sinceMs: number): boolean;
}
export interface Ask {
  readonly message: Message;
  readonly caller: Asking;
  readonly deadlineMs: number;
  readonly idempotent: boolean;
  /** True if it was sent after the faults, when all instances were running again. */
  readonly calm: boolean;
  readonly startedBy: Who[];
  /** The outcomes of its handlers. */
  readonly ends: Set<Outcome>;
  outcome: string | undefined;
}
/** The outcome of the handler of a request. */
export type Outcome = 'ok' | 'Refused' | 'HandlerFailed';

/** Clocks return whole milliseconds, so a remaining time can be one less. */
const wholeMs = 1;

/** Other outcomes for a caller. Those in `rough` require a fault. */
const plain = ['Timeout', 'Cancelled', 'Overloaded'];
const rough = ['NoHandler', 'ResponderLost', 'Unreachable', 'Closed', 'Incompatible'];

export class RequestCheck {
  readonly open = new Set<Ask>();
  readonly #asks = new Map<number, Ask>();

  constructor(private readonly ledger: Ledger) {}

  asks(message: Message, caller: Asking, how: Pick<Ask, 'deadlineMs' | 'idempotent' | 'calm'>): Ask {
    const ask: Ask = { message, caller, ...how, startedBy: [], ends: new Set(), outcome: undefined };
    this.#asks.set(message.n, ask);
    this.open.add(ask);
    return ask;
  }

  starts(who: Who, { n }: Message, deadline: number): void {
    const ask = this.#asks.get(n);
    if (!ask) return this.ledger.breaks('phantom', `#${n} starts at ${who.name} and was never asked`);
    const about = `#${n} ${ask.message.entry} starts at ${who.name}`;
    if (ask.startedBy.includes(who)) this.ledger.breaks('started', `${about} for the second time`);
    else if (ask.startedBy.length > 0 && !ask.idempotent) {
      this.ledger.breaks('started', `${about}, ${ask.startedBy[0]?.name} has started it`);
    }
    const shortMs = ask.deadlineMs - deadline;
    if (shortMs < 0 || shortMs > wholeMs) this.ledger.breaks('request', `${about} with the deadline ${deadline}`);
    if (this.ledger.clock.now() > ask.deadlineMs) this.ledger.breaks('started', `${about} after its deadline`);
    ask.startedBy.push(who);
  }

  ends({ n }: Message, outcome: Outcome): void {
    this.#asks.get(n)?.ends.add(outcome);
  }

  /** `value` is the reply of an 'ok'. */
  settles(ask: Ask, outcome: string, value?: Body): void {
    const { message, caller, deadlineMs } = ask;
    this.open.delete(ask);
    const about = `#${message.n} ${message.entry} of ${caller.name} ends in ${outcome}`;
    this.ledger.note(about);
    this.ledger.count(`request ${outcome}`);
    if (ask.outcome !== undefined) this.ledger.breaks('request', `${about} after ${ask.outcome}`);
    ask.outcome = outcome;
    const lateMs = this.ledger.clock.now() - deadlineMs;
    const askedForMs = this.ledger.nowMs - message.sentMs; // it can have been sent after the deadline
    if (Math.min(lateMs, askedForMs) > 1 && !caller.stoodStillSince(message.sentMs)) {
      this.ledger.breaks('request', `${about} ${lateMs} ms after its deadline`);
    }
    if (outcome === 'ok' && value?.n !== message.n) this.ledger.breaks('request', `${about} with another's reply`);
    this.#checkOutcome(ask, outcome, about);
  }

  #checkOutcome({ startedBy, ends, calm, deadlineMs }: Ask, outcome: string, about: string): void {
    // An earlier timeout requires that the request or its reply was lost and its instance reported it unknown.
    const mayBeLost = !calm && (startedBy.length === 0 || ends.size > 0);
    if (outcome === 'Timeout' && !mayBeLost && this.ledger.clock.now() < deadlineMs - wholeMs) {
      this.ledger.breaks('request', `${about} before its deadline`);
    }
    const made = outcome === 'ok' || outcome === 'Refused' || outcome === 'HandlerFailed';
    if (made && !ends.has(outcome)) this.ledger.breaks('request', `${about}, no handler ended so`);
    if (!made && !plain.includes(outcome) && !rough.includes(outcome)) this.ledger.breaks('request', about);
    if (calm && rough.includes(outcome))
      this.ledger.breaks('progress', `${about}, and all instances are running again`);
  }

  /** The number of requests that running callers still wait for. */
  get waiting(): number {
    for (const ask of this.open) if (ask.caller.dead) this.open.delete(ask);
    return this.open.size;
  }

  end(): void {
    if (this.waiting === 0) return;
    const [first] = this.open;
    this.ledger.breaks(
      'request',
      `${this.open.size} have no end, such as #${first?.message.n} ${first?.message.entry}`,
    );
  }
}
