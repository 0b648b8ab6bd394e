/** Remembers the last messages that ended in this instance, for operators: a log does not record how they ended. */

/** A message that ended in this instance. */
export interface EndedMessage {
  /** `job` is a job or an event of a queue, `request` was answered here, and `call` was sent from here. */
  readonly kind: 'job' | 'request' | 'call';
  readonly id: string;
  readonly entry: string;
  /** `handled` or `parked` for a job. For requests `ok`, or the code of the failure or error. */
  readonly outcome: string;
  /** The other instance of a request; null if there was none. */
  readonly peer: string | null;
  /** Time of the end, in ms since 1970. */
  readonly atMs: number;
  /** Time since the start of the last attempt or of the request, in ms. */
  readonly tookMs: number;
}

/** Number of messages that are remembered, in about 300 KB. */
const rememberedMax = 1_000;

type Slot = { -readonly [K in keyof EndedMessage]: EndedMessage[K] };

export class RecentlyEnded {
  readonly #ring: Slot[] = [];
  #next = 0;

  /** Overwrites the oldest slot. A new object for each message would live long and burden the garbage collector. */
  add({ kind, id, entry, outcome, peer, atMs, tookMs }: EndedMessage): void {
    const slot = this.#ring[this.#next];
    if (slot) {
      slot.kind = kind;
      slot.id = id;
      slot.entry = entry;
      slot.outcome = outcome;
      slot.peer = peer;
      slot.atMs = atMs;
      slot.tookMs = tookMs;
    } else this.#ring.push({ kind, id, entry, outcome, peer, atMs, tookMs });
    this.#next = (this.#next + 1) % rememberedMax;
  }

  /** Returns the messages whose id begins with `idStart`, in any order. */
  find(idStart: string): readonly EndedMessage[] {
    return this.#ring.filter(({ id }) => id.startsWith(idStart)).map((slot) => ({ ...slot }));
  }
}
