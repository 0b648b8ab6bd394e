/** Checks what reaches every instance that is up: broadcasts, and events heard without a name. */
import type { Ledger, Message } from './ledger';
import type { Who } from './shelf';

/** Whoever hears: leaving, it needs to hear nothing more. */
export interface Hearing extends Who {
  readonly leaving: boolean;
}
interface Listener {
  readonly who: Hearing;
  readonly entry: string;
  /** Messages up to this one were sent before. */
  readonly since: number;
  readonly heard: Set<number>;
  /** By sender, and key where there is one. */
  readonly last: Map<string, number>;
}

/** An instance that was given up announces itself again within this time. */
const announcedAgainMs = 5_000;

export class HearCheck {
  readonly #listeners: Listener[] = [];
  /** Who has to hear it. */
  readonly #due = new Map<Message, readonly Listener[]>();

  constructor(
    private readonly ledger: Ledger,
    private readonly promise: 'broadcast' | 'listen',
  ) {}

  listens(who: Hearing, entry: string): void {
    this.#listeners.push({ who, entry, since: this.ledger.messages.size, heard: new Set(), last: new Map() });
  }

  /** It was handed over. */
  accepted(message: Message): void {
    const { n, entry, sentMs } = message;
    const due = this.#listeners.filter((one) => {
      if (one.entry !== entry || n <= one.since || one.who.dead || one.who.leaving) return false;
      return this.promise === 'listen' || !one.who.expiredSince(sentMs - announcedAgainMs);
    });
    this.#due.set(message, due);
  }

  starts(who: Hearing, message: Message): void {
    // What is told while `listen` is on its way may be heard before that has resolved.
    const listener = this.#listeners.find((one) => one.who === who && one.entry === message.entry);
    const about = `#${message.n} ${message.entry} at ${who.name}`;
    if (!listener) return;
    if (listener.heard.has(message.n)) this.ledger.breaks(this.promise, `${about} for the second time`);
    listener.heard.add(message.n);
    if (this.promise === 'listen' && message.key === null) return;
    const name = `${message.sender} ${message.key ?? ''}`;
    const before = listener.last.get(name) ?? 0;
    if (message.n < before) this.ledger.breaks(this.promise, `${about} after #${before} of the same sender`);
    listener.last.set(name, Math.max(before, message.n));
  }

  /** Instances alive that have yet to hear something. */
  get waiting(): number {
    let waiting = 0;
    for (const [message, due] of this.#due) {
      const left = due.filter(({ who, heard }) => !who.dead && !who.leaving && !heard.has(message.n));
      if (left.length === 0) this.#due.delete(message);
      waiting += left.length;
    }
    return waiting;
  }

  end(): void {
    if (this.waiting === 0) return;
    for (const [{ n, entry }, due] of this.#due) {
      const who = due.find((one) => !one.who.dead && !one.heard.has(n))?.who.name;
      return this.ledger.breaks(this.promise, `#${n} ${entry} never reached ${who}`);
    }
  }
}
