/**
 * Keeps one session on changing connections. After each reconnect, the parts recreate their nodes and reread their
 * data.
 */
import { every, sleep, type Clock, type Random } from '../../base/clock';
import { BusError, isBusError, errorMessage } from '../../base/errors';
import { closable, type Closable } from '../../base/lifecycle';
import type { Notices } from '../../base/notices';
import { SessionCalls } from './calls';
import { connect, EndError, type Connection, type Rights } from './connection';
import { codes, ServerError } from './errors';
import type { Address, End, Ticket } from './client';
import { backoffMs, Restorer, type Restore } from './restorer';
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
  private readonly restorer: Restorer;
  private readonly calls: SessionCalls;
  /** Facts that the parts have not fully handled yet. The next connection passes them on. */
  private owed: Comeback | undefined;
  private readonly closed = new AbortController();
  private closedAtMs = 0;
  private readonly running: Promise<void>;
  private readonly closing = closable(() => this.closeOnce());

  constructor(private readonly parts: SessionParts) {
    this.where = parts.addresses.map(describeAddress).join(',');
    this.sessionMs = parts.sessionMs;
    this.awaySinceMs = parts.clock.mono();
    this.calls = new SessionCalls({
      clock: parts.clock,
      server: `ZooKeeper at ${this.where}`,
      sessionMs: () => this.sessionMs,
      connection: () => this.connection,
      refusal: () => this.refusal,
      reason: () => this.reason,
      checkOpen: () => this.checkOpen(),
    });
    this.restorer = new Restorer({
      ...parts,
      closed: this.closed.signal,
      restored: (connection, awayMs) => this.restored(connection, awayMs),
      failed: (reason) => this.report(false, reason),
    });
    this.running = this.run();
  }

  // --- calls

  call<T>(what: string, again: boolean, run: (connection: Connection) => Promise<T>, withinMs?: number): Promise<T> {
    return this.calls.call(what, again, run, withinMs);
  }
  private checkOpen(): void {
    if (!this.closed.signal.aborted) return;
    throw new BusError('Closed', 'this bus is closed', {
      outcome: 'not-sent',
      sinceMs: this.parts.clock.now() - this.closedAtMs,
    });
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
    if (this.refusal) this.calls.wake();
  }
  /**
   * Returns a random pause, so that clients do not reconnect at the same moment. It is short in the first round through
   * the servers.
   */
  private pauseMs(): number {
    return this.parts.random.next() * backoffMs(this.rounds);
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
    void this.restorer.run(connection, this.comeback.awayMs);
    const everyMs = checkIntervalMs * (0.5 + this.parts.random.next() / 2);
    const checking = every(clock, everyMs, () => this.restorer.check(connection));
    void connection.ended.then(() => checking.cancel());
    this.calls.wake();
  }

  private reportLonger({ address, sessionMs }: Connection): void {
    const asked = this.parts.sessionMs;
    const granted = `ZooKeeper at ${describeAddress(address)} grants sessions of ${sessionMs} ms, not ${asked}`;
    const message = `${granted}, so crashed instances are detected later. Lower its tickTime or minSessionTimeout`;
    this.parts.notices.emit({ type: 'log', level: 'warn', message, fields: {} });
  }

  // --- restoring

  onConnection(restore: Restore): void {
    this.restorer.add(restore);
  }
  retryRestore(reason: string): void {
    this.restorer.soon(this.connection, reason);
  }
  private restored({ address }: Connection, awayMs: number): void {
    this.ends = 0;
    this.owed = undefined;
    this.report(true, `connected to ${describeAddress(address)} after ${Math.round(awayMs)} ms`);
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
    this.calls.wake();
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
