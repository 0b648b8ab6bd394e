/** Counts the messages that this instance sends, by entry and outcome, and keeps the time since which they fail. */
import type { Clock } from '../base/clock';
import { errorMessage, Failure, isBusError } from '../base/errors';
import { fingerprintOf } from '../contract/fingerprint';
import type { AnyEntry } from '../contract/types';
import { Durations, type Spread } from './durations';
import { Window, windowMs } from './window';

/** Outcomes of the requests, jobs and events that this instance sent, of one entry within the last `windowMs`. */
export interface OutgoingCounts {
  readonly entry: string;
  readonly kind: AnyEntry['kind'];
  /** Fingerprint of the contract of this sender; null when it has none. */
  readonly contract: string | null;
  /** Time that the counts cover, in ms: a minute, or the time since the first message of the entry. */
  readonly windowMs: number;
  /** Requests that were answered, or messages that were accepted. */
  readonly ok: number;
  /** Requests that were answered with a declared failure. */
  readonly failures: number;
  /** Errors, by code. Calls that the sender aborted are not among them. */
  readonly errors: Readonly<Record<string, number>>;
  /** Errors that followed each other within 30 s; null when the last one is older. */
  readonly failing: Failing | null;
  /** Durations of answered requests; null for other kinds, and when none was answered. */
  readonly tookMs: Spread | null;
}
/** Errors of one entry that followed each other within 30 s. Times are in ms since 1970. */
export interface Failing {
  readonly sinceMs: number;
  readonly lastMs: number;
  /** Messages that succeeded since the first of these errors. */
  readonly ok: number;
  /** Code and message of the last error. */
  readonly code: string;
  readonly message: string;
}

/** Time without an error after which an entry no longer counts as failing, in ms. */
export const failingMs = 30_000;
const messageCharsMax = 200;
/** Codes of calls that the sender ended itself. */
const ownEnds: readonly string[] = ['Cancelled', 'Closed'];

export class OutgoingCounter {
  readonly #ok = new Window();
  readonly #failures = new Window();
  readonly #errors = new Map<string, Window>();
  readonly #took = new Durations();
  #failing: { sinceMs: number; lastMs: number; ok: number; code: string; message: string } | undefined;

  constructor(
    /** The entry of the newest call. A process can have several versions of a contract. */
    public entry: AnyEntry,
    private readonly sinceMs: number,
  ) {}

  succeeded(nowMs: number, count = 1): void {
    this.#ok.add(nowMs, count);
    if (this.#failing) this.#failing.ok += count;
  }
  took(nowMs: number, begunMs: number): void {
    this.#took.add(nowMs, nowMs - begunMs);
  }
  failed(nowMs: number, error: unknown): void {
    if (error instanceof Failure) return this.#failures.add(nowMs);
    const code = isBusError(error) ? error.code : 'HandlerFailed';
    if (ownEnds.includes(code)) return;
    const errors = this.#errors.get(code) ?? new Window();
    this.#errors.set(code, errors);
    errors.add(nowMs);
    const message = errorMessage(error).slice(0, messageCharsMax).toWellFormed();
    const before = this.#failing && nowMs - this.#failing.lastMs < failingMs ? this.#failing : undefined;
    this.#failing = { sinceMs: before?.sinceMs ?? nowMs, lastMs: nowMs, ok: before?.ok ?? 0, code, message };
  }

  read(nowMs: number): OutgoingCounts {
    const failing = this.#failing;
    const errors = [...this.#errors].map(([code, counts]) => [code, counts.sum(nowMs)] as const);
    return {
      entry: this.entry.name,
      kind: this.entry.kind,
      contract: fingerprintOf(this.entry) ?? null,
      windowMs: Math.min(windowMs, Math.max(1_000, nowMs - this.sinceMs)),
      ok: this.#ok.sum(nowMs),
      failures: this.#failures.sum(nowMs),
      errors: Object.fromEntries(errors.filter(([, count]) => count > 0)),
      failing: failing && nowMs - failing.lastMs < failingMs ? { ...failing } : null,
      tookMs: this.#took.read(),
    };
  }
}

/** The counters of all entries to which one instance sends. */
export interface Outgoing {
  /** Returns the counter of an entry; undefined when too many entries are counted already. */
  of(entry: AnyEntry): OutgoingCounter | undefined;
  /** Returns the counts of all entries, also of those without a message in the last minute. */
  read(): readonly OutgoingCounts[];
  /** Returns the entries that are counted. */
  entries(): Iterable<AnyEntry>;
}

/** Maximum number of entries that are counted. It bounds memory and the reply of `busbar.status`. */
const entriesMax = 500;

export function openOutgoing(clock: Pick<Clock, 'now'>): Outgoing {
  const all = new Map<string, OutgoingCounter>();
  return {
    of(entry) {
      const found = all.get(entry.name);
      if (found) {
        found.entry = entry;
        return found;
      }
      if (all.size >= entriesMax) return undefined;
      const made = new OutgoingCounter(entry, clock.now());
      all.set(entry.name, made);
      return made;
    },
    read: () => [...all.values()].map((one) => one.read(clock.now())),
    entries: () => Array.from(all.values(), ({ entry }) => entry),
  };
}
