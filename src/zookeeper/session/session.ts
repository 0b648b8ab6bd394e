/**
 * Keeps one session on changing connections. After each reconnect, the parts recreate their nodes and reread their
 * data.
 */
import { every, sleep, type Clock, type Random } from '../../base/clock';
import { BusError, isBusError, errorMessage } from '../../base/errors';
import { closable, deferred, type Closable, type Deferred } from '../../base/lifecycle';
import type { Notices } from '../../base/notices';
import { connect, EndError, type Connection, type Rights } from './connection';
import { busErrorOf, codes, LostError, describeFault, ServerError } from './errors';
import type { Address, End, Ticket } from './client';
import type { TlsPaths } from './tls';
import { watchOver } from './watchdog';

/** Dependencies of {@link openSession}. */
export interface SessionParts {
  /** Addresses of the servers, at least one. */
  readonly addresses: readonly Address[];
  readonly rights: Rights;
  /** TLS files, or undefined for connections without TLS. */
  readonly tls?: TlsPaths | undefined;
  /** Requested session timeout, in ms. A server grants a value within its limits. */
  readonly sessionMs: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly notices: Notices;
}
/** Facts about the time before the current connection. */
export interface Comeback {
  /** Time without a connection, in ms. */
  readonly awayMs: number;
  /** True if the session is a new one. The ephemeral nodes of the earlier session are removed then, now or later. */
  readonly newSession: boolean;
}
/**
 * Recreates the nodes of a part and rereads its data. It is retried if it rejects. A `check` rereads everything,
 * because watches can have been missed.
 */
export type Restore = (connection: Connection, check?: boolean) => Promise<void>;

/** The session, and calls to any server that can be reached. */
export interface Session extends Closable {
  /** Addresses of the servers, as configured. */
  readonly where: string;
  /** Granted session timeout, in ms. Until a server has responded, it is the requested one. */
  readonly sessionMs: number;
  readonly connection: Connection | undefined;
  /** Facts about the current connection, or the last one. The object stays the same for one connection. */
  readonly comeback: Comeback;
  /** Reason why there is no connection: the last refusal. */
  readonly reason: string;
  /**
   * Calls `run` as soon as there is a connection. If the connection ends before the response, `run` is called again on
   * the next one, if it can safely run twice (`again`).
   *
   * Rejects within a session timeout, or within `withinMs`. Rejects with Unreachable if the outcome is unknown, with
   * NotAllowed or Closed, or with the error that `run` throws.
   */
  call<T>(what: string, again: boolean, run: (connection: Connection) => Promise<T>, withinMs?: number): Promise<T>;
  /** Registers a callback for each new connection. Callbacks run in the order of registration. */
  onConnection(restore: Restore): void;
  /**
   * Reports that a part could not be kept up to date. Everything is restored shortly; the session reports a failure
   * until then.
   */
  retryRestore(reason: string): void;
}

/** Starts to connect, and reconnects until it is closed. Closing takes half a second at most. */
export function openSession(parts: SessionParts): Session {
  return new KeptSession(parts);
}

/**
 * Pause before the next attempt to connect or to restore, in ms. It doubles up to `most`, so that a recovering server
 * is not flooded.
 */
const backoffMs = { first: 50, most: 1_000 } as const;
/**
 * Limits of the time for one attempt to connect, in ms. It is a share of the session timeout, so that several servers
 * can be tried before the session ends.
 */
const connectMs = { least: 250, most: 3_000, perSession: 1 / 3 } as const;
/** Time that closing waits for the server to end the session, in ms. After that the session expires by itself. */
const closeMs = 500;
/**
 * Interval of checks that every node exists and can be read, in ms. Watches do not fire when rights are revoked. Each
 * connection waits a random 50-100 % of it, so that instances do not read at the same time.
 */
const checkIntervalMs = 60_000;
/** Session timeouts without a connection after which a new session is started. Recreated servers refuse the old one. */
const sessionsKept = 3;

class KeptSession implements Session {
  readonly where: string;
  connection: Connection | undefined;
  comeback: Comeback = { awayMs: 0, newSession: true };
  sessionMs: number;
  reason = 'no response yet';
  private ticket: Ticket | undefined;
  private awaySinceMs: number;
  /** Last refusal, if every server refused in a row. Waiting cannot repair it. */
  private refusal: Error | undefined;
  private refusals = 0;
  private reported = true;
  private wasUp = false;
  /** Connections that ended since everything was restored. */
  private ends = 0;
  private readonly restores: Restore[] = [];
  private fault: string | undefined;
  private restoring: Connection | undefined;
  /** Facts that the parts have not fully handled yet. The next connection passes them on. */
  private owed: Comeback | undefined;
  private readonly waiting = new Set<Deferred<void>>();
  private readonly closed = new AbortController();
  private closedAtMs = 0;
  private readonly running: Promise<void>;
  private readonly closing = closable(() => this.closeOnce());

