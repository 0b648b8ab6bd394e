/** The record of one run: every message and its fate, every event, every broken promise. */
import type { Clock } from '../../src/base/clock';
import type { Promised } from './promises';

/** The planned behavior of the handler of a message, decided when it is sent. */
export interface Script {
  readonly tookMs: number;
  /** The number of first attempts that fail. */
  readonly fails: number;
  readonly parks: boolean;
  /** The number of facts that its handler publishes. */
  readonly tells: number;
  /** The number of jobs that its handler submits, the same ones at each attempt. */
  readonly passes: number;
}
/** open: its sender waits, or died waiting · unknown: it may have been sent · refused: it was not sent. */
export type Fate = 'open' | 'accepted' | 'unknown' | 'refused';

export class Message {
  fate: Fate = 'open';
  id: string | undefined;
  /** Sends of it whose outcome is open, if it is sent several times. */
  sending = 0;
  /** The jobs that handlers of it submit, by queue and number. */
  readonly passed = new Map<string, Message>();
  constructor(
    /** Increases with each call of a verb, across all senders. */
    readonly n: number,
    readonly entry: string,
    readonly key: string | null,
    /** One incarnation of an instance. */
    readonly sender: string,
    readonly sentMs: number,
    readonly script: Script,
  ) {}
}

export interface Broken {
  readonly promise: Promised;
  readonly detail: string;
  readonly atMs: number;
}

const brokenMax = 20;
const linesMax = 100_000;

export class Ledger {
  readonly messages = new Map<number, Message>();
  readonly broken: Broken[] = [];
  readonly lines: string[] = [];
  readonly counts = new Map<string, number>();
  #hash = 0x811c9dc5;

  constructor(readonly clock: Clock) {}

  get nowMs(): number {
    return this.clock.mono();
  }
  /** The hash of all noted lines, in order. */
  get hash(): string {
    return (this.#hash >>> 0).toString(16).padStart(8, '0');
  }

  note(what: string): void {
    const line = `${Math.round(this.nowMs * 1_000)} ${what}`;
    for (let at = 0; at < line.length; at++) this.#hash = Math.imul(this.#hash ^ line.charCodeAt(at), 0x01000193);
    if (this.lines.length < linesMax) this.lines.push(line);
  }

  count(what: string, by = 1): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + by);
  }

  breaks(promise: Promised, detail: string): void {
    this.note(`BROKEN ${promise}: ${detail}`);
    if (this.broken.length < brokenMax) this.broken.push({ promise, detail, atMs: this.nowMs });
  }

  send(entry: string, key: string | null, sender: string, script: Script): Message {
    const message = new Message(this.messages.size + 1, entry, key, sender, this.nowMs, script);
    this.messages.set(message.n, message);
    this.note(`${sender} sends ${entry} #${message.n} key ${key ?? '-'}`);
    return message;
  }

  /** Records the outcome that its sender received. */
  told(message: Message, fate: Fate, why = ''): void {
    message.fate = fate;
    this.note(`${message.sender} #${message.n} is ${fate} ${why}`);
    this.count(fate);
  }
}
