/** Checks the messages that reach every running instance: broadcasts, and events handled without a name. */
import type { Ledger, Message } from './ledger';
import type { Who } from './shelf';

/** A receiver. Once it is leaving, no further message is due to it. */
export interface Hearing extends Who {
  readonly leaving: boolean;
}
interface Listener {
  readonly who: Hearing;
  readonly entry: string;
  /** Messages up to this one were sent before. */
  readonly since: number;
  readonly heard: Set<number>;
  /** It has stopped listening. */
  over: boolean;
  /** The last message that started and whether it still runs, by sender and key. */
  readonly last: Map<string, { n: number; runs: boolean }>;
}

/** An expired instance announces itself again within this time. */
const announcedAgainMs = 5_000;

export class HearCheck {
  readonly #listeners: Listener[] = [];
  /** Listeners that must receive the message. */
  readonly #due = new Map<Message, readonly Listener[]>();

  constructor(
    private readonly ledger: Ledger,
    private readonly promise: 'broadcast' | 'listen',
    /** True if every message must be received. */
    private readonly isWhole = true,
  ) {}

  listens(who: Hearing, entry: string): void {
    this.#listeners.push({
      who,
      entry,
      since: this.ledger.messages.size,
      heard: new Set(),
      over: false,
      last: new Map(),
    });
  }

  stops(who: Hearing): void {
    for (const one of this.#listeners) if (one.who === who) one.over = true;
  }

  /** Its sender received an acknowledgement. */
  accepted(message: Message): void {
    if (!this.isWhole) return;
    const { n, entry, sentMs } = message;
    const due = this.#listeners.filter((one) => {
      if (one.entry !== entry || n <= one.since || one.over || one.who.dead || one.who.leaving) return false;
      return this.promise === 'listen' || !one.who.expiredSince(sentMs - announcedAgainMs);
    });
    this.#due.set(message, due);
  }

  /** Returns a function to call when the handler ends. */
  starts(who: Hearing, message: Message): () => void {
    // A message sent while `listen` is pending can arrive before it resolves.
    const listener = this.#listeners.findLast((one) => one.who === who && one.entry === message.entry);
    if (!listener) return () => undefined;
    const about = `#${message.n} ${message.entry} at ${who.name}`;
    if (listener.heard.has(message.n)) this.ledger.breaks(this.promise, `${about} for the second time`);
    listener.heard.add(message.n);
    if (this.promise === 'listen' && message.key === null) return () => undefined;
    const name = `${message.sender} ${message.key ?? ''}`;
    const before = listener.last.get(name);
    if (before && message.n < before.n) this.ledger.breaks(this.promise, `${about} after #${before.n} of its sender`);
    if (before?.runs) this.ledger.breaks(this.promise, `${about} while #${before.n} of its sender runs`);
    const mine = { n: message.n, runs: true };
    listener.last.set(name, mine);
    return () => {
      mine.runs = false;
    };
  }

  /** The number of messages that running instances have yet to receive. */
  get waiting(): number {
    let waiting = 0;
    for (const [message, due] of this.#due) {
      const left = due.filter(({ who, heard, over }) => !over && !who.dead && !who.leaving && !heard.has(message.n));
      if (left.length === 0) this.#due.delete(message);
      waiting += left.length;
    }
    return waiting;
  }

  end(): void {
    if (this.waiting === 0) return;
    for (const [{ n, entry }, due] of this.#due) {
      const who = due.find((one) => !one.over && !one.who.dead && !one.heard.has(n))?.who.name;
      return this.ledger.breaks(this.promise, `#${n} ${entry} never reached ${who}`);
    }
  }
}
