/** Restores the parts of a session after each reconnect, and retries until all of them are up to date. */
import { sleep, type Clock, type Random } from '../../base/clock';
import type { Connection } from './connection';
import { describeFault } from './errors';

/**
 * Recreates the nodes of a part and rereads its data. It is retried if it rejects. A `check` rereads everything,
 * because watches can have been missed.
 */
export type Restore = (connection: Connection, check?: boolean) => Promise<void>;

/** Limits of {@link backoffMs}. */
const backoff = { firstMs: 50, mostMs: 1_000 } as const;

/**
 * Returns the pause before the next attempt to connect or to restore, in ms. It doubles with each round up to a limit,
 * so that a recovering server is not flooded.
 */
export function backoffMs(round: number): number {
  return Math.min(backoff.mostMs, backoff.firstMs * 2 ** Math.min(round, 20));
}

export interface RestorerParts {
  readonly clock: Clock;
  readonly random: Random;
  /** Aborts when the session is closed. */
  readonly closed: AbortSignal;
  /** Called when every part was restored. */
  restored(connection: Connection, awayMs: number): void;
  /** Called when a part could not be restored. It is retried. */
  failed(reason: string): void;
}

export class Restorer {
  private readonly restores: Restore[] = [];
  private fault: string | undefined;
  private restoring: Connection | undefined;

  constructor(private readonly parts: RestorerParts) {}

  /** Adds a part. Parts are restored in the order in which they were added. */
  add(restore: Restore): void {
    this.restores.push(restore);
  }

  /** Restores everything after a pause, because a part could not be kept up to date. */
  soon(connection: Connection | undefined, reason: string): void {
    this.fault = reason;
    if (!connection?.alive || this.restoring === connection) return;
    this.parts.failed(reason);
    void this.run(connection, 0, 1);
  }

  /** Rereads everything, unless it is being restored. */
  check(connection: Connection): void {
    if (connection.alive && this.restoring !== connection) void this.run(connection, 0, 0, true);
  }

  /** Restores every part, and retries while the connection is alive. Never rejects. */
  async run(connection: Connection, awayMs: number, rounds = 0, check = false): Promise<void> {
    const { clock, random, closed } = this.parts;
    this.restoring = connection;
    for (let round = rounds; connection.alive && !closed.aborted; round++) {
      if (round > 0) await sleep(clock, (0.5 + random.next() / 2) * backoffMs(round), closed);
      if (!connection.alive) break; // the next connection reports the failure
      this.fault = undefined;
      for (const restore of this.restores) await this.attempt(() => restore(connection, check));
      if (!connection.alive) break;
      if (this.fault === undefined) {
        this.parts.restored(connection, awayMs);
        break;
      }
      this.parts.failed(this.fault);
    }
    if (this.restoring === connection) this.restoring = undefined;
  }
  private async attempt(run: () => Promise<void>): Promise<void> {
    try {
      await run();
    } catch (error) {
      this.fault = describeFault(error);
    }
  }
}
