/** The ledger of the demo: every message by its id, and its outcome. */
import type { Uploaded } from '../upload';

/** The outcome of one job, as reported by thumbnails. */
export interface Outcome {
  readonly photoId: string;
  readonly jobId: string;
  readonly attempt: number;
  readonly pid: number;
  /** The reason for which its image was parked; undefined when its thumbnail was made. */
  readonly reason?: string;
}
export interface Row {
  readonly what: string;
  readonly accepted: number;
  readonly done: number;
  readonly parked: number;
  /** Done more than once because a process was killed during it, which is allowed. */
  readonly again: number;
  /** Accepted, without an outcome. */
  readonly lost: number;
  /** Done more than once although no process was killed: a broken promise. */
  readonly twice: number;
}

export class Ledger {
  readonly #accepted = new Map<string, string>();
  readonly #refused: string[] = [];
  readonly #outcomes: Outcome[] = [];
  readonly #told = new Map<string, Set<string>>();
  readonly #events = new Map<string, number>();
  readonly #killed = new Set<number>();
  #retried = 0;

  upload(name: string, uploaded: Uploaded): void {
    if ('id' in uploaded) this.#accepted.set(uploaded.id, name);
    else this.#refused.push(`${name}: ${uploaded.status} ${uploaded.error}`);
    if (uploaded.tries > 1) this.#retried++;
  }
  /**
   * Records the event that a photo was added. `eventId` distinguishes repeated events from several events about one
   * photo.
   */
  told(photoId: string, eventId: string): void {
    this.#told.set(photoId, (this.#told.get(photoId) ?? new Set()).add(eventId));
    this.#events.set(eventId, (this.#events.get(eventId) ?? 0) + 1);
  }
  outcome(outcome: Outcome): void {
    this.#outcomes.push(outcome);
  }
  killed(pid: number): void {
    this.#killed.add(pid);
  }

  get acceptedCount(): number {
    return this.#accepted.size;
  }
  get settledCount(): number {
    return new Set(this.#outcomes.map(({ photoId }) => photoId)).size;
  }
  get refused(): readonly string[] {
    return this.#refused;
  }
  /** Accepted photos with no outcome of their job, or no event that they were added. */
  missing(): string[] {
    const settled = new Set(this.#outcomes.map(({ photoId }) => photoId));
    return [...this.#accepted].filter(([id]) => !settled.has(id) || !this.#told.has(id)).map(([, name]) => name);
  }
  parked(): string[] {
    const reasons = new Map(
      this.#outcomes.flatMap(({ photoId, reason }) => (reason === undefined ? [] : [[photoId, reason]])),
    );
    return [...reasons].map(([id, reason]) => `${this.#accepted.get(id) ?? id}: ${reason}`);
  }

  rows(indexed: number): readonly Row[] {
    return [this.#uploads(), this.#jobs(), this.#added(), this.#index(indexed)];
  }

  #uploads(): Row {
    const accepted = this.#accepted.size;
    return { what: 'uploads (request)', accepted, done: accepted, parked: 0, again: this.#retried, lost: 0, twice: 0 };
  }
  #jobs(): Row {
    const byJob = new Map<string, Outcome[]>();
    for (const outcome of this.#outcomes) byJob.set(outcome.jobId, [...(byJob.get(outcome.jobId) ?? []), outcome]);
    const all = [...byJob.values()];
    const settled = new Set(this.#outcomes.map(({ photoId }) => photoId));
    const parked = new Set(this.#outcomes.filter(({ reason }) => reason !== undefined).map(({ photoId }) => photoId));
    return {
      what: 'thumbnails (work)',
      accepted: this.#accepted.size,
      done: settled.size - parked.size,
      parked: parked.size,
      again: all.filter((outcomes) => outcomes.length > 1 || outcomes.some(({ attempt }) => attempt > 1)).length,
      lost: [...this.#accepted.keys()].filter((id) => !settled.has(id)).length,
      // All but the last one must have been killed before it could report its outcome.
      twice: all.filter((outcomes) => outcomes.slice(0, -1).some(({ pid }) => !this.#killed.has(pid))).length,
    };
  }
  #added(): Row {
    const told = [...this.#accepted.keys()].filter((id) => this.#told.has(id));
    return {
      what: 'added (event)',
      accepted: this.#accepted.size,
      done: told.length,
      parked: 0,
      again: told.filter((id) => (this.#told.get(id)?.size ?? 0) > 1).length,
      lost: this.#accepted.size - told.length,
      twice: [...this.#events.values()].filter((times) => times > 1).length,
    };
  }
  #index(indexed: number): Row {
    const accepted = this.#accepted.size;
    return {
      what: 'found by search',
      accepted,
      done: indexed,
      parked: 0,
      again: 0,
      lost: accepted - indexed,
      twice: 0,
    };
  }
}