  constructor(private readonly parts: SessionParts) {
    this.where = parts.addresses.map(describeAddress).join(',');
    this.sessionMs = parts.sessionMs;
    this.awaySinceMs = parts.clock.mono();
    this.running = this.run();
  }

  // --- calls

  async call<T>(
    what: string,
    again: boolean,
    run: (connection: Connection) => Promise<T>,
    withinMs?: number,
  ): Promise<T> {
    const { clock } = this.parts;
    const startMs = clock.mono();
    const leftMs = (): number => Math.max(0, startMs + (withinMs ?? this.sessionMs) - clock.mono());
    for (;;) {
      try {
        const connection = await this.connected(leftMs());
        // Compute the remaining time after the wait for the connection. Otherwise a call takes up to twice its limit.
        return await this.within(leftMs(), run(connection));
      } catch (error) {
        if (again && error instanceof LostError && leftMs() > 0) continue;
        throw busErrorOf(error, what, `ZooKeeper at ${this.where}`, clock.mono() - startMs);
      }
    }
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
    this.checkOpen();
    if (this.connection?.alive) return this.connection;
    if (this.refusal) throw this.noWay();
    const waiter = deferred<void>();
    const timer = this.parts.clock.after(withinMs, () => waiter.reject(this.noWay()));
    this.waiting.add(waiter);
    try {
      await waiter.promise;
    } finally {
      timer.cancel();
      this.waiting.delete(waiter);
    }
    this.checkOpen();
    if (!this.connection?.alive) throw this.noWay();
    return this.connection;
  }
  private noWay(): Error {
    return this.refusal ?? new LostError(this.reason);
  }
  private checkOpen(): void {
    if (!this.closed.signal.aborted) return;
    throw new BusError('Closed', 'this bus is closed', {
      outcome: 'not-sent',
      sinceMs: this.parts.clock.now() - this.closedAtMs,
    });
  }
  private wake(): void {
    for (const waiter of this.waiting) waiter.resolve();
  }

  // --- one connection after the other

  private async run(): Promise<void> {
    const { addresses, random, clock } = this.parts;
    let next = Math.floor(random.next() * addresses.length);
    while (!this.closed.signal.aborted) {
      const address = addresses[next++ % addresses.length];
      if (!address) return; // never true: there is at least one address
      const hadTicket = this.ticket !== undefined;
      const end = await this.one(address);
      if (this.closed.signal.aborted) return;
      this.note(address, end);
      if (end.how !== 'expired' || !hadTicket) await sleep(clock, this.pauseMs(), this.closed.signal);
    }
  }
  /** Connects to a server, and returns the end of that connection. */
  private async one(address: Address): Promise<End> {
    const { rights, tls, clock, sessionMs } = this.parts;
    const { least, most, perSession } = connectMs;
    const options = { address, rights, tls, clock, sessionMs, ticket: this.keptTicket() };
    // The limit doubles with each round through the servers. Otherwise a server that is slower would never be reached.
    const usualMs = Math.max(least, sessionMs * perSession) * 2 ** Math.min(this.rounds, 20);
    const withinMs = Math.round(Math.min(most, usualMs));
    try {
      const connection = await connect({ ...options, connectMs: withinMs }, this.closed.signal);
      this.up(connection);
      const end = await connection.ended;
      this.ticket = connection.ticket();
      this.connection = undefined;
      this.awaySinceMs = clock.mono();
      return end;
    } catch (error) {
      if (error instanceof EndError) return error.end;
      return { how: isBusError(error, 'Config') ? 'config' : 'lost', reason: errorMessage(error) };
    }
  }
  private keptTicket(): Ticket | undefined {
    if (this.parts.clock.mono() - this.awaySinceMs > sessionsKept * this.sessionMs) this.ticket = undefined;
    return this.ticket;
  }
  private note(address: Address, { how, reason }: End): void {
    if (how === 'expired') this.ticket = undefined;
    this.ends++;
    this.reason = `${describeAddress(address)}: ${reason}`;
    this.refusals = how === 'denied' || how === 'config' ? this.refusals + 1 : 0;
    if (this.refusals < this.parts.addresses.length) this.refusal = undefined;
    else {
      this.reported ||= this.refusal === undefined; // waiting cannot help now, so report this reason
      this.refusal = how === 'config' ? configError(this.reason) : new ServerError(codes.authFailed, this.where);
    }
    this.report(false, `ZooKeeper is not reachable (${this.reason}); using the known instances and settings`);
    if (this.refusal) this.wake();
  }
  /**
   * Returns a random pause, so that clients do not reconnect at the same moment. It is short in the first round through
   * the servers.
   */
  private pauseMs(): number {
    return this.parts.random.next() * Math.min(backoffMs.most, backoffMs.first * 2 ** Math.min(this.rounds, 20));
  }
  private get rounds(): number {
    return Math.floor(this.ends / this.parts.addresses.length);
  }

