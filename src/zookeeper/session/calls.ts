/** Runs the calls of a session: each waits for a connection, and can be repeated on the next one, within its time. */
import type { Clock } from '../../base/clock';
import { deferred, type Deferred } from '../../base/lifecycle';
import type { Connection } from './connection';
import { busErrorOf, LostError } from './errors';

export interface SessionCallsParts {
  readonly clock: Clock;
  /** Name of the server in errors. */
  readonly server: string;
  /** Returns the session timeout, in ms. It can change while a call waits, when a server grants another one. */
  sessionMs(): number;
  connection(): Connection | undefined;
  /** Returns the refusal that waiting cannot repair, if every server refused in a row. */
  refusal(): Error | undefined;
  /** Returns the reason why there is no connection. */
  reason(): string;
  /** Throws Closed once the session is closed. */
  checkOpen(): void;
}

export class SessionCalls {
  private readonly waiting = new Set<Deferred<void>>();

  constructor(private readonly parts: SessionCallsParts) {}

  /** Implements `Session.call`. */
  async call<T>(
    what: string,
    again: boolean,
    run: (connection: Connection) => Promise<T>,
    withinMs?: number,
  ): Promise<T> {
    const { clock, server } = this.parts;
    const startMs = clock.mono();
    const leftMs = (): number => Math.max(0, startMs + (withinMs ?? this.parts.sessionMs()) - clock.mono());
    for (;;) {
      try {
        const connection = await this.connected(leftMs());
        // Compute the remaining time after the wait for the connection. Otherwise a call takes up to twice its limit.
        return await this.within(leftMs(), run(connection));
      } catch (error) {
        if (again && error instanceof LostError && leftMs() > 0) continue;
        throw busErrorOf(error, what, server, clock.mono() - startMs);
      }
    }
  }

  /** Lets the waiting calls look for a connection. */
  wake(): void {
    for (const waiter of this.waiting) waiter.resolve();
  }

  private async within<T>(ms: number, run: Promise<T>): Promise<T> {
    const late = deferred<never>();
    const timer = this.parts.clock.after(ms, () => late.reject(new LostError('no response in time')));
    try {
      return await Promise.race([run, late.promise]);
    } finally {
      timer.cancel();
    }
  }

  private async connected(withinMs: number): Promise<Connection> {
    this.parts.checkOpen();
    const now = this.parts.connection();
    if (now?.alive) return now;
    if (this.parts.refusal()) throw this.noWay();
    const waiter = deferred<void>();
    const timer = this.parts.clock.after(withinMs, () => waiter.reject(this.noWay()));
    this.waiting.add(waiter);
    try {
      await waiter.promise;
    } finally {
      timer.cancel();
      this.waiting.delete(waiter);
    }
    this.parts.checkOpen();
    const connection = this.parts.connection();
    if (!connection?.alive) throw this.noWay();
    return connection;
  }
  private noWay(): Error {
    return this.parts.refusal() ?? new LostError(this.parts.reason());
  }
}
