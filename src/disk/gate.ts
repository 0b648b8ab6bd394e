/** Keeps other processes from committing while LMDB opens the same files here, which would make it forget a commit. */
import { existsSync, mkdirSync, readdirSync, rmdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { sleep, type Clock } from '../base/clock';
import { BusError, sayError } from '../base/errors';

/** A folder beside the data, there only while somebody opens: a file in it for each of them. */
const folderName = 'opening';
/** Opening takes milliseconds: who takes longer than this was stopped or killed, and is not waited for. */
const openingMsMax = 2_000;
/** However many open one after the other, a write goes on after so long. */
const waitMsMax = 1_000;
const lookMs = 2;
/** Writers look at most this often. */
const writersLookMs = 1;
/** Nobody has committed for so long: whoever looked before the gate was closed is done. */
const restMs = 5 * writersLookMs;
const restMsMax = 100;
const triesMax = 20;
let made = 0;

/** What its opener sees of the writers. */
export interface Writers {
  holder(): unknown;
  lastTransaction(): number | undefined;
}

/** Resolves when no other process commits any more, as far as can be seen; call what it gives once all is open. */
export async function closeGate(path: string, writers: Writers, clock: Clock): Promise<() => void> {
  const folder = join(path, folderName);
  const file = join(folder, `${process.pid}-${made++}`);
  enter(folder, file);
  const open = (): void => {
    rmSync(file, { force: true });
    leave(folder);
  };
  try {
    await untilRest(writers, clock);
  } catch (error) {
    open();
    throw error;
  }
  return open;
}

/** The last one of another opening may take the folder away in between. */
function enter(folder: string, file: string): void {
  for (let tries = 1; ; tries++) {
    try {
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      return writeFileSync(file, '', { mode: 0o600 });
    } catch (error) {
      const isGone = typeof error === 'object' && error !== null && 'code' in error && error.code === 'ENOENT';
      if (!isGone || tries >= triesMax) throw unmade(file, error);
    }
  }
}
function unmade(file: string, error: unknown): BusError<'Unreachable'> {
  const cause = sayError(error);
  const message = `${file} cannot be made: ${cause}; see to its rights and to room on the disk`;
  return new BusError('Unreachable', message, { outcome: 'not-sent', waitedMs: 0, cause }, error);
}
function leave(folder: string): void {
  try {
    rmdirSync(folder);
  } catch {
    // Others open still, or have taken it away.
  }
}

async function untilRest(writers: Writers, clock: Clock): Promise<void> {
  const startMs = clock.mono();
  let [last, sinceMs] = [writers.lastTransaction(), startMs];
  if (last === undefined) return; // nobody has opened it yet: who does now meets the gate
  while (clock.mono() - sinceMs < restMs && clock.mono() - startMs < restMsMax) {
    await sleep(clock, lookMs);
    const now = writers.lastTransaction();
    if (now !== last || writers.holder() !== undefined) [last, sinceMs] = [now, clock.mono()];
  }
}

/** For one who writes. */
export class Gate {
  #lookedMs = -Infinity;
  #waiting: Promise<void> | undefined;
  readonly #folder: string;

  constructor(
    path: string,
    private readonly clock: Clock,
  ) {
    this.#folder = join(path, folderName);
  }

  /** Resolves, in the order of asking, when nobody opens; undefined when nobody does now. */
  wait(): Promise<void> | undefined {
    if (this.#waiting) return this.#waiting;
    const nowMs = this.clock.mono();
    if (nowMs - this.#lookedMs < writersLookMs) return undefined;
    this.#lookedMs = nowMs;
    if (!this.#closed) return undefined;
    return (this.#waiting = this.#untilOpen(nowMs + waitMsMax).finally(() => (this.#waiting = undefined)));
  }

  async #untilOpen(untilMs: number): Promise<void> {
    while (this.#closed && this.clock.mono() < untilMs) await sleep(this.clock, lookMs);
  }

  /** A gate that cannot be looked at is open: it guards against a race, and must not keep writes from being made. */
  get #closed(): boolean {
    try {
      if (!existsSync(this.#folder)) return false;
      const fresh = namesIn(this.#folder).filter((name) => this.#isFresh(join(this.#folder, name)));
      return fresh.length > 0;
    } catch {
      return false;
    }
  }
  /** What a dead process has left is taken away. */
  #isFresh(file: string): boolean {
    const at = statSync(file, { throwIfNoEntry: false });
    if (!at) return false;
    if (Math.abs(this.clock.now() - at.mtimeMs) < openingMsMax) return true;
    rmSync(file, { force: true });
    leave(this.#folder);
    return false;
  }
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    return []; // it is gone
  }
}
