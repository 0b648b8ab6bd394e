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
  /** It listens no more. */
  over: boolean;
  /** By sender, and key where there is one: the last one that started, and whether it still runs. */
  readonly last: Map<string, { n: number; runs: boolean }>;
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
    /** Whether nothing may be missed. */
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

  /** It was handed over. */
  accepted(message: Message): void {
    if (!this.isWhole) return;
    const { n, entry, sentMs } = message;
    const due = this.#listeners.filter((one) => {
      if (one.entry !== entry || n <= one.since || one.over || one.who.dead || one.who.leaving) return false;
      return this.promise === 'listen' || !one.who.expiredSince(sentMs - announcedAgainMs);
    });
    this.#due.set(message, due);
  }

  /** Gives what is to be called when the handler ends. */
  starts(who: Hearing, message: Message): () => void {
    // What is told while `listen` is on its way may be heard before that has resolved.
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

  /** Instances alive that have yet to hear something. */
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
