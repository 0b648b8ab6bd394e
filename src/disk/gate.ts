/** Keeps other processes from committing while LMDB opens the same files here. Otherwise LMDB would lose a commit. */
import { existsSync, mkdirSync, readdirSync, rmdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { sleep, type Clock } from '../base/clock';
import { BusError, isCode, errorMessage } from '../base/errors';
import { isFree, type Holding } from './lockfile';

/** Folder beside the data that exists only while an environment is opened. Each opening process has a file in it. */
const folderName = 'opening';
/** Opening takes milliseconds. A process that takes longer than this was stopped or killed, and is not waited for. */
const openingMsMax = 2_000;
/** Longest wait of a write for the gate, so that a series of openings does not block it. */
const waitMsMax = 1_000;
const lookMs = 2;
/** Least interval between two checks of the gate by a writer. */
const writersLookMs = 1;
/** Time without a commit after which every writer that looked before the gate closed has finished. */
const restMs = 5 * writersLookMs;
const restMsMax = 100;
const triesMax = 20;
let made = 0;

/** State of the writers, as the opening process sees it. */
export interface Writers {
  holder(): Holding;
  lastTransaction(): number | undefined;
}

/**
 * Closes the gate. Resolves when no other process seems to commit. The caller must call the returned function once the
 * environment is open.
 */
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

/** Creates the file of this opening. Another opening that ends can remove the folder in between, so this retries. */
function enter(folder: string, file: string): void {
  for (let tries = 1; ; tries++) {
    try {
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      return writeFileSync(file, '', { mode: 0o600 });
    } catch (error) {
      if (!isCode(error, 'ENOENT') || tries >= triesMax) throw unmade(file, error);
    }
  }
}
function unmade(file: string, error: unknown): BusError<'Unreachable'> {
  const cause = errorMessage(error);
  const message = `${file} cannot be created: ${cause}. Check the permissions of its folder and the free disk space.`;
  return new BusError('Unreachable', message, { outcome: 'not-sent', waitedMs: 0, cause }, error);
}
function leave(folder: string): void {
  try {
    rmdirSync(folder);
  } catch {
    // Another process is still opening, or has removed the folder.
  }
}

async function untilRest(writers: Writers, clock: Clock): Promise<void> {
  const startMs = clock.mono();
  let [last, sinceMs] = [writers.lastTransaction(), startMs];
  if (last === undefined) return; // no process has opened the environment yet; one that opens it now meets the gate
  while (clock.mono() - sinceMs < restMs && clock.mono() - startMs < restMsMax) {
    await sleep(clock, lookMs);
    const now = writers.lastTransaction();
    if (now !== last || !isFree(writers.holder())) [last, sinceMs] = [now, clock.mono()];
  }
}

/** Gate as seen by a writer, which waits while it is closed. */
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

  /** Resolves in the order of the calls, when no process is opening. Returns undefined if none is opening now. */
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

  /**
   * True while the gate is closed. A gate that cannot be read counts as open: it guards against a race, and must not
   * block writes.
   */
  get #closed(): boolean {
    try {
      if (!existsSync(this.#folder)) return false;
      const fresh = namesIn(this.#folder).filter((name) => this.#isFresh(join(this.#folder, name)));
      return fresh.length > 0;
    } catch {
      return false;
    }
  }
  /** Returns whether the file of an opening is recent. Removes the file that a dead process left. */
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
    return []; // the folder was removed
  }
}