  private up(connection: Connection): void {
    const { clock } = this.parts;
    const { awayMs = 0, newSession = false } = this.owed ?? {};
    this.owed = this.comeback = {
      awayMs: Math.max(awayMs, clock.mono() - this.awaySinceMs),
      newSession: newSession || this.ticket === undefined,
    };
    this.connection = connection;
    this.ticket = connection.ticket();
    if (connection.sessionMs > Math.max(this.sessionMs, this.parts.sessionMs)) this.reportLonger(connection);
    this.sessionMs = connection.sessionMs;
    [this.refusal, this.refusals, this.wasUp] = [undefined, 0, true];
    watchOver(connection, clock);
    void this.restore(connection, this.comeback.awayMs);
    const everyMs = checkIntervalMs * (0.5 + this.parts.random.next() / 2);
    const checking = every(clock, everyMs, () => {
      if (connection.alive && this.restoring !== connection) void this.restore(connection, 0, 0, true);
    });
    void connection.ended.then(() => checking.cancel());
    this.wake();
  }

  private reportLonger({ address, sessionMs }: Connection): void {
    const asked = this.parts.sessionMs;
    const granted = `ZooKeeper at ${describeAddress(address)} grants sessions of ${sessionMs} ms, not ${asked}`;
    const message = `${granted}, so crashed instances are detected later. Lower its tickTime or minSessionTimeout`;
    this.parts.notices.emit({ type: 'log', level: 'warn', message, fields: {} });
  }

  // --- restoring

  onConnection(restore: Restore): void {
    this.restores.push(restore);
  }

  retryRestore(reason: string): void {
    this.fault = reason;
    const connection = this.connection;
    if (!connection?.alive || this.restoring === connection) return;
    this.report(false, reason);
    void this.restore(connection, 0, 1);
  }

  private async restore(connection: Connection, awayMs: number, rounds = 0, check = false): Promise<void> {
    const { clock, random } = this.parts;
    this.restoring = connection;
    for (let round = rounds; connection.alive && !this.closed.signal.aborted; round++) {
      const most = Math.min(backoffMs.most, backoffMs.first * 2 ** Math.min(round, 20));
      if (round > 0) await sleep(clock, (0.5 + random.next() / 2) * most, this.closed.signal);
      if (!connection.alive) break; // the next connection reports the failure
      this.fault = undefined;
      for (const restore of this.restores) await this.attempt(() => restore(connection, check));
      if (!connection.alive) break;
      if (this.fault === undefined) {
        this.ends = 0;
        this.owed = undefined;
        this.report(true, `connected to ${describeAddress(connection.address)} after ${Math.round(awayMs)} ms`);
        break;
      }
      this.report(false, this.fault);
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

  private report(ok: boolean, reason: string): void {
    if (ok === this.reported || this.closed.signal.aborted) return;
    this.reported = ok;
    if (!ok && !this.wasUp) return; // the caller that opens waits for the connection, and reports the failure itself
    this.parts.notices.emit({ type: 'state', part: 'zookeeper', ok, reason });
  }

  close(): Promise<void> {
    return this.closing.close();
  }
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
  private async closeOnce(): Promise<void> {
    this.closedAtMs = this.parts.clock.now();
    this.closed.abort();
    this.wake();
    await this.connection?.close(closeMs);
    await this.running;
  }
}

/** Returns an address as `host:port`, with brackets around IPv6. */
export function describeAddress({ host, port }: Address): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

function configError(reason: string): BusError<'Config'> {
  const fault = `no connection to ZooKeeper: ${reason}`;
  const remedy = 'Correct zookeeper, the zookeeperTls* options or zookeeperAuthFile, as the message requires.';
  return new BusError('Config', fault, { faults: [fault] }, undefined, remedy);
}
